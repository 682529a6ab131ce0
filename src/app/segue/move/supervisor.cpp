// The rule alone; supervisor_facts.cpp reads the host.
#include "app/segue/move/supervisor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

struct Manager {
    std::string_view name;
    std::string_view disarm;  ///< {} is the folder that it works in.
};
constexpr std::array managers = {
    Manager{"runsv", "touch {0}/down && sv down {0}"},
    Manager{"s6-supervise", "touch {0}/down && s6-svc -d {0}"},
    Manager{"supervise", "touch {0}/down && svc -d {0}"},
    Manager{"supervisord", "supervisorctl stop PROGRAM"},
    Manager{"libvirtd", ""},
    Manager{"virtqemud", ""},
    Manager{"perpd", ""},
    Manager{"monit", "monit unmonitor SERVICE"},
    Manager{"circusd", "circusctl stop WATCHER"},
    Manager{"supervise-daemo", "rc-service SERVICE stop"},
    Manager{"conmon", ""},
    Manager{"containerd-shim", ""},
    Manager{"dockerd", ""},
    Manager{"pve-ha-lrm", "ha-manager set vm:ID --state ignored"},
};
constexpr std::array shells = {"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "mksh", "fish"};
/// They run one command and end with it.
constexpr std::array wrappers = {"sudo",  "su",   "doas",     "env",    "nice",   "ionice",  "taskset", "chrt",
                                 "prlimit", "setsid", "numactl", "timeout", "nohup", "unshare", "nsenter", "ip",
                                 "stdbuf", "strace", "systemd-inhibit"};
/// First processes of a host, a container or a session: they take over orphans, and start nothing again.
constexpr std::array inits = {"systemd", "init", "(sd-pam)", "tini", "dumb-init", "docker-init", "catatonit",
                              "segue",   "segued", "segue-guard"};

template <class Names>
bool is_among(std::string_view name, const Names& names) {
    return std::ranges::find(names, name) != std::end(names);
}

std::string_view last_part(std::string_view path) {
    if (path.starts_with("-")) path.remove_prefix(1);  // A login shell.
    return path.substr(path.rfind('/') + 1);
}

bool has_loop(const std::string& script) {
    std::string word;
    for (const char c : script + ' ') {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-') {
            word += c;
            continue;
        }
        if (word == "while" || word == "until") return true;
        word.clear();
    }
    return false;
}

const Manager* manager_of(const Ancestor& process) {
    const auto* found = std::ranges::find_if(managers, [&](const Manager& manager) {
        // The kernel cuts names: containerd-shim-runc-v2.
        return process.name.starts_with(manager.name) &&
               (process.name == manager.name || manager.name == "containerd-shim");
    });
    return found == managers.end() ? nullptr : found;
}

Finding found(const std::string& what, const std::string& disarm) {
    std::string remedy = "give --on-success COMMAND, which runs on this host once the guest runs on the destination "
                         "and before this QEMU is ended: let it see to it that nothing starts this QEMU again";
    if (!disarm.empty()) remedy += fmt::format(", for example --on-success '{}'", plain_text(disarm));
    return {"source: " + what + ", and a second copy of the guest would run after the move", remedy,
            "supervisor"};
}

/// Whether the QEMU is what the service's main process is, or waits for.
bool depends_on(const SupervisorView& view, int main_pid) {
    if (main_pid == 0) return true;
    for (const Ancestor& process : view.line) {
        if (process.pid == main_pid) return true;
        if (process.terminal && is_shell(process)) return false;  // Somebody's session below it.
    }
    return false;
}

std::optional<Finding> judge_unit(const SupervisorView& view) {
    const std::string unit = plain_text(view.unit);
    if (view.unit.ends_with(".scope")) {
        if (view.unit.starts_with("machine-qemu")) {
            return found(fmt::format("libvirt manages its QEMU ({}) and may start it again", unit), "");
        }
        if (view.slice == "qemu.slice") {
            return found(fmt::format("Proxmox VE manages its QEMU (qemu.slice/{}) and may start it again", unit), "");
        }
        return std::nullopt;
    }
    if (!view.unit.ends_with(".service")) return std::nullopt;
    const std::string disarm = "systemctl disable --now " + view.unit;
    if (view.service) {
        if (view.service->restart == "no" || !depends_on(view, view.service->main_pid)) return std::nullopt;
        return found(fmt::format("systemd would start its QEMU again: {} has Restart={}", unit,
                                 plain_text(view.service->restart)),
                     disarm);
    }
    if (view.unit == view.own_unit) return std::nullopt;
    return found(fmt::format("its QEMU belongs to the service {}, and systemd could not be asked whether that would be "
                             "started again", unit), disarm);
}

std::optional<Finding> judge_shell(const Ancestor& shell) {
    if (shell.script && has_loop(*shell.script)) {
        return found(fmt::format("its QEMU was started by the shell script of process {} ({}), which has a loop and "
                                 "may start it again", shell.pid, plain_text(shell.name)),
                     fmt::format("kill {}", shell.pid));
    }
    if (!shell.script && !shell.terminal) {
        return found(fmt::format("its QEMU was started by a shell without a terminal (process {}), whose script cannot "
                                 "be read and may start it again", shell.pid),
                     fmt::format("kill {}", shell.pid));
    }
    return std::nullopt;
}

SupervisorVerdict judge_parents(const SupervisorView& view) {
    for (std::size_t i = 1; i < view.line.size(); ++i) {
        const Ancestor& process = view.line[i];
        if (const Manager* manager = manager_of(process)) {
            const std::string folder = process.folder.empty() ? "FOLDER" : process.folder;
            return {found(fmt::format("{} (process {}) would start its QEMU again", manager->name, process.pid),
                          fmt::format(fmt::runtime(manager->disarm), folder)), {}};
        }
        if (is_shell(process)) {
            if (auto finding = judge_shell(process)) return {std::move(finding), {}};
            if (!process.script) return {};  // Interactive.
            continue;
        }
        if (is_among(std::string_view(process.name), inits) || process.pid == 1) return {};
        if (is_among(std::string_view(process.name), wrappers)) continue;
        return {{}, fmt::format("the source's QEMU is a child of {} (process {}); if that would start it again, stop, "
                                "and give --on-success", plain_text(process.name), process.pid)};
    }
    return {};
}

}  // namespace

bool is_shell(const Ancestor& process) {
    return !process.words.empty() && is_among(last_part(process.words[0]), shells);
}

SupervisorVerdict judge_supervisor(const SupervisorView& view) {
    if (auto finding = judge_unit(view)) return {std::move(finding), {}};
    return judge_parents(view);
}

UnitPath unit_in(std::string_view text) {
    std::string_view unified;
    std::string_view named;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with("0::")) unified = line.substr(3);
        const auto at = line.find(":name=systemd:");
        if (at != std::string_view::npos) named = line.substr(at + 14);
    }
    std::string_view path = named.empty() || named == "/" ? unified : named;
    while (!path.empty()) {
        const auto slash = path.rfind('/');
        const std::string_view part = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
        const std::string_view above = path.substr(0, slash == std::string_view::npos ? 0 : slash);
        if (part.ends_with(".service") || part.ends_with(".scope")) {
            return {std::string(part), std::string(last_part(above))};
        }
        path = above;
    }
    return {};
}

}  // namespace segue
