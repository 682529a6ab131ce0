#include "app/segue/cli/cli_jobs.hpp"

#include <gtest/gtest.h>

#include "app/segue/cli/typed_test.hpp"

namespace segue {
namespace {

template <class T>
T command_of(const std::string& text) {
    const auto command = understood_as<JobsCommand>(text);
    const auto* wanted = std::get_if<T>(&command);
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
        expect_refused(words, {says});
    }
}

TEST(JobsHelp, fits_a_screen_and_is_found_both_ways) {
    for (const std::string command : {"history", "status", "cancel"}) {
        const std::string text(jobs_help_text(command));
        for (const std::string& words : {command + " --help", command + " -h", "help " + command}) {
            EXPECT_EQ(understood_as<Help>(words).text, text) << words;
        }
        expect_fits(text, 24);
        EXPECT_NE(text.find("--json"), std::string::npos);
        EXPECT_NE(text.find("Exit"), std::string::npos);
    }
}

}  // namespace
}  // namespace segue
