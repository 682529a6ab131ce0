#include "app/segue/words/dst_host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <optional>
#include <utility>

#include "app/segue/words/host_name.hpp"
#include "app/segue/words/plain_text.hpp"
#include "receive/limits.hpp"

namespace segue {
namespace {

namespace json = boost::json;
using Words = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

constexpr std::string_view forms = "write ssh://USER@HOST, or cmd:COMMAND that reaches segue receive --stdio";

// ---- words -----------------------------------------------------------------------------------------

/// One pass over the text, a state for each kind of quote.
class Splitter {
public:
    Splitter(std::string_view what, std::string_view text) : what_(what), text_(text) {}

    Result<Words> split() {
        for (; at_ < text_.size(); ++at_) {
            if (auto taken = take(text_[at_]); !taken) return std::unexpected(taken.error());
        }
        end_word();
        return std::move(words_);
    }

private:
    Result<void> take(char c) {
        constexpr std::string_view blanks = " \t\n";
        constexpr std::string_view for_a_shell = "|&;<>()$`";
        if (blanks.find(c) != std::string_view::npos) {
            end_word();
        } else if (c == '\'') {
            return take_single_quoted();
        } else if (c == '"') {
            return take_double_quoted();
        } else if (c == '\\') {
            if (++at_ == text_.size()) return wrong(fmt::format("{} ends with a backslash: take it away", what_));
            add(text_[at_]);
        } else if (for_a_shell.find(c) != std::string_view::npos) {
            return wrong(fmt::format("{} holds {} outside of quotes, and no shell is there to act on it: quote it, or "
                                     "write sh -c '...'", what_, c));
        } else {
            add(c);
        }
        return {};
    }

    Result<void> take_single_quoted() {
        const auto end = text_.find('\'', at_ + 1);
        if (end == std::string_view::npos) return unclosed('\'');
        add(text_.substr(at_ + 1, end - at_ - 1));
        at_ = end;
        return {};
    }

    Result<void> take_double_quoted() {
        add(std::string_view{});  // "" is a word.
        for (++at_; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"') return {};
            const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
            if (c == '$' || c == '`') {
                return wrong(fmt::format("{} holds {} in double quotes, and no shell is there to act on it: write it "
                                         "in single quotes", what_, c));
            }
            if (c == '\\' && (next == '"' || next == '\\' || next == '$' || next == '`')) ++at_;
            add(text_[at_]);
        }
        return unclosed('"');
    }

    std::unexpected<Error> unclosed(char quote) const {
        return wrong(fmt::format("{} has a {} that is not closed: close it", what_, quote));
    }

    void add(char c) { add(std::string_view(&c, 1)); }
    void add(std::string_view part) {
        if (!word_) word_.emplace();
        word_->append(part);
    }
    void end_word() {
        if (word_) words_.push_back(std::move(*word_));
        word_.reset();
    }

    std::string_view what_;
    std::string_view text_;
    std::size_t at_ = 0;
    std::optional<std::string> word_;
    Words words_;
};

// ---- ssh -------------------------------------------------------------------------------------------

bool is_user_name(std::string_view user) {
    constexpr std::size_t user_bytes_max = 64;
    const auto plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
               c == '-' || c == '@' || c == '+';
    };
    return !user.empty() && user.size() <= user_bytes_max && user.front() != '-' && std::ranges::all_of(user, plain);
}

struct SshPlace {
    std::string user, host, port;
};

Result<SshPlace> parse_ssh_place(std::string_view text) {
    const auto bad = [text](std::string_view why) {
        return wrong(fmt::format("--to \"{}\" {}: write ssh://[USER@]HOST[:PORT], for example ssh://root@host2",
                                 plain_text(text), why));
    };
    std::string_view rest = text.substr(std::string_view("ssh://").size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    SshPlace place;
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        place.user = rest.substr(0, at);
        rest = rest.substr(at + 1);
        if (place.user.find(':') != std::string::npos) return bad("holds a password, and ssh goes by keys");
        if (!is_user_name(place.user)) return bad("has no valid user name");
    }
    std::optional<std::string_view> port;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) return bad("has no closing bracket");
        place.host = rest.substr(1, end - 1);
        if (!is_ipv6(place.host)) return bad("has no IPv6 address between its brackets");
        const std::string_view after = rest.substr(end + 1);
        if (!after.empty() && after.front() != ':') return bad("has something other than :PORT after the bracket");
        if (!after.empty()) port = after.substr(1);
    } else {
        const auto colon = rest.find(':');
        place.host = rest.substr(0, colon);
        if (colon != std::string_view::npos) port = rest.substr(colon + 1);
        if (!is_host_name(place.host)) return bad("has no valid host name");
    }
    if (port) {
        if (port_number(*port) == 0) return bad("has no valid port");
        place.port = *port;
    }
    return place;
}

