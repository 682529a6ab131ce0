/// \file  Checks that start a program and listen to it: guardian, QEMU, ssh, the other host's segue.

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "app/segue/destination/dst_port.hpp"
#include "app/segue/destination/remote_dst.hpp"
#include "app/segue/destination/transport.hpp"
#include "app/segue/doctor/doctor.hpp"
#include "app/segue/move/guard_client.hpp"
#include "hypervisor/qemu/settings.hpp"
#include "io/chance.hpp"
#include "io/loop.hpp"

namespace segue {
namespace {

namespace json = boost::json;

void add(Checkups& into, std::string check, Verdict verdict, std::string what, std::string remedy = {}) {
    into.push_back({std::move(check), verdict, std::move(what), std::move(remedy)});
}

/// What a program said until it ended, or until it was ended.
struct Answer {
    std::string said;
    std::optional<TransportEnd> end;  ///< Nothing: it did not end in time.
    std::string why;                  ///< It could not be started.
};

Answer ask_program(const std::vector<std::string>& command, std::string_view words) {
    Loop loop;
    Answer answer;
    constexpr std::size_t said_bytes_max = 1024 * 1024;
    auto started = Transport::start(
        loop, command,
        {.on_bytes = [&](std::string_view bytes) {
             if (answer.said.size() < said_bytes_max) answer.said += bytes;
         },
         .on_note = [](const std::string&) {},
         .on_end = [&](const TransportEnd& end) {
             answer.end = end;
             loop.stop();
         }});
    if (!started) return {"", std::nullopt, to_string(started.error())};
    (*started)->send(words);
    loop.at(loop.now() + doctor_limits::program_max, [&] { loop.stop(); });
    loop.run();
    if (!answer.end) (*started)->terminate();
    return answer;
}

/// As a shell finds it; empty: nowhere.
std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
    const char* const path = std::getenv("PATH");
    std::string_view folders = path != nullptr ? path : "/usr/bin:/bin";
    while (!folders.empty()) {
        const auto end = std::min(folders.find(':'), folders.size());
        const std::string file = fmt::format("{}/{}", folders.substr(0, end), name);
        if (::access(file.c_str(), X_OK) == 0) return file;
        folders.remove_prefix(std::min(end + 1, folders.size()));
    }
    return {};
}

// ---- QEMU ------------------------------------------------------------------------------------------

/// What a QEMU without a machine says of itself; each null where it did not.
struct QemuSaid {
    json::value version, capabilities, parameters;
};

QemuSaid read_qemu(const std::string& said) {
    QemuSaid found;
    std::size_t begin = 0;
    while (begin < said.size()) {
        const std::size_t end = std::min(said.find('\n', begin), said.size());
        boost::system::error_code problem;
        const json::value line = json::parse(std::string_view(said).substr(begin, end - begin), problem);
        begin = end + 1;
        const auto* object = problem ? nullptr : line.if_object();
        const auto* id = object != nullptr ? object->if_contains("id") : nullptr;
        const auto* value = object != nullptr ? object->if_contains("return") : nullptr;
        if (id == nullptr || value == nullptr || !id->is_string()) continue;
        if (id->get_string() == "version") found.version = *value;
        if (id->get_string() == "capabilities") found.capabilities = *value;
        if (id->get_string() == "parameters") found.parameters = *value;
    }
    return found;
}

std::string version_text(const json::value& version) {
    const auto part = [&](std::string_view name) -> std::int64_t {
        const auto* object = version.if_object();
        const auto* numbers = object != nullptr ? object->if_contains("qemu") : nullptr;
        const auto* group = numbers != nullptr ? numbers->if_object() : nullptr;
        const auto* number = group != nullptr ? group->if_contains(name) : nullptr;
        return number != nullptr && number->is_int64() ? number->get_int64() : 0;
    };
    return fmt::format("{}.{}.{}", part("major"), part("minor"), part("micro"));
}

void check_one_qemu(const std::string& program, Checkups& into) {
    const Answer answer = ask_program(
        {program, "-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"},
        "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-version\",\"id\":\"version\"}\n"
        "{\"execute\":\"query-migrate-capabilities\",\"id\":\"capabilities\"}\n"
        "{\"execute\":\"query-migrate-parameters\",\"id\":\"parameters\"}\n{\"execute\":\"quit\"}\n");
    const QemuSaid said = read_qemu(answer.said);
    if (said.version.is_null() || said.capabilities.is_null()) {
        const std::string why = !answer.why.empty() ? answer.why
                                : !answer.end       ? std::string("it did not answer within 10 s")
                                : !answer.end->last_note.empty() ? answer.end->last_note
                                                                 : "it " + answer.end->why;
        return add(into, "qemu", Verdict::problem, fmt::format("{} does not answer as a QEMU: {}", program, why),
                   "run it by hand with -machine none -display none -qmp stdio, and see what it says");
    }
    const auto source = qemu::originals(qemu::Side::source, said.capabilities, said.parameters);
    const auto destination = qemu::originals(qemu::Side::destination, said.capabilities, said.parameters);
    std::vector<std::string> missing = qemu::missing_features(qemu::Side::source, source);
    for (std::string& name : qemu::missing_features(qemu::Side::destination, destination)) {
        if (std::ranges::find(missing, name) == missing.end()) missing.push_back(std::move(name));
    }
    const std::string named = fmt::format("{} is QEMU {}", program, version_text(said.version));
    if (!missing.empty()) {
        return add(into, "qemu", Verdict::problem,
                   fmt::format("{}, which has no {}", named, fmt::join(missing, ", ")), "QEMU 7.2 or newer has it");
    }
    const bool native = source.parameters.contains("avail-switchover-bandwidth");
    add(into, "qemu", Verdict::ok,
        fmt::format("{} and has what moves need; --switchover-bandwidth is {}", named,
                    native ? "its own" : "done by segue (8.2 has its own)"));
}

std::string usual_qemu() {
    utsname system{};
    const std::string machine = ::uname(&system) == 0 ? system.machine : "x86_64";
    return "qemu-system-" + machine;
}

// ---- the other host ----------------------------------------------------------------------------------

/// "--to" is what migrate calls it.
std::string as_host_option(std::string text) {
    constexpr std::string_view migrate_option = "--to ";
    if (text.starts_with(migrate_option)) text.replace(0, migrate_option.size(), "--host ");
    return text;
}

}  // namespace

