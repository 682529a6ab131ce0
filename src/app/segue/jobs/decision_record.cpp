#include "app/segue/jobs/decision_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "api/decision_codec.hpp"

namespace segue {
namespace {

namespace json = boost::json;

Result<void> append(const std::string& path, const std::string& text) {
    std::error_code problem;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), problem);
    std::ofstream file(path, std::ios::app | std::ios::binary);
    file << text;
    file.flush();
    if (file) return {};
    return fail(ErrorKind::unavailable, "the record of decisions could not be written: " + path,
                std::generic_category().message(errno));
}

std::optional<RecordedMove> head_of(const std::string& line) {
    std::error_code problem;
    const json::value value = json::parse(line, problem);
    if (problem || !value.is_object()) return std::nullopt;
    const auto& object = value.as_object();
    const auto* job = object.if_contains("job");
    const auto* vm = object.if_contains("vm");
    const auto* policy = object.if_contains("policy");
    if (job == nullptr || !job->is_int64() || vm == nullptr || !vm->is_string()) return std::nullopt;
    if (policy == nullptr || !policy->is_string()) return std::nullopt;
    return RecordedMove{job->as_int64(), std::string(vm->as_string()), std::string(policy->as_string()), {}};
}

}  // namespace

std::string decision_record_path(const std::string& state_folder, std::int64_t job) {
    return fmt::format("{}/decisions/{}.jsonl", state_folder, job);
}

void thin_decision_records(const std::string& state_folder, std::size_t keep) {
    std::vector<std::pair<std::int64_t, std::filesystem::path>> records;
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator(state_folder + "/decisions", problem)) {
        const std::string name = entry.path().stem().string();
        std::int64_t job = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), job);
        if (error == std::errc{} && end == name.data() + name.size()) records.emplace_back(job, entry.path());
    }
    std::ranges::sort(records);
    for (std::size_t i = 0; i + keep < records.size(); ++i) std::filesystem::remove(records[i].second, problem);
}

DecisionRecord::DecisionRecord(JournalThread& thread, std::string state_folder, std::int64_t job, std::string vm,
                               std::function<void(const std::string&)> on_trouble)
    : thread_(thread),
      state_folder_(std::move(state_folder)),
      path_(decision_record_path(state_folder_, job)),
      job_(job),
      vm_(std::move(vm)),
      on_trouble_(std::move(on_trouble)) {}

void DecisionRecord::note(const PolicyReport& report) {
    if (count_++ >= decisions_max) return;
    std::string text;
    if (count_ == 1) {
        text = json::serialize(json::object{{"type", "move"}, {"job", job_}, {"vm", vm_}, {"policy", report.policy}});
        text += '\n';
    }
    text += decision::encode(report.view) + '\n' + decision::encode(report.decision) + '\n';
    write(std::move(text));
}

void DecisionRecord::write(std::string text) {
    const bool first = count_ == 1;
    thread_.ask<void>([folder = state_folder_, path = path_, first, text = std::move(text)](Journal&) {
                          if (first) thin_decision_records(folder, records_max - 1);
                          return append(path, text);
                      },
                      [this](const Result<void>& done) {
                          if (done || std::exchange(trouble_told_, true)) return;
                          on_trouble_(to_string(done.error()));
                      });
}

Result<RecordedMove> read_decision_record(const std::string& state_folder, std::int64_t job) {
    const std::string path = decision_record_path(state_folder, job);
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return fail(ErrorKind::invalid,
                    fmt::format("there is no record of decisions of job {} ({}): only the source's host has one, of a "
                                "move that began to copy; segue history shows which",
                                job, path));
    }
    std::string line;
    std::getline(file, line);
    auto move = head_of(line);
    if (!move) return fail(ErrorKind::corrupt, path + " is no record of decisions");
    std::string shown;
    while (std::getline(file, shown) && std::getline(file, line)) {
        if (file.eof()) break;  // No newline at its end: it was cut short.
        SEGUE_TRY(view, decision::parse_view(shown));
        SEGUE_TRY(decided, decision::parse_decision(line));
        move->decisions.push_back({std::move(view), std::move(decided)});
    }
    return std::move(*move);
}

}  // namespace segue
