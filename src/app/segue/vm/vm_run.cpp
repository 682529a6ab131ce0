#include "app/segue/vm/vm_run.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "app/segue/process/listener.hpp"
#include "app/segue/process/qemu_process.hpp"
#include "app/segue/vm/vm_folder.hpp"
#include "app/segue/vm/vm_monitor.hpp"
#include "io/chance.hpp"
#include "io/fd.hpp"
#include "io/loop.hpp"
#include "store/sqlite/owner_process.hpp"
#include "store/sqlite/sqlite_journal.hpp"
#include "units/text.hpp"
#include "vm/command_line.hpp"

namespace segue {
namespace {

/// From fork to greeting, memory reserved and images opened.
constexpr Duration greet_max = std::chrono::seconds{20};
constexpr Duration answer_max = std::chrono::seconds{5};
constexpr Duration quit_max = std::chrono::seconds{5};
constexpr int look_again_ms = 20;

std::string moved_sentence(const VmRecord& vm) {
    return fmt::format("{} was moved to {} on {} (job {}) and runs there; it is not started a second time. If that "
                       "host is gone for ever: segue vm start {} --forget-move", vm.name, vm.moved->host, vm.moved->at,
                       vm.moved->job, vm.name);
}

std::string arriving_sentence(const VmRecord& vm) {
    return fmt::format("{} was on its way here from {} on {}, and that it arrived is not known; it is not started on a "
                       "guess. Next: segue recover on {}. If that host is gone for ever: segue vm start {} "
                       "--forget-move", vm.name, vm.arriving->from, vm.arriving->at, vm.arriving->from, vm.name);
}

/// What is in the way of starting it.
Result<void> check_free(const VmRecord& vm, bool forget_move) {
    if (vm_runs(vm)) {
        return fail(ErrorKind::conflict, fmt::format("{} runs already (process {}): segue vm stop {} ends it", vm.name,
                                                     vm.process->pid, vm.name));
    }
    if (listener_on(vm::monitors_in(vm.folder).control) != 0) {
        return fail(ErrorKind::conflict, fmt::format("a process that Segue did not start listens at {}: end it first",
                                                     vm::monitors_in(vm.folder).control));
    }
    if (vm.moved && !forget_move) return fail(ErrorKind::conflict, moved_sentence(vm));
    if (vm.arriving && !forget_move) return fail(ErrorKind::conflict, arriving_sentence(vm));
    return {};
}

/// A move that is not known to have ended owns the guest: after a crash of this host its mark may be missing.
Result<void> check_moves(const std::string& state_folder, const std::string& name) {
    SEGUE_TRY(journal, open_journal_read_only(journal_path(state_folder)));
    SEGUE_TRY(unfinished, journal->unfinished());
    const auto found = std::ranges::find_if(unfinished, [&](const MoveRecord& record) {
        return record.move.role == MoveRole::source && record.move.vm == name;
    });
    if (found == unfinished.end()) return {};
    const auto job = static_cast<std::int64_t>(found->job);
    if (look_for(found->move.owner) != Liveness::gone) {
        return fail(ErrorKind::conflict, fmt::format("{} is being moved by job {} (process {}): wait for its end", name,
                                                     job, found->move.owner.pid));
    }
    return fail(ErrorKind::conflict,
                fmt::format("{} was being moved to {} by job {}, which did not come to its end, so that it may run "
                            "there; it is not started on a guess. Next: segue recover {}", name, found->move.dst.host,
                            job, job));
}

Result<std::string> choose_uuid(const VmRecord& vm, const VmDefinition& definition) {
    const std::string& described = definition.description.uuid;
    if (!vm.uuid.empty() && !described.empty() && vm.uuid != described) {
        return fail(ErrorKind::conflict,
                    fmt::format("{}: its uuid is {}, and {} has been {} on this host: correct it, or give this VM "
                                "another name (what is remembered of the old one is in {})", definition.file, described,
                                vm.name, vm.uuid, vm.folder));
    }
    if (!described.empty()) return described;
    if (!vm.uuid.empty()) return vm.uuid;
    std::string hex = draw_hex();
    hex[12] = '4';  // RFC 4122: drawn at random, of this variant.
    hex[16] = "89ab"[static_cast<unsigned>(hex[16]) % 4];
    return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                       hex.substr(20));
}

Result<void> remember(const VmRecord& vm, const VmDefinition& definition, const std::string& uuid, pid_t pid) {
    if (auto written = write_vm_file(vm.folder, "vm.toml", definition.text); !written) return written;
    if (auto written = write_vm_file(vm.folder, "uuid", uuid + "\n"); !written) return written;
    return write_vm_process(vm.folder, process_of(pid));
}

/// Until it has greeted, has ended or the time is over.
Result<void> await_greeting(const QemuProcess& process, const std::string& monitor) {
    const Instant until = now_on_this_host() + greet_max;
    for (;;) {
        if (process.dead()) {
            return fail(ErrorKind::unavailable, "its QEMU ended as soon as it was started", process.last_words());
        }
        if (now_on_this_host() >= until) {
            return fail(ErrorKind::unavailable, fmt::format("its QEMU did not greet at {} within {}, and was ended",
                                                            monitor, to_text(greet_max)), process.last_words());
        }
        if (VmMonitor::open(monitor, look_again_ms * std::chrono::milliseconds{50})) return {};
        ::poll(nullptr, 0, look_again_ms);
    }
}

/// The process behind a record; empty where it is gone.
Fd hold(const MoveOwner& process) {
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.pid), 0U)));
    // Alive after the pidfd was opened: then the pidfd is this process's.
    return pidfd && look_for(process) == Liveness::alive ? std::move(pidfd) : Fd();
}

