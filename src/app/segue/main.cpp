/// \file  The command `segue`: words, engine, output, exit status.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "app/segue/cli.hpp"
#include "app/segue/engine.hpp"
#include "app/segue/guard_client.hpp"
#include "app/segue/output.hpp"
#include "app/segue/receive_shell.hpp"
#include "app/segue/signals.hpp"
#include "app/segue/sink.hpp"
#include "io/loop.hpp"
#include "store/file/experience_file.hpp"

namespace segue {
namespace {

WallTime wall_time() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string state_folder() {
    const char* named = std::getenv("SEGUE_STATE");
    return named != nullptr && *named != '\0' ? named : default_state_folder;
}

int migrate(const Migrate& wanted) {
    FdSink out(STDOUT_FILENO);
    FdSink err(STDERR_FILENO);
    Output output(detect_style(wanted.output), {wanted.request.vm, wanted.request.bounds, wanted.request.dry_run}, out,
                  err);
    output.begin(wanted);

    Loop loop;
    ExperienceFile memory(state_folder());
    std::string guest;
    const auto recall = [&](const GuestFacts& src) {
        guest = guest_key(src.uuid, src.name, wanted.src_qmp);
        auto known = memory.load(guest, wall_time());
        if (!known.warning.empty()) output.note(known.warning);
        return Experience{std::move(known.fixed_costs), known.rollback_worst};
    };
    Summary summary;
    int status = exit_status(Outcome::unknown);
    Engine::Where where{wanted.src_qmp, wanted.src_guard_qmp, wanted.dst_qmp, find_guard_program(), {}};
    if (wanted.to) {
        where.remote =
            Engine::Remote{*wanted.to, wanted.dst_command, wanted.port_first, wanted.port_last, SEGUE_VERSION};
    }
    Engine engine(loop, wanted.request, std::move(where),
                  {[&](const Report& report) { output.show(report); }, recall,
                   [&](const std::string& line) { output.note(line); },
                   [&](const Summary& end) {
                       output.show(end);
                       summary = end;
                       status = exit_status(end.outcome);
                       loop.stop();
                   }});
    const Signals signals(
        loop, ::isatty(STDIN_FILENO) == 1,
        [&] { output.note("still moving; press Ctrl-C once more to cancel, the guest then stays on the source"); },
        [&] { engine.cancel(); });
    engine.start();
    loop.run();
    // The guest runs; now there is time for the disk.
    Lesson lesson{summary.learned, std::nullopt};
    if (summary.rollback.count() > 0) lesson.rollback = summary.rollback;
    if (!guest.empty()) {
        const std::string warning = memory.remember(guest, lesson, wall_time());
        if (!warning.empty()) output.note(warning);
    }
    output.close();
    return status;
}

int receive_on_stdio() {
    FdSink err(STDERR_FILENO);
    Loop loop;
    int status = exit_status(Outcome::unknown);
    std::unique_ptr<ReceiveShell> shell;
    const auto stop = [&] {
        if (shell) shell->stop();
    };
    // Before the journal has its thread, which would take the signals otherwise.
    const Signals signals(loop, false, stop, stop);
    auto opened = ReceiveShell::open(loop, {SEGUE_VERSION, find_guard_program(), state_folder()}, err, [&](int ended) {
        status = ended;
        loop.stop();
    });
    if (!opened) {
        err.write("segue receive: " + to_string(opened.error()) + "\n", Weight::result);
        err.drain(std::chrono::seconds{1});
        return exit_status(Outcome::refused);
    }
    shell = std::move(*opened);
    loop.run();
    shell.reset();
    err.drain(std::chrono::seconds{1});
    return status;
}

int run(int argc, char** argv) {
    // A reader that goes away (segue ... | head) must not end a move.
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, nullptr);
    const auto invocation = parse_command_line(argc, argv);
    if (!invocation) {
        FdSink out(STDOUT_FILENO);
        FdSink err(STDERR_FILENO);
        Output output(detect_style({asks_for_json(argc, argv), false}), {}, out, err);
        output.refuse(invocation.error());
        output.close();
        return exit_status(Outcome::refused);
    }
    if (const auto* wanted = std::get_if<Migrate>(&*invocation)) return migrate(*wanted);
    if (std::holds_alternative<Receive>(*invocation)) return receive_on_stdio();
    const auto* help = std::get_if<Help>(&*invocation);
    std::fputs(help ? help->text.c_str() : "segue " SEGUE_VERSION "\n", stdout);
    return 0;
}

}  // namespace
}  // namespace segue

int main(int argc, char** argv) {
    return segue::run(argc, argv);
}
