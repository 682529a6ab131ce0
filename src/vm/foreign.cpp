#include "vm/foreign.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "vm/command_line.hpp"
#include "vm/option_words.hpp"

namespace segue::vm {
namespace {

using Words = std::vector<std::string>;

/// QEMU's options without an argument, 4.2 to 10.
constexpr std::array<std::string_view, 34> flags{
    "-S",           "-alt-grab",    "-ctrl-grab",        "-curses",        "-daemonize",   "-enable-kvm",
    "-full-screen", "-h",           "-help",             "-enable-hax",    "-mem-prealloc", "-no-acpi",
    "-no-fd-bootchk", "-no-hpet",   "-no-quit",          "-no-reboot",     "-no-shutdown", "-no-user-config",
    "-nodefaults",  "-nographic",   "-nouserconfig",     "-old-param",     "-only-migratable", "-preconfig",
    "-s",           "-semihosting", "-singlestep",       "-snapshot",      "-usb",         "-version",
    "-win2k-hack",  "-xen-attach",  "-xen-domid-restrict", "-enable-sync-profile"};
/// Said anew for the destination, or only of the first start.
constexpr std::array<std::string_view, 5> left_out{"-S", "-daemonize", "-incoming", "-loadvm", "-preconfig"};
constexpr std::array<std::string_view, 6> loader_options{"--library-path", "--preload", "--argv0",
                                                         "--audit", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask"};
/// What QEMU and its loader read of their environment.
constexpr std::array<std::string_view, 3> environment_prefixes{"QEMU_", "LD_LIBRARY_PATH=", "LD_PRELOAD="};

template <std::size_t N>
bool is_in(const std::array<std::string_view, N>& words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

std::string joined(const Words& pieces) { return fmt::format("{}", fmt::join(pieces, ",")); }

std::vector<int> numbers_in(std::string_view text) {
    std::vector<int> numbers;
    while (!text.empty()) {
        const auto end = std::min(text.find(':'), text.size());
        int number = -1;
        std::from_chars(text.data(), text.data() + end, number);
        numbers.push_back(number);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return numbers;
}

class Translator {
public:
    explicit Translator(const ForeignGuest& guest) : guest_(guest) {}

    std::expected<Words, ForeignProblems> run() {
        std::size_t at = begin();
        const std::size_t program_end = words_.size();
        find_fd_sets(at);
        while (at < guest_.argv.size()) at = option(at);
        if (!machine_said_) words_.insert(at_front(program_end), {"-machine", guest_.machine_type});
        const std::string monitor = monitor_of_segue(guest_.monitor, guest_.paths);
        if (monitor.size() > socket_path_bytes_max || !monitor.starts_with('/') ||
            monitor.find(',') != std::string::npos) {
            wrong(fmt::format("{}, a monitor for Segue on the destination, is no path that a socket can have "
                              "(absolute, no comma, at most {} bytes): name the source's monitor by a shorter path",
                              monitor, socket_path_bytes_max));
        }
        words_.insert(at_front(program_end), {"-qmp", "unix:" + monitor + ",server=on,wait=off"});
        words_.insert(words_.end(), {"-S", "-incoming", "defer"});
        check_plugged();
        if (!problems_.empty()) return std::unexpected(std::move(problems_));
        return std::move(words_);
    }

private:
    Words::iterator at_front(std::size_t index) { return words_.begin() + static_cast<std::ptrdiff_t>(index); }
    void wrong(std::string sentence) { problems_.push_back(std::move(sentence)); }
    std::string changed(std::string_view text) const { return change_paths(text, guest_.paths); }

    /// What stands before QEMU's own options: where it starts, its environment, a loader, the program.
    std::size_t begin() {
        Words kept;
        for (const std::string& variable : guest_.environment) {
            const bool wanted = std::ranges::any_of(environment_prefixes, [&](std::string_view prefix) {
                return variable.starts_with(prefix);
            });
            if (wanted) kept.push_back(changed(variable));
        }
        if (guest_.folder != "/" || !kept.empty()) {
            words_ = {"/usr/bin/env", "-C", changed(guest_.folder)};
            words_.insert(words_.end(), kept.begin(), kept.end());
        }
        const auto& argv = guest_.argv;
        if (argv.empty()) {
            wrong("the command line of its QEMU cannot be read: run segue as root, or give --dst-command");
            return 0;
        }
        words_.push_back(argv[0].starts_with('/') ? argv[0] : guest_.program);
        const std::string_view name = std::string_view(argv[0]).substr(argv[0].rfind('/') + 1);
        std::size_t at = 1;
        if (!name.starts_with("ld-") && !name.starts_with("ld.so")) return at;
        while (at < argv.size() && argv[at].starts_with("--")) {
            const std::size_t count = is_in(loader_options, argv[at]) ? 2 : 1;
            for (std::size_t i = 0; i < count && at < argv.size(); ++i) words_.push_back(argv[at++]);
        }
        if (at < argv.size()) words_.push_back(argv[at++]);
        return at;
    }

    /// -add-fd fd=7,set=2: /dev/fdset/2 is what descriptor 7 is.
    void find_fd_sets(std::size_t at) {
        for (; at + 1 < guest_.argv.size(); ++at) {
            if (guest_.argv[at] != "-add-fd" && guest_.argv[at] != "--add-fd") continue;
            const auto numbers = numbers_in(option_value(guest_.argv[at + 1], "fd").value_or(""));
            const auto set = option_value(guest_.argv[at + 1], "set").value_or("");
            const auto known = numbers.empty() ? guest_.fds.end() : guest_.fds.find(numbers[0]);
            if (known == guest_.fds.end() || known->second.path.empty()) {
                wrong(fmt::format("-add-fd {}: what its starter handed over there has no path that could be opened on "
                                  "the destination: give --dst-command", guest_.argv[at + 1]));
            } else {
                sets_.push_back({"/dev/fdset/" + set, known->second.path});
            }
        }
    }

    std::size_t option(std::size_t at) {
        const auto& argv = guest_.argv;
        if (!argv[at].starts_with('-')) {  // A disk's file, as it stands.
            words_.push_back(changed(argv[at]));
            return at + 1;
        }
        const std::string name = argv[at].starts_with("--") ? argv[at].substr(1) : argv[at];
        const bool has_value = !is_in(flags, name) && at + 1 < argv.size();
        const std::size_t next = at + (has_value ? 2 : 1);
        if (name == "-snapshot") {
            wrong("-snapshot: the guest's writes go to a temporary file that the destination does not have: it cannot "
                  "be moved");
        }
        if (is_in(left_out, name) || name == "-add-fd") return next;
        if (!has_value) {
            words_.push_back(argv[at]);
            return next;
        }
        const std::string& value = argv[at + 1];
        if (name == "-device" && unplugged(value)) return next;
        const std::string added = "unix:" + monitor_of_segue(guest_.monitor, {}) + ",server=on,wait=off";
        if (name == "-qmp" && value == added) return next;
        words_.push_back(argv[at]);
        words_.push_back(changed(with_sets(translated(name, value))));
        return next;
    }

    std::string translated(const std::string& name, const std::string& value) {
        if (name == "-machine" || name == "-M") return machine(value);
        if (name == "-chroot" || (name == "-run-with" && option_value(value, "chroot"))) {
            wrong(fmt::format("{} {}: paths mean something else there: give --dst-command", name, value));
        }
        if (name == "-netdev" && value.starts_with("tap,")) return tap(value);
        check_fds(name, value);
        if (name == "-chardev" && !is_json_option(value)) return appending(value);
        return value;
    }

    std::string machine(const std::string& value) {
        machine_said_ = true;
        Words pieces = option_pieces(value);
        bool said = false;
        for (std::string& piece : pieces) {
            if (piece.starts_with("type=")) {
                piece = "type=" + guest_.machine_type;
                said = true;
            }
        }
        if (pieces.front().find('=') == std::string::npos) {
            pieces.front() = guest_.machine_type;
            said = true;
        }
        if (!said) pieces.insert(pieces.begin(), "type=" + guest_.machine_type);
        return joined(pieces);
    }

    /// The destination makes its own tap, of the same name.
    std::string tap(const std::string& value) {
        const auto fds = numbers_in(option_value(value, "fds").value_or(option_value(value, "fd").value_or("")));
        if (fds.empty()) return value;
        const auto known = guest_.fds.find(fds[0]);
        if (known == guest_.fds.end() || known->second.tap.empty()) {
            wrong(fmt::format("-netdev {}: what its starter handed over there is no tap whose name is known: give "
                              "--dst-command", value));
            return value;
        }
        Words pieces;
        bool vhost = false;
        for (const std::string& piece : option_pieces(value)) {
            if (piece.starts_with("vhostfd")) vhost = true;
            if (!piece.starts_with("fd") && !piece.starts_with("vhost")) pieces.push_back(piece);
            if (piece.starts_with("vhost=") || piece.starts_with("vhostforce=")) pieces.push_back(piece);
        }
        pieces.insert(pieces.end(), {"ifname=" + known->second.tap, "script=no", "downscript=no"});
        if (fds.size() > 1) pieces.push_back(fmt::format("queues={}", fds.size()));
        if (vhost && !option_value(value, "vhost")) pieces.emplace_back("vhost=on");
        return joined(pieces);
    }

    void check_fds(const std::string& name, const std::string& value) {
        for (const std::string_view key : {"fd", "fds", "vhostfd", "vhostfds", "sockfd"}) {
            if (!option_value(value, key)) continue;
            wrong(fmt::format("{} {}: its starter handed QEMU a descriptor there, which the destination has not: give "
                              "--dst-command", name, value));
            return;
        }
    }

    /// Two QEMUs may see the same file: the new one must not empty it.
    static std::string appending(const std::string& value) {
        std::string result = value;
        if (value.starts_with("file,") && !option_value(value, "append")) result += ",append=on";
        if (option_value(value, "logfile") && !option_value(value, "logappend")) result += ",logappend=on";
        return result;
    }

    std::string with_sets(std::string_view value) const {
        std::string result;
        while (!value.empty()) {
            const auto set = std::ranges::find_if(sets_, [&](const PathChange& one) {
                if (!value.starts_with(one.from)) return false;
                const char next = value.size() > one.from.size() ? value[one.from.size()] : ',';
                return next < '0' || next > '9';
            });
            result += set == sets_.end() ? std::string(1, value.front()) : set->to;
            value.remove_prefix(set == sets_.end() ? 1 : set->from.size());
        }
        return result;
    }

    /// Taken out while the guest ran: then the destination has none either.
    bool unplugged(const std::string& value) {
        const auto id = option_value(value, "id");
        if (!id) return false;
        described_.push_back(*id);
        return !guest_.devices.contains(*id);
    }

    void check_plugged() {
        for (const auto& [id, type] : guest_.devices) {
            if (std::ranges::find(described_, id) != described_.end()) continue;
            wrong(fmt::format("the device {} ({}) was plugged in while the guest ran, and its command line does not "
                              "have it: unplug it, or give --dst-command with it", id, type));
        }
    }

    const ForeignGuest& guest_;
    Words words_;
    ForeignProblems problems_;
    std::vector<PathChange> sets_;
    Words described_;
    bool machine_said_ = false;
};

}  // namespace

std::string change_paths(std::string_view text, const std::vector<PathChange>& paths) {
    std::string result;
    constexpr std::string_view before = "=,:\" ";
    constexpr std::string_view after = "/,:\" ";
    for (std::size_t at = 0; at < text.size();) {
        const bool begins = at == 0 || before.find(text[at - 1]) != std::string_view::npos;
        const auto change = std::ranges::find_if(paths, [&](const PathChange& one) {
            if (!begins || !text.substr(at).starts_with(one.from)) return false;
            const std::size_t end = at + one.from.size();
            return end == text.size() || after.find(text[end]) != std::string_view::npos;
        });
        if (change == paths.end()) {
            result += text[at++];
        } else {
            result += change->to;
            at += change->from.size();
        }
    }
    return result;
}

std::string monitor_of_segue(const std::string& monitor, const std::vector<PathChange>& paths) {
    constexpr std::string_view ending = ".segue";
    const std::string path = change_paths(monitor, paths);
    return path.ends_with(ending) ? path : path + std::string(ending);
}

std::expected<std::vector<std::string>, ForeignProblems> foreign_command(const ForeignGuest& guest) {
    return Translator(guest).run();
}

}  // namespace segue::vm
