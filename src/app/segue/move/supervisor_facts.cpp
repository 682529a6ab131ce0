// What /proc and systemd say of the source's QEMU.
#include <fmt/format.h>
#include <limits.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "app/segue/move/supervisor.hpp"
#include "app/segue/process/command_run.hpp"

namespace segue {
namespace {

constexpr std::size_t script_bytes_max = 64 * 1024;
constexpr std::size_t ancestors_max = 32;
constexpr Duration systemd_max = std::chrono::seconds{2};

std::optional<std::string> read_some(const std::string& path) {
    // Not a pipe, which would be waited for, nor a device.
    std::error_code problem;
    if (!std::filesystem::is_regular_file(path, problem)) return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string text(script_bytes_max, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

std::string link_target(const std::string& path) {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    target.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return target;
}

std::vector<std::string> words_of(const std::string& cmdline) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < cmdline.size()) {
        const auto end = std::min(cmdline.find('\0', at), cmdline.size());
        words.push_back(cmdline.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

/// What a shell was given to run: the text after -c, or the file.
std::optional<std::string> script_of(const std::string& proc, const std::vector<std::string>& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == "--" || word == "-o" || word == "+o") {
            ++i;
            continue;
        }
        if (word.size() > 1 && (word[0] == '-' || word[0] == '+')) {
            const bool has_text = word[0] == '-' && word[1] != '-' && word.find('c') != std::string::npos;
            if (has_text) return i + 1 < words.size() ? std::optional(words[i + 1]) : std::nullopt;
            continue;
        }
        return read_some(word.starts_with("/") ? proc + "/root" + word : proc + "/cwd/" + word);
    }
    return std::nullopt;
}

/// Without its parent's number; that is 0 where there is none.
std::optional<std::pair<Ancestor, int>> look_at(int pid) {
    const std::string proc = fmt::format("/proc/{}", pid);
    const auto stat = read_some(proc + "/stat");
    const auto open = stat ? stat->find('(') : std::string::npos;
    const auto close = stat ? stat->rfind(')') : std::string::npos;
    if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
    Ancestor process;
    process.pid = pid;
    process.name = stat->substr(open + 1, close - open - 1);
    char state = 0;
    int parent = 0, group = 0, session = 0, terminal = 0;
    const int fields =
        std::sscanf(stat->c_str() + close + 1, " %c %d %d %d %d", &state, &parent, &group, &session, &terminal);
    if (fields != 5) return std::nullopt;
    process.terminal = terminal != 0;
    process.words = words_of(read_some(proc + "/cmdline").value_or(""));
    process.folder = link_target(proc + "/cwd");
    if (is_shell(process)) process.script = script_of(proc, process.words);
    return std::pair{std::move(process), parent};
}

int number_in(std::string_view text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// None where there is no systemd, or it does not answer, or does not know the unit (a user's own manager has it).
std::optional<ServiceFacts> ask_systemd(const std::string& unit) {
    if (::access("/run/systemd/system", F_OK) != 0) return std::nullopt;
    const auto said = run_command(
        {"systemctl", "show", "--property=LoadState", "--property=Restart", "--property=MainPID", "--", unit},
        systemd_max);
    if (!said || said->status != 0) return std::nullopt;
    ServiceFacts facts;
    bool loaded = false;
    std::string_view text = said->output;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line == "LoadState=loaded") loaded = true;
        if (line.starts_with("Restart=")) facts.restart = line.substr(8);
        if (line.starts_with("MainPID=")) facts.main_pid = number_in(line.substr(8));
    }
    if (!loaded || facts.restart.empty()) return std::nullopt;
    return facts;
}

}  // namespace

SupervisorVerdict find_supervisor(int pid) {
    if (pid == 0) {
        return {{}, "the source's QEMU cannot be seen from here, so neither could what might start it again after the "
                    "move; if something would, stop, and give --on-success"};
    }
    SupervisorView view;
    for (int next = pid; next > 0 && view.line.size() < ancestors_max;) {
        auto process = look_at(next);
        if (!process) break;
        view.line.push_back(std::move(process->first));
        next = process->second;
    }
    const UnitPath where = unit_in(read_some(fmt::format("/proc/{}/cgroup", pid)).value_or(""));
    view.unit = where.unit;
    view.slice = where.slice;
    view.own_unit = unit_in(read_some("/proc/self/cgroup").value_or("")).unit;
    if (view.unit.ends_with(".service")) view.service = ask_systemd(view.unit);
    return judge_supervisor(view);
}

}  // namespace segue
