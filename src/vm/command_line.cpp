#include "vm/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "vm/placeholders.hpp"

namespace segue::vm {
namespace {

/// As long as one argument of the protocol's `prepare` may be.
constexpr std::size_t word_bytes_max = 4096;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// The key of `{key}` at the beginning of `text`; empty where none is there.
std::string_view key_at(std::string_view text) {
    if (!text.starts_with('{')) return {};
    const auto end = text.find('}');
    if (end == std::string_view::npos) return {};
    const std::string_view key = text.substr(1, end - 1);
    return is_key(key) ? key : std::string_view{};
}

class Filler {
public:
    Filler(const Description& description, const std::string& host) : host_(host) {
        for (const std::string& name : {host, host.substr(0, host.find('.')), std::string("default")}) {
            const auto found = description.hosts.find(name);
            if (found != description.hosts.end()) tables_.push_back(&found->second);
        }
    }

    std::string operator()(const Word& word) {
        std::string text = fill(word.text, [&](std::string_view key) { return value_of(key, word.line); });
        if (text.size() > word_bytes_max) {
            problems_.push_back({word.line, fmt::format("a word becomes {} bytes long on host \"{}\": at most {} are "
                                                        "taken", text.size(), host_, word_bytes_max)});
        }
        return text;
    }

    Problems& problems() { return problems_; }

private:
    std::optional<std::string> value_of(std::string_view key, int line) {
        for (const HostValues* table : tables_) {
            const auto found = table->find(std::string(key));
            if (found != table->end()) return found->second;
        }
        problems_.push_back({line, fmt::format("{{{}}} has no value for host \"{}\": give it one in [host.\"{}\"] or "
                                               "in [host.default]", key, host_, host_)});
        return std::nullopt;
    }

    const std::string& host_;
    std::vector<const HostValues*> tables_;
    Problems problems_;
};

void add_ours(const Description& description, const Place& place, std::vector<std::string>& words) {
    words.insert(words.end(), {"-name", description.name, "-uuid", place.uuid});
    const Monitors monitors = monitors_in(place.folder);
    for (const std::string& path : {monitors.control, monitors.guard, monitors.spare}) {
        words.insert(words.end(), {"-qmp", "unix:" + path + ",server=on,wait=off"});
    }
    if (place.incoming) words.insert(words.end(), {"-S", "-incoming", "defer"});
}

}  // namespace

bool is_key(std::string_view text) {
    return !text.empty() && is_letter(text.front()) && std::ranges::all_of(text, [](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

std::string fill(std::string_view text,
                 const std::function<std::optional<std::string>(std::string_view key)>& value_of) {
    std::string result;
    while (!text.empty()) {
        if (text.starts_with("{{")) {
            const std::string_view literal = key_at(text.substr(1));
            if (!literal.empty() && text.substr(literal.size() + 3).starts_with('}')) {
                result.append(text.substr(1, literal.size() + 2));
                text.remove_prefix(literal.size() + 4);
                continue;
            }
        }
        const std::string_view key = key_at(text);
        if (key.empty()) {
            result += text.front();
            text.remove_prefix(1);
        } else {
            result += value_of(key).value_or("");
            text.remove_prefix(key.size() + 2);
        }
    }
    return result;
}

std::vector<std::string> placeholders_in(std::string_view text) {
    std::vector<std::string> keys;
    static_cast<void>(fill(text, [&](std::string_view key) {
        keys.emplace_back(key);
        return std::nullopt;
    }));
    return keys;
}

Monitors monitors_in(const std::string& folder) {
    return {folder + "/control.qmp", folder + "/guard.qmp", folder + "/spare.qmp"};
}

Result<void> check_folder(const std::string& folder) {
    const std::string longest = monitors_in(folder).control;
    if (!folder.starts_with('/')) {
        return fail(ErrorKind::invalid, fmt::format("\"{}\" is a relative path, and QEMU must find it from anywhere: "
                                                    "set SEGUE_STATE to an absolute one", folder));
    }
    if (longest.size() > socket_path_bytes_max) {
        return fail(ErrorKind::invalid,
                    fmt::format("{} would be a socket's path of {} bytes, and a unix socket's has at most {}: give the "
                                "VM a shorter name, or set SEGUE_STATE to a shorter path", longest, longest.size(),
                                socket_path_bytes_max));
    }
    if (folder.find(',') != std::string::npos) {
        return fail(ErrorKind::invalid, fmt::format("\"{}\" holds a comma, which QEMU does not take in a socket's "
                                                    "path: set SEGUE_STATE to another path", folder));
    }
    return {};
}

Parsed<CommandLine> command_line(const Description& description, const Place& place) {
    Filler filler(description, place.host);
    CommandLine command;
    for (const Word& word : description.command) command.words.push_back(filler(word));
    for (const auto& [name, value] : description.env) command.environment.push_back(name + "=" + filler(value));
    Problems problems = std::move(filler.problems());
    for (std::size_t i = 0; i < command.words.size(); ++i) {
        const std::string next = i + 1 < command.words.size() ? command.words[i + 1] : "";
        // What a placeholder brought in; what stands in the text was refused when it was read.
        std::string why = i == 0 ? std::string() : why_not_in_command(command.words[i], next);
        if (why.empty() && i == 0 && (command.words[0].empty() || command.words[0].starts_with('-'))) {
            why = fmt::format("command begins with \"{}\" on host \"{}\", which is no program", command.words[0],
                              place.host);
        }
        if (!why.empty()) problems.push_back({description.command[i].line, std::move(why)});
    }
    if (!problems.empty()) {
        std::ranges::stable_sort(problems, {}, &Problem::line);
        return std::unexpected(std::move(problems));
    }
    add_ours(description, place, command.words);
    return command;
}

}  // namespace segue::vm
