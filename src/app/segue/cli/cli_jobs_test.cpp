#include "app/segue/cli/cli_jobs.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "app/segue/cli/cli.hpp"

namespace segue {
namespace {

Result<Invocation> parse(const std::string& text) {
    std::istringstream stream("segue " + text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

template <class T>
T command_of(const std::string& text) {
    const auto parsed = parse(text);
    EXPECT_TRUE(parsed) << text;
    const auto* command = parsed ? std::get_if<JobsCommand>(&*parsed) : nullptr;
    const auto* wanted = command ? std::get_if<T>(command) : nullptr;
    EXPECT_NE(wanted, nullptr) << text;
    return wanted ? *wanted : T{};
}

TEST(JobsWords, are_understood) {
    EXPECT_EQ(command_of<ShowHistory>("history").last, 20U);
    EXPECT_EQ(command_of<ShowHistory>("history --last 5").last, 5U);
    EXPECT_EQ(command_of<ShowHistory>("history --last=10000 --json").last, 10000U);
    EXPECT_TRUE(command_of<ShowHistory>("history --json").json);
    EXPECT_EQ(command_of<ShowStatus>("status").job, std::nullopt);
    EXPECT_FALSE(command_of<ShowStatus>("status").json);
    EXPECT_EQ(command_of<ShowStatus>("status 42").job, JobId{42});
    EXPECT_TRUE(command_of<ShowStatus>("status --json 42").json);
    EXPECT_FALSE(command_of<ShowStatus>("status 42").follow);
    EXPECT_TRUE(command_of<ShowStatus>("status 42 --follow").follow);
    EXPECT_EQ(command_of<CancelJob>("cancel 42").job, JobId{42});
    EXPECT_TRUE(command_of<CancelJob>("cancel 42 --json").json);
}

TEST(JobsWords, that_are_wrong_are_refused_with_what_to_write) {
    struct Wrong { const char* words; const char* says; };
    for (const auto& [words, says] : {
             Wrong{"cancel", "segue cancel JOB"}, Wrong{"cancel x", "JOB \"x\" is no number"},
             Wrong{"cancel 0", "no number of a move"}, Wrong{"cancel -1", "-1 is not an option"},
             Wrong{"cancel 1 2", "\"2\" is one word too many"}, Wrong{"status 7x", "no number of a move"},
             Wrong{"status 99999999999999999999", "no number of a move"}, Wrong{"status --jsn", "segue status --help"},
             Wrong{"history 7", "segue history --help"}, Wrong{"history --last", "for example --last 50"},
             Wrong{"history --last 0", "1 to 10000"}, Wrong{"history --last 10001", "1 to 10000"},
             Wrong{"history --last= ", "1 to 10000"}, Wrong{"history --last 1 --last 2", "twice"},
             Wrong{"status --follow", "needs a JOB"}, Wrong{"cancel 7 --follow", "segue cancel --help"},
             Wrong{"status --last 2", "segue status --help"}, Wrong{"histori", "did you mean segue history"},
             Wrong{"cancle 7", "did you mean segue cancel"}, Wrong{"cancel a\x1b[2J", "\"a?[2J\""}}) {
        const auto parsed = parse(words);
        ASSERT_FALSE(parsed) << words;
        EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
        EXPECT_NE(parsed.error().message.find(says), std::string::npos) << words << ": " << parsed.error().message;
    }
}

TEST(JobsHelp, fits_a_screen_and_is_found_both_ways) {
    for (const std::string command : {"history", "status", "cancel"}) {
        const std::string text(jobs_help_text(command));
        for (const std::string& words : {command + " --help", command + " -h", "help " + command}) {
            const auto parsed = parse(words);
            ASSERT_TRUE(parsed) << words;
            EXPECT_EQ(std::get<Help>(*parsed).text, text);
        }
        std::istringstream lines(text);
        int count = 0;
        for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 80U) << line;
        EXPECT_LE(count, 24);
        EXPECT_NE(text.find("--json"), std::string::npos);
        EXPECT_NE(text.find("Exit"), std::string::npos);
    }
}

}  // namespace
}  // namespace segue