void check_guardian(Checkups& into) {
    const std::string program = find_guard_program();
    if (::access(program.c_str(), X_OK) != 0) {
        return add(into, "guardian", Verdict::problem, fmt::format("segue-guard is not found as {}", program),
                   "install it beside segue, or name it with $SEGUE_GUARD: no move begins without it");
    }
    // Without a word it says what it is for, and ends.
    constexpr int exit_usage = 2;
    const Answer answer = ask_program({program}, "");
    if (!answer.why.empty() || !answer.end || answer.end->status != exit_usage ||
        answer.end->last_note.find("segue-guard") == std::string::npos) {
        return add(into, "guardian", Verdict::problem,
                   fmt::format("{} does not run as segue-guard does: {}", program,
                               !answer.why.empty() ? answer.why : answer.end ? answer.end->why : "it does not end"),
                   "install the segue-guard of this very version beside segue");
    }
    add(into, "guardian", Verdict::ok, fmt::format("{} is there and runs", program));
}

void check_qemu(const VmPlaces& places, Checkups& into) {
    // The program's name, and a VM that needs it.
    std::map<std::string, std::string> wanted;
    for (const std::string& name : configured_vms(places)) {
        const auto definition = find_definition(places, name);
        if (!definition || definition->description.command.empty()) continue;
        const std::string& program = definition->description.command.front().text;
        if (program.find('{') == std::string::npos) wanted.emplace(program, name);
    }
    const bool described = !wanted.empty();
    if (!described) wanted.emplace(usual_qemu(), "");
    std::size_t looked_at = 0;
    for (const auto& [program, vm] : wanted) {
        if (++looked_at > doctor_limits::programs_max) break;
        const std::string path = find_program(program);
        if (!path.empty()) {
            check_one_qemu(path, into);
            continue;
        }
        add(into, "qemu", described ? Verdict::problem : Verdict::warning,
            described ? fmt::format("{} is not found, and VM {} is started with it", program, vm)
                      : fmt::format("{} is not found: no VM can arrive here by its name", program),
            "install QEMU, or describe the VMs with the program's path");
    }
}

void check_ssh(Checkups& into) {
    const auto host = parse_dst_host("ssh://host");
    if (!host) {
        return add(into, "ssh", Verdict::problem, host.error().message, "write the words of $SEGUE_SSH as for a shell");
    }
    const std::string program = host->command.front();
    const std::string path = find_program(program);
    const char* const named = std::getenv("SEGUE_SSH");
    const bool ours = named != nullptr && *named != '\0';
    if (path.empty()) {
        return add(into, "ssh", ours ? Verdict::problem : Verdict::warning,
                   fmt::format("{}{} is not found: --to ssh://HOST cannot be used", ours ? "$SEGUE_SSH: " : "", program),
                   "install the OpenSSH client, or name one with $SEGUE_SSH");
    }
    add(into, "ssh", Verdict::ok, fmt::format("{} is there{}", path, ours ? ", by $SEGUE_SSH" : ""));
}

void check_other_host(const DstHost& host, const std::string& segue_version, Checkups& into) {
    Loop loop;
    std::optional<std::expected<void, Finding>> ready;
    receive::ClientPlan plan;
    plan.hello = our_hello(segue_version, receive::MoveId{draw_hex()});
    std::vector<std::string> notes;
    auto port = make_remote_dst(loop, host, std::move(plan),
                                {.on_ready = [&](std::expected<void, Finding> how) {
                                     ready = std::move(how);
                                     loop.stop();
                                 },
                                 .on_notice = [](const GuestNotice&) {},
                                 .on_note = [&](const std::string& line) { notes.push_back(line); }});
    loop.at(loop.now() + doctor_limits::greeting_max, [&] { loop.stop(); });
    loop.run();
    if (!ready) {
        return add(into, "host", Verdict::problem,
                   fmt::format("--host {} does not greet within 20 s{}", host.as_written,
                               notes.empty() ? "" : ": " + notes.back()),
                   "run that command by hand: it must reach segue receive --stdio, which answers with a line of JSON");
    }
    if (!*ready) {
        const Finding& finding = ready->error();
        return add(into, "host", Verdict::problem, as_host_option(finding.what), as_host_option(finding.remedy));
    }
    const double milliseconds = to_seconds(port->round_trip()) * 1e3;
    const std::string greeting =
        fmt::format("{} greets as {}, and answers within {:.1f} ms", host.as_written, port->host_name(), milliseconds);
    constexpr Duration far = std::chrono::milliseconds{50};
    if (port->round_trip() > far) {
        return add(into, "host", Verdict::warning, greeting + ": every switchover waits for one such answer",
                   "give --max-downtime more room, or find out why the way there is slow");
    }
    add(into, "host", Verdict::ok, greeting);
    add(into, "host", Verdict::ok,
        "its segue and its journal are usable; what else it lacks, segue doctor says there");
}

}  // namespace segue
