#include "vm/description.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/nearest_word.hpp"
#include "vm/command_line.hpp"
#include "vm/limit_reader.hpp"
#include "vm/placeholders.hpp"
#include "vm/toml_text.hpp"

namespace segue::vm {
namespace {

const std::vector<std::string> known_keys = {"name", "uuid", "command", "env", "shared_storage", "limits", "host"};
constexpr std::size_t uuid_bytes = 36;

bool is_letter_or_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool holds_control(std::string_view text) {
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_env_name(std::string_view name) {
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') &&
           std::ranges::all_of(name, [](char c) { return is_letter_or_digit(c) || c == '_'; });
}

int line_of(const toml::source_region& region) { return static_cast<int>(region.begin.line); }

/// Reads the whole tree and remembers everything that is wrong with it.
class Reader {
public:
    Description read(const toml::table& file) {
        for (const auto& [key, value] : file) take(key, value);
        require(file, "name", "give the VM a name, for example name = \"web1\"");
        require(file, "command", "give the command that starts its QEMU, as an array of strings");
        check_placeholders();
        return std::move(result_);
    }

    Problems problems() {
        std::ranges::stable_sort(problems_, {}, &Problem::line);
        return std::move(problems_);
    }

private:
    void wrong(int line, std::string what) { problems_.push_back({line, std::move(what)}); }

    void require(const toml::table& file, std::string_view key, std::string_view remedy) {
        if (!file.contains(key)) wrong(0, fmt::format("{} is missing: {}", key, remedy));
    }

    const std::string* text(std::string_view what, const toml::node& node, std::string_view example) {
        if (const auto* value = node.as_string()) {
            if (!holds_control(value->get())) return &value->get();
            wrong(line_of(node.source()), fmt::format("{} holds a control character: take it away", what));
            return nullptr;
        }
        wrong(line_of(node.source()), fmt::format("{} is {}, not a string: write {}", what, kind_of(node), example));
        return nullptr;
    }

    const toml::table* table(std::string_view what, const toml::node& node, std::string_view example) {
        if (const auto* value = node.as_table()) return value;
        wrong(line_of(node.source()), fmt::format("{} is {}, not a table: write {}", what, kind_of(node), example));
        return nullptr;
    }

    void unknown(const toml::key& key, std::string_view place, const std::vector<std::string>& known) {
        const std::string name(key.str());
        const std::string in = place.empty() ? "" : fmt::format(" in [{}]", place);
        if (!place.empty() && std::ranges::find(known_keys, name) != known_keys.end()) {
            return wrong(line_of(key.source()), fmt::format("{} belongs to the whole file: write it above the first "
                                                            "[table]", name));
        }
        const std::string_view near = nearest_word(name, known);
        if (!near.empty()) {
            return wrong(line_of(key.source()), fmt::format("\"{}\" is not known{}: did you mean {}?", shown(name), in,
                                                            near));
        }
        wrong(line_of(key.source()), fmt::format("\"{}\" is not known{}: what is known there is {}", shown(name), in,
                                                 fmt::join(known, ", ")));
    }

    void take(const toml::key& key, const toml::node& node) {
        if (key == "name") take_name(node);
        else if (key == "uuid") take_uuid(node);
        else if (key == "command") take_command(node);
        else if (key == "env") take_env(node);
        else if (key == "shared_storage") take_shared_storage(node);
        else if (key == "limits") take_limits(node);
        else if (key == "host") take_hosts(node);
        else unknown(key, "", known_keys);
    }

    void take_name(const toml::node& node) {
        const std::string* name = text("name", node, "name = \"web1\"");
        if (name == nullptr) return;
        if (!is_vm_name(*name)) {
            return wrong(line_of(node.source()),
                         fmt::format("name \"{}\" cannot be used: take letters, digits, - _ and ., a letter or digit "
                                     "first, at most {} of them", shown(*name), name_bytes_max));
        }
        result_.name = *name;
    }

    void take_uuid(const toml::node& node) {
        const std::string* uuid = text("uuid", node, "uuid = \"8-4-4-4-12 hex digits\", or leave it out");
        if (uuid == nullptr) return;
        if (!is_uuid(*uuid)) {
            return wrong(line_of(node.source()), fmt::format("uuid \"{}\" is none: write 8-4-4-4-12 hex digits, or "
                                                             "leave it out and one is drawn", shown(*uuid)));
        }
        if (uuid->find_first_not_of("0-") == std::string::npos) {
            return wrong(line_of(node.source()), "uuid is all zeros, which means none: leave it out and one is drawn");
        }
        result_.uuid = *uuid;
        for (char& c : result_.uuid) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    }

    void take_shared_storage(const toml::node& node) {
        if (const auto* value = node.as_boolean()) {
            result_.shared_storage = value->get();
        } else {
            wrong(line_of(node.source()), fmt::format("shared_storage is {}: write true or false, without quotes",
                                                      kind_of(node)));
        }
    }

    void take_command(const toml::node& node) {
        const auto* array = node.as_array();
        if (array == nullptr) {
            return wrong(line_of(node.source()), fmt::format("command is {}, not an array: write command = [\"qemu-"
                                                             "system-x86_64\", \"-m\", \"4G\"]", kind_of(node)));
        }
        if (array->empty()) return wrong(line_of(node.source()), "command is empty: its first word names the program");
        for (const toml::node& entry : *array) {
            const std::string* word = text("a word of command", entry, "each word as a string, in quotes");
            if (word != nullptr) result_.command.push_back({*word, line_of(entry.source())});
        }
        if (result_.command.size() == array->size()) check_command();
    }

    void check_command() {
        const std::vector<Word>& words = result_.command;
        const std::string& program = words[0].text;
        if (program.empty() || program.starts_with('-')) {
            wrong(words[0].line, fmt::format("command begins with \"{}\": its first word names the program",
                                             shown(program)));
        } else if (program.find(' ') != std::string::npos) {
            wrong(words[0].line, fmt::format("the first word of command is \"{}\": write each word as a string of its "
                                             "own", shown(program)));
        }
        for (std::size_t i = 1; i < words.size(); ++i) {
            const std::string next = i + 1 < words.size() ? words[i + 1].text : "";
            if (auto why = why_not_in_command(words[i].text, next); !why.empty()) wrong(words[i].line, std::move(why));
        }
    }

    void take_env(const toml::node& node) {
        const toml::table* values = table("env", node, "[env] and below it NAME = \"value\"");
        if (values == nullptr) return;
        for (const auto& [key, value] : *values) {
            const std::string name(key.str());
            if (!is_env_name(name)) {
                wrong(line_of(key.source()), fmt::format("\"{}\" in [env] is no name of a variable: take letters, "
                                                         "digits and _", shown(name)));
                continue;
            }
            const std::string* content = text(name + " in [env]", value, name + " = \"value\"");
            if (content != nullptr) result_.env[name] = {*content, line_of(value.source())};
        }
    }

    void take_limits(const toml::node& node) {
        const toml::table* values = table("limits", node, "[limits] and below it max_downtime = \"300ms\"");
        if (values == nullptr) return;
        Problems found;
        LimitReader reader(Level::vm, result_.limits, found);
        for (const auto& [key, value] : *values) {
            if (!reader.take(key, value)) unknown(key, "limits", limit_keys(Level::vm));
        }
        reader.finish(node.source());
        for (Problem& problem : found) wrong(problem.line, std::move(problem.what));
    }

    void take_hosts(const toml::node& node) {
        const toml::table* hosts = table("host", node, "[host.\"NAME\"] and below it key = \"value\"");
        if (hosts == nullptr) return;
        for (const auto& [host, values] : *hosts) {
            const std::string place = fmt::format("host.\"{}\"", shown(host.str()));
            const toml::table* keys = table(place, values, fmt::format("[{}] and below it key = \"value\"", place));
            if (keys == nullptr) continue;
            HostValues& known = result_.hosts[std::string(host.str())];
            for (const auto& [key, value] : *keys) take_host_value(place, key, value, known);
        }
    }

    void take_host_value(const std::string& place, const toml::key& key, const toml::node& value, HostValues& known) {
        const std::string name(key.str());
        if (!is_key(name)) {
            return wrong(line_of(key.source()), fmt::format("\"{}\" in [{}] cannot stand between braces: take a "
                                                            "letter, then letters, digits, - and _", shown(name),
                                                            place));
        }
        const std::string* content = text(fmt::format("{} in [{}]", name, place), value, name + " = \"value\"");
        if (content != nullptr) known[name] = *content;
    }

    /// For every host that the file names, and for one that it does not name if nothing else gives the value.
    void check_placeholders() {
        for (const Word& word : result_.command) check_placeholders(word);
        for (const auto& [name, word] : result_.env) check_placeholders(word);
    }

    void check_placeholders(const Word& word) {
        std::vector<std::string> told;
        for (const std::string& key : placeholders_in(word.text)) {
            if (std::ranges::find(told, key) != told.end()) continue;
            told.push_back(key);
            const auto has = [&](const HostValues& values) { return values.contains(key); };
            const auto common = result_.hosts.find("default");
            if (common != result_.hosts.end() && has(common->second)) continue;
            if (std::ranges::none_of(result_.hosts, [&](const auto& host) { return has(host.second); })) {
                wrong(word.line, unknown_placeholder(key));
                continue;
            }
            for (const auto& [host, values] : result_.hosts) {
                if (has(values) || host == "default") continue;
                wrong(word.line, fmt::format("{{{}}} has no value for host \"{}\": give it one in [host.\"{}\"] or in "
                                             "[host.default]", key, shown(host), shown(host)));
            }
        }
    }

    [[nodiscard]] std::string unknown_placeholder(const std::string& key) const {
        std::vector<std::string> known;
        for (const auto& [host, values] : result_.hosts) {
            for (const auto& [name, value] : values) known.push_back(name);
        }
        const std::string_view near = nearest_word(key, known);
        if (!near.empty()) {
            return fmt::format("no host has a value for {{{}}}: did you mean {{{}}}?", key, near);
        }
        return fmt::format("no host has a value for {{{}}}: give it one in [host.default] or [host.\"NAME\"], or write "
                           "{{{{{}}}}} if the braces are meant", key, key);
    }

    Description result_;
    Problems problems_;
};

}  // namespace

bool is_vm_name(std::string_view name) {
    return !name.empty() && name.size() <= name_bytes_max && is_letter_or_digit(name.front()) &&
           std::ranges::all_of(name, [](char c) {
               return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.';
           });
}

bool is_uuid(std::string_view text) {
    if (text.size() != uuid_bytes) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        const char c = text[i];
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !hex) return false;
    }
    return true;
}