bool ends_within(const Fd& pidfd, Duration limit) {
    const Instant until = now_on_this_host() + limit;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now_on_this_host()).count();
        pollfd entry{pidfd.get(), POLLIN, 0};
        if (::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000))) > 0) return true;
        if (left <= 0) return false;
    }
}

/// A move that is under way owns the guest's fate.
Result<void> check_not_moving(VmMonitor& monitor, const std::string& name) {
    SEGUE_TRY(answer, monitor.ask("query-migrate", answer_max));
    const auto* object = answer.if_object();
    const auto* status = object != nullptr ? object->if_contains("status") : nullptr;
    if (status == nullptr || !status->is_string()) return {};
    const std::string_view word = status->get_string();
    for (const std::string_view ended : {"none", "failed", "cancelled"}) {
        if (word == ended) return {};
    }
    if (word == "completed") {
        SEGUE_TRY(state, monitor.ask("query-status", answer_max));
        const auto* run = state.is_object() ? state.get_object().if_contains("status") : nullptr;
        // Else it came by that move, whatever became of it since.
        if (run != nullptr && run->is_string() && run->get_string() != "postmigrate") return {};
    }
    return fail(ErrorKind::conflict, fmt::format("{} is being moved (its QEMU says {}): wait for the end, or "
                                                 "segue cancel; segue status shows it", name, word));
}

Result<void> quit(const Fd& pidfd, VmMonitor* monitor) {
    if (monitor != nullptr && monitor->ask("quit", answer_max) && ends_within(pidfd, quit_max)) return {};
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0U);
    if (ends_within(pidfd, quit_max)) return {};
    return fail(ErrorKind::unavailable, "its QEMU was killed and is not seen to end: its disk or network storage may "
                                        "hang");
}

}  // namespace

Result<VmStarted> start_vm(const VmPlaces& places, const VmDefinition& definition, bool forget_move) {
    const std::string& name = definition.description.name;
    const std::string folder = vm_folder(places.state_folder, name);
    if (auto fits = vm::check_folder(folder); !fits) return std::unexpected(fits.error());
    const auto lock = VmLock::take(places.state_folder, name);
    if (!lock) return std::unexpected(lock.error());
    SEGUE_TRY(vm, load_vm(places.state_folder, name));
    if (auto is_free = check_free(vm, forget_move); !is_free) return std::unexpected(is_free.error());
    if (auto ended = check_moves(places.state_folder, name); !ended) return std::unexpected(ended.error());
    SEGUE_TRY(uuid, choose_uuid(vm, definition));
    auto command = vm::command_line(definition.description, {places.host, folder, uuid, false});
    if (!command) return fail(ErrorKind::invalid, vm::render(command.error(), definition.file));
    if (auto made = make_vm_folder(folder); !made) return std::unexpected(made.error());

    SEGUE_TRY(process, QemuProcess::prepare(command->words, folder + "/qemu.log", {command->environment, "/"}));
    if (auto written = remember(vm, definition, uuid, process.pid()); !written) {
        process.end();
        remove_vm_remains(folder);
        return std::unexpected(written.error());
    }
    process.run();
    auto greeted = await_greeting(process, vm::monitors_in(folder).control);
    if (!greeted) {
        process.end();
        remove_vm_remains(folder);
        greeted.error().message = fmt::format("{} does not run: {}", name, greeted.error().message);
        return std::unexpected(greeted.error());
    }
    remove_vm_file(folder, "moved.json");
    remove_vm_file(folder, "arriving.json");
    remove_vm_file(folder, "arriving.toml");
    settle_vm_folder(folder);
    return VmStarted{process.pid(), uuid};
}

Result<void> stop_vm(const VmPlaces& places, const std::string& name, bool now, Duration wait) {
    SEGUE_TRY(vm, load_vm(places.state_folder, name));
    if (!vm.exists) {
        return fail(ErrorKind::invalid, fmt::format("no VM \"{}\" is known on this host: see segue vm list", name));
    }
    const Fd pidfd = vm.process ? hold(*vm.process) : Fd();
    if (!pidfd) {
        return fail(ErrorKind::conflict, vm.moved ? fmt::format("{} does not run here: it was moved to {} on {}", name,
                                                                vm.moved->host, vm.moved->at)
                                                  : fmt::format("{} does not run here: nothing is to be done", name));
    }
    if (vm.arriving) {
        return fail(ErrorKind::conflict, fmt::format("{} is arriving from {}: wait for the end, or cancel the move "
                                                     "there", name, vm.arriving->from));
    }
    auto monitor = VmMonitor::open(vm::monitors_in(vm.folder).spare, answer_max);
    if (!monitor && !now) {
        return fail(ErrorKind::refused, fmt::format("{} runs, and cannot be asked: end what holds {}, or segue vm stop "
                                                    "{} --now", name, vm::monitors_in(vm.folder).spare, name),
                    to_string(monitor.error()));
    }
    if (monitor) {
        auto still = check_not_moving(*monitor, name);
        if (!still && (still.error().kind == ErrorKind::conflict || !now)) return still;
    }
    if (now) {
        if (auto ended = quit(pidfd, monitor ? &*monitor : nullptr); !ended) return ended;
    } else {
        if (auto asked = monitor->ask("system_powerdown", answer_max); !asked) return std::unexpected(asked.error());
        if (!ends_within(pidfd, wait)) {
            return fail(ErrorKind::unavailable, fmt::format("{} did not power down within {} and still runs: wait "
                                                            "longer with --wait, or segue vm stop {} --now", name,
                                                            to_text(wait), name));
        }
    }
    remove_vm_remains(vm.folder);
    return {};
}

}  // namespace segue