/// The operator's words come first: of an option that is given twice ssh takes the first.
Result<Words> ssh_program() {
    const char* named = std::getenv("SEGUE_SSH");
    if (named == nullptr || *named == '\0') return Words{"ssh"};
    SEGUE_TRY(words, split_words("SEGUE_SSH", named));
    if (words.empty() || words.front().empty() || words.front().starts_with("-")) {
        return wrong("SEGUE_SSH names no program: write for example SEGUE_SSH='ssh -F /etc/segue/ssh_config'");
    }
    return words;
}

/// The keepalive ends ssh itself: our own leases notice a dead connection long before.
Result<Words> ssh_command(const SshPlace& place) {
    SEGUE_TRY(command, ssh_program());
    command.insert(command.end(), {"-T", "-a", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15",
                                   "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
                                   "-o", "ControlMaster=no", "-o", "ClearAllForwardings=yes"});
    if (!place.user.empty()) command.insert(command.end(), {"-l", place.user});
    if (!place.port.empty()) command.insert(command.end(), {"-p", place.port});
    command.insert(command.end(), {"--", place.host, "segue", "receive", "--stdio"});
    return command;
}

}  // namespace

Result<Words> split_words(std::string_view what, std::string_view text) { return Splitter(what, text).split(); }

Result<DstHost> parse_dst_host(std::string_view text) {
    const std::string shown = plain_text(text);
    DstHost host{std::string(text), {}, false, {}};
    if (text.starts_with("cmd:")) {
        SEGUE_TRY(words, split_words("--to", text.substr(4)));
        if (words.empty() || words.front().empty()) {
            return wrong("--to cmd: names no command: write one that reaches segue receive --stdio, for example --to "
                         "'cmd:ssh host2 segue receive --stdio'");
        }
        if (words.front().starts_with("-")) {
            return wrong(fmt::format("--to \"{}\": the command begins with a dash: name a program", shown));
        }
        host.name = "destination";
        host.command = std::move(words);
        return host;
    }
    if (text.starts_with("ssh://")) {
        SEGUE_TRY(place, parse_ssh_place(text));
        SEGUE_TRY(command, ssh_command(place));
        host.command = std::move(command);
        host.ssh = true;
        host.name = place.host;
        return host;
    }
    if (text.empty()) return wrong(fmt::format("--to is empty: {}", forms));
    if (text.starts_with("qemu+") || text.starts_with("libvirt:")) {
        return wrong(fmt::format("--to \"{}\" is a host of libvirt, which is not supported yet: {}", shown, forms));
    }
    if (text.starts_with("ssh:")) {
        return wrong(fmt::format("--to \"{}\" is not understood: did you mean ssh://{}?", shown,
                                 plain_text(text.substr(4))));
    }
    if (is_host_name(text.substr(text.find('@') == std::string_view::npos ? 0 : text.find('@') + 1))) {
        return wrong(fmt::format("--to \"{}\" is a bare name: did you mean ssh://{}?", shown, shown));
    }
    return wrong(fmt::format("--to \"{}\" is not understood: {}", shown, forms));
}

Result<Words> parse_dst_command(std::string_view text) {
    constexpr std::string_view example = "for example --dst-command 'qemu-system-x86_64 -S -incoming defer ...'";
    Words words;
    if (text.starts_with('[')) {
        boost::system::error_code problem;
        const json::value value = json::parse(text, problem);
        const json::array* array = problem ? nullptr : value.if_array();
        if (array == nullptr) {
            return wrong("--dst-command begins like a JSON array and is none: give an array of strings");
        }
        for (const auto& word : *array) {
            if (!word.is_string()) {
                return wrong("--dst-command has an entry that is no string: give an array of strings");
            }
            words.emplace_back(word.as_string());
        }
    } else {
        SEGUE_TRY(split, split_words("--dst-command", text));
        words = std::move(split);
    }
    if (words.empty() || words.front().empty()) {
        return wrong(
            fmt::format("--dst-command names no program: give what starts the destination's QEMU, {}", example));
    }
    // It travels as one line of the protocol. Doubled, because escapes may double it.
    constexpr std::size_t command_bytes_max = receive::line_bytes_max / 2;
    std::size_t bytes = 0;
    for (const auto& word : words) {
        bytes += word.size() + 3;
        if (std::ranges::any_of(word, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
            return wrong("--dst-command holds a control character: take it away");
        }
        if (word.size() > receive::text_bytes_max) {
            return wrong(fmt::format("--dst-command has a word of {} bytes: at most {} are taken", word.size(),
                                     receive::text_bytes_max));
        }
    }
    if (words.size() > receive::list_entries_max || bytes > command_bytes_max) {
        return wrong(fmt::format("--dst-command is too long: at most {} words and {} KiB are taken, put the rest "
                                 "into a file for -readconfig", receive::list_entries_max, command_bytes_max / 1024));
    }
    return words;
}

}  // namespace segue