std::string why_not_in_command(std::string_view word, std::string_view next) {
    struct Ours {
        std::string_view option;
        std::string_view why;
    };
    constexpr std::string_view monitors = "Segue gives QEMU its three monitors, in the VM's folder: leave it out";
    constexpr std::array ours{
        Ours{"-incoming", "Segue adds it where the VM arrives: leave it out"},
        Ours{"-S", "Segue starts the guest, and adds it where the VM arrives: leave it out"},
        Ours{"-daemonize", "QEMU gets a session of its own, and must stay the process that was started: leave it out"},
        Ours{"-qmp", monitors},
        Ours{"-qmp-pretty", monitors},
        Ours{"-mon", monitors},
        Ours{"-monitor", "Segue gives QEMU its three monitors: leave it out, or write none"},
        Ours{"-name", "the VM's name is the field name: leave it out"},
        Ours{"-uuid", "the VM's uuid is the field uuid: leave it out"},
        Ours{"-pidfile", "Segue remembers the process itself: leave it out"},
        Ours{"-preconfig", "QEMU would wait for somebody to start the guest: leave it out"},
        Ours{"-loadvm", "where the VM arrives, its state comes from the move: leave it out"}};
    if (word.starts_with("--")) word.remove_prefix(1);
    const auto found = std::ranges::find(ours, word, &Ours::option);
    if (found == ours.end() || (word == "-monitor" && next == "none")) return {};
    return fmt::format("{} cannot stand in command: {}", word, found->why);
}

std::string render(const Problems& problems, std::string_view file) {
    std::string text;
    for (const Problem& problem : problems) {
        if (!text.empty()) text += '\n';
        text += file;
        if (problem.line > 0) text += fmt::format(":{}", problem.line);
        if (problem.line > 0 && problem.column > 0) text += fmt::format(":{}", problem.column);
        text += ": " + problem.what;
    }
    return text;
}

Parsed<Description> parse_description(std::string_view text) {
    if (text.size() > description_bytes_max) {
        return std::unexpected(Problems{{0, fmt::format("it has {} bytes: at most {} are taken", text.size(),
                                                        description_bytes_max)}});
    }
    auto file = parse_toml(text);
    if (!file) {
        file.error().what = shown(file.error().what);
        file.error().column = 0;  // Here a line is enough: every other problem has only that.
        return std::unexpected(Problems{file.error()});
    }
    Reader reader;
    Description description = reader.read(*file);
    if (auto problems = reader.problems(); !problems.empty()) return std::unexpected(std::move(problems));
    return description;
}

}  // namespace segue::vm
