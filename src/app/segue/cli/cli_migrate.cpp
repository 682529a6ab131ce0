#include "app/segue/cli/cli_migrate.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "app/segue/cli/cli_bounds.hpp"
#include "app/segue/cli/help_text.hpp"
#include "app/segue/words/data_place.hpp"
#include "app/segue/words/dst_host.hpp"
#include "app/segue/words/plain_text.hpp"
#include "base/nearest_word.hpp"
#include "units/text.hpp"
#include "vm/description.hpp"

namespace segue {
namespace {

using Words = std::vector<std::string>;

/// The longest path that a unix socket's address can hold, without its closing zero.
constexpr std::size_t socket_path_bytes_max = 107;

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid, std::move(message)); }

/// What CLI11 found, still as text.
struct MigrateWords {
    Words vm;
    std::optional<std::string> src_qmp, src_guard_qmp, to, dst_qmp, dst_command, data_address;
    BoundWords bounds;
    SteeringWords steering;
    std::optional<std::string> on_success;
    bool non_live = false;
    bool dry_run = false;
    bool no_forecast = false;
    bool storage_is_shared = false;
    bool unsafe = false;
    std::optional<std::string> map_path;
    bool json = false;
    bool verbose = false;
    bool help = false;
};

void declare(CLI::App& app, MigrateWords& words) {
    app.set_help_flag();
    app.add_flag("-h,--help", words.help);
    app.add_option("VM", words.vm);
    app.add_option("--src-qmp", words.src_qmp);
    app.add_option("--src-guard-qmp", words.src_guard_qmp);
    app.add_option("--to", words.to);
    app.add_option("--dst-qmp", words.dst_qmp);
    app.add_option("--dst-command", words.dst_command);
    app.add_option("--data-address", words.data_address);
    declare_bounds(app, words.bounds);
    declare_steering(app, words.steering);
    app.add_option("--on-success", words.on_success);
    app.add_flag("--non-live", words.non_live);
    app.add_flag("--dry-run", words.dry_run);
    app.add_flag("--no-forecast", words.no_forecast);
    app.add_flag("--storage-is-shared", words.storage_is_shared);
    app.add_flag("--unsafe", words.unsafe);
    app.add_option("--map-path", words.map_path);
    app.add_flag("--json", words.json);
    app.add_flag("-v,--verbose", words.verbose);
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

Words option_names(const CLI::App& app) {
    Words names;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
}

Result<void> unknown_option(const CLI::App& app, const std::string& name) {
    const Words known = option_names(app);
    const std::string_view near = nearest_word(name, known);
    if (near.empty()) {
        return wrong(fmt::format("{} is not an option of segue migrate: see segue migrate --help",
                                 plain_text(name)));
    }
    return wrong(fmt::format("{} is not an option: did you mean {}?", plain_text(name), near));
}

/// Looks through the words in CLI11's way and says what is wrong with them in ours: CLI11's own messages
/// name no remedy, and "--timeout= --json" or "--max-downtime -5ms" it would understand otherwise.
Result<void> check_words(const CLI::App& app, const Words& words) {
    Words seen;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == "--") break;
        if (word.size() < 2 || word.front() != '-') continue;
        const auto equals = word.starts_with("--") ? word.find('=') : std::string::npos;
        const std::string name = word.substr(0, equals);
        const CLI::Option* const option = app.get_option_no_throw(name);
        if (option == nullptr || option->get_positional()) return unknown_option(app, name);
        if (!takes_value(*option)) {
            if (equals == std::string::npos) continue;
            return wrong(fmt::format("{} takes no value: leave out \"{}\"", name, plain_text(word.substr(equals))));
        }
        if (std::ranges::find(seen, name) != seen.end()) {
            return wrong(fmt::format("{} is given twice: give it once", name));
        }
        seen.push_back(name);
        if (equals != std::string::npos) {
            if (equals + 1 < word.size()) continue;
            return wrong(fmt::format("{} has no value after the \"=\": {}", name, value_hint(name)));
        }
        const bool has_next = i + 1 < words.size();
        if (!has_next || words[i + 1].starts_with("-")) {
            const std::string found = has_next ? fmt::format(" before \"{}\"", plain_text(words[i + 1])) : "";
            return wrong(fmt::format("{} has no value{}: {}", name, found, value_hint(name)));
        }
        ++i;
    }
    return {};
}

// ---- monitors --------------------------------------------------------------------------------------

/// The path of a QMP socket; "qmp:" before it is allowed everywhere. `option` is for messages.
Result<std::string> parse_socket_path(std::string_view option, std::string_view text) {
    if (text.starts_with("qmp:")) text.remove_prefix(4);
    if (text.empty()) {
        return wrong(fmt::format("{} names no socket: give the path of a QMP socket, for example {}", option,
                                 option == "VM" ? "qmp:/run/a.qmp" : "/run/b.qmp"));
    }
    for (const std::string_view scheme : {"unix:", "tcp:", "unix://"}) {
        if (text.starts_with(scheme)) {
            return wrong(fmt::format("{} \"{}\" is no path: give the path of a unix socket alone, without \"{}\"",
                                     option, plain_text(text), scheme));
        }
    }
    if (text.size() > socket_path_bytes_max) {
        return wrong(fmt::format("{} is a path of {} bytes, and a unix socket's has at most {}: use a shorter one "
                                 "(a symbolic link to its folder will do)",
                                 option, text.size(), socket_path_bytes_max));
    }
    return std::string(text);
}

Result<void> check_vm_word(const std::string& word) {
    if (word.starts_with("qmp:")) return {};
    const std::string shown = plain_text(word);
    constexpr std::string_view works = "this version knows a guest by its name or its QMP socket, as NAME or qmp:PATH";
    if (word.empty()) return wrong("VM is empty: give its name, or its QMP socket, for example qmp:/run/a.qmp");
    if (word.front() == '/' || word.front() == '.') {
        return wrong(fmt::format("VM \"{}\" is a path: did you mean qmp:{}?", shown, shown));
    }
    if (word.starts_with("QMP:") || word.starts_with("unix:") || word.starts_with("qmp=")) {
        return wrong(fmt::format("VM \"{}\" is not understood: write qmp:PATH, for example qmp:/run/a.qmp", shown));
    }
    if (word.starts_with("libvirt:") || word.starts_with("qemu:") || word.starts_with("qemu+")) {
        return wrong(fmt::format("VM \"{}\" is a guest of libvirt, which is not supported yet: {}", shown, works));
    }
    if (word.starts_with("xen:") || word.starts_with("xl:")) {
        return wrong(fmt::format("VM \"{}\" is a guest of Xen, which is not supported yet: {}", shown, works));
    }
    if (vm::is_vm_name(word)) return {};
    return wrong(fmt::format("VM \"{}\" is no name (letters, digits, - _ and ., at most {}): {}", shown,
                             vm::name_bytes_max, works));
}

/// The monitor's path; empty where the VM is known by its name.
Result<std::string> parse_src(const MigrateWords& words) {
    if (words.vm.size() > 1) {
        const std::string& extra = words.vm[1];
        if (extra.starts_with("ssh://") || extra.starts_with("cmd:")) {
            return wrong(fmt::format("\"{0}\" is one word too many: did you mean --to {0}?", plain_text(extra)));
        }
        return wrong(fmt::format("\"{}\" is one word too many: segue migrate moves one VM, here \"{}\"",
                                 plain_text(words.vm[1]), plain_text(words.vm[0])));
    }
    if (!words.vm.empty() && words.src_qmp) {
        return wrong("the VM is given twice, as the first word and with --src-qmp: give one of them");
    }
    if (words.src_qmp) return parse_socket_path("--src-qmp", *words.src_qmp);
    if (words.vm.empty()) {
        return wrong("no VM is given: name it, or its QMP socket, as in segue migrate qmp:/run/a.qmp");
    }
    if (auto known = check_vm_word(words.vm[0]); !known) return std::unexpected(known.error());
    return words.vm[0].starts_with("qmp:") ? parse_socket_path("VM", words.vm[0]) : Result<std::string>("");
}

Result<void> check_distinct(const Migrate& migrate) {
    // The same path on another host is another monitor.
    if (!migrate.to && migrate.dst_qmp == migrate.src_qmp) {
        return wrong(fmt::format("--dst-qmp {} is the source's own monitor: give the QMP socket of the QEMU that "
                                 "waits for the guest", plain_text(migrate.dst_qmp)));
    }
    if (!migrate.src_guard_qmp) return {};
    if (*migrate.src_guard_qmp == migrate.src_qmp || (!migrate.to && *migrate.src_guard_qmp == migrate.dst_qmp)) {
        return wrong(fmt::format("--src-guard-qmp {} is a monitor that is used already: give a second QMP socket "
                                 "of the source, or leave the option out", plain_text(*migrate.src_guard_qmp)));
    }
    return {};
}

/// The destination's QEMU on this host.
Result<void> take_local_destination(const MigrateWords& words, Migrate& migrate) {
    if (words.dst_command) {
        return wrong("--dst-command needs --to: on this host start the destination's QEMU with -S -incoming defer and "
                     "give its --dst-qmp");
    }
    if (!words.dst_qmp) {
        return wrong("--dst-qmp is missing: give the QMP socket of the QEMU that waits for the guest, for example "
                     "--dst-qmp /run/b.qmp");
    }
    SEGUE_TRY(dst, parse_socket_path("--dst-qmp", *words.dst_qmp));
    migrate.dst_qmp = dst;
    return {};
}

/// The destination's QEMU is built there, from the VM's description.
Result<void> check_named(const MigrateWords& words, const std::string& name) {
    if (!words.to) {
        return wrong(fmt::format("{} is a VM's name, and it moves to another host: give --to ssh://USER@HOST", name));
    }
    if (words.dst_qmp || words.dst_command) {
        return wrong(fmt::format("{} is a VM's name, and its QEMU is started on the other host from its description: "
                                 "leave {} out", name, words.dst_qmp ? "--dst-qmp" : "--dst-command"));
    }
    return {};
}

Result<void> take_destination(const MigrateWords& words, Migrate& migrate) {
    if (!migrate.vm_name.empty()) {
        if (auto fits = check_named(words, migrate.vm_name); !fits) return fits;
        SEGUE_TRY(there, parse_dst_host(*words.to));
        migrate.to = there;
        return {};
    }
    if (!words.to) return take_local_destination(words, migrate);
    SEGUE_TRY(host, parse_dst_host(*words.to));
    migrate.to = host;
    if (words.dst_qmp && words.dst_command) {
        return wrong("--dst-qmp and --dst-command exclude each other: give the socket of a QEMU that waits there, or "
                     "how to start one");
    }
    if (words.dst_command) {
        SEGUE_TRY(command, parse_dst_command(*words.dst_command));
        migrate.dst_command = command;
        return {};
    }
    if (!words.dst_qmp) {
        // As the source's QEMU was started, so is the destination's.
        if (migrate.src_qmp.front() != '/') {
            return wrong(fmt::format("VM qmp:{} is relative, and the destination is built after it: give the whole "
                                     "path, for example qmp:/run/a.qmp", plain_text(migrate.src_qmp)));
        }
        migrate.foreign = true;
        return {};
    }
    SEGUE_TRY(dst, parse_socket_path("--dst-qmp", *words.dst_qmp));
    if (dst.front() != '/') {
        return wrong(fmt::format("--dst-qmp \"{}\" is relative, and on another host that means nothing: give the whole "
                                 "path, for example /run/b.qmp", plain_text(dst)));
    }
    migrate.dst_qmp = dst;
    return {};
}

/// "FROM=TO[,FROM=TO...]"
Result<std::vector<vm::PathChange>> parse_path_map(std::string_view text) {
    std::vector<vm::PathChange> changes;
    while (!text.empty()) {
        const auto end = std::min(text.find(','), text.size());
        const std::string_view one = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto equals = std::min(one.find('='), one.size());
        vm::PathChange change{std::string(one.substr(0, equals)),
                              std::string(one.substr(std::min(equals + 1, one.size())))};
        for (std::string* path : {&change.from, &change.to}) {
            while (path->size() > 1 && path->ends_with('/')) path->pop_back();
            if (path->size() > 1 && path->front() == '/') continue;
            return wrong(fmt::format("--map-path \"{}\" is not understood: give two absolute folders, for example "
                                     "--map-path /srv/a=/srv/b", plain_text(one)));
        }
        changes.push_back(std::move(change));
    }
    return changes;
}

Result<void> take_path_map(const MigrateWords& words, Migrate& migrate) {
    if (!words.map_path) return {};
    if (!migrate.foreign) {
        return wrong("--map-path is for a destination that is built from the source's command line: leave it out, or "
                     "give qmp:PATH and --to alone");
    }
    SEGUE_TRY(changes, parse_path_map(*words.map_path));
    migrate.path_map = changes;
    return {};
}

Result<void> take_data_address(const MigrateWords& words, Migrate& migrate) {
    if (!words.data_address && migrate.to && migrate.to->ssh) {
        migrate.request.data_address = {migrate.to->name, 0};
        return {};
    }
    if (!words.data_address) {
        return wrong("--data-address is missing: give an address of the destination that the source can reach, for "
                     "example --data-address 10.77.0.2");
    }
    SEGUE_TRY(place, parse_data_place(*words.data_address));
    if (place.port_first != 0 && !migrate.to) {
        return wrong(fmt::format("--data-address \"{}\" has a range of ports, which needs --to: give one port, or none",
                                 plain_text(*words.data_address)));
    }
    migrate.request.data_address = place.address;
    migrate.port_first = place.port_first;
    migrate.port_last = place.port_last;
    return {};
}

/// What only a live move knows must not be given and then mean nothing. Settings are for every move.
Result<void> check_non_live(const MigrateWords& words) {
    if (!words.non_live) return {};
    const BoundWords& bounds = words.bounds;
    const SteeringWords& steering = words.steering;
    const std::pair<bool, std::string_view> of_live[] = {
        {bounds.max_downtime.has_value(), "--max-downtime"},
        {bounds.max_suspend_time.has_value(), "--max-suspend-time"},
        {bounds.min_cpu.has_value(), "--min-cpu"},
        {bounds.max_stall.has_value(), "--max-stall"},
        {bounds.switchover_bandwidth.has_value(), "--switchover-bandwidth"},
        {steering.aggression.has_value(), "--aggression"},
        {steering.brake.has_value(), "--brake"},
        {steering.auto_converge, "--auto-converge"},
        {steering.policy.has_value(), "--policy"},
        {words.no_forecast, "--no-forecast"}};
    for (const auto& [given, name] : of_live) {
        if (!given) continue;
        return wrong(fmt::format("{} has no meaning with --non-live, which stops the guest before it is copied; "
                                 "--timeout and --max-bandwidth hold: leave one of the two out", name));
    }
    return {};
}

Result<void> take_on_success(const MigrateWords& words, Migrate& migrate) {
    if (!words.on_success) return {};
    if (words.on_success->empty()) {
        return wrong(fmt::format("--on-success names no command: {}", value_hint("--on-success")));
    }
    if (words.on_success->size() > on_success_bytes_max) {
        return wrong(fmt::format("--on-success has {} bytes, and the journal takes at most {}: put them into a script",
                                 words.on_success->size(), on_success_bytes_max));
    }
    migrate.request.on_success = *words.on_success;
    return {};
}

/// What the operator said, apart from what was filled in.
void take_given(const MigrateWords& words, Migrate& migrate) {
    const Bounds& bounds = migrate.request.bounds;
    if (words.bounds.max_downtime || words.bounds.max_suspend_time) migrate.given.max_downtime = bounds.max_downtime;
    migrate.given.timeout = bounds.timeout;
    if (words.bounds.min_cpu) migrate.given.min_cpu = bounds.min_cpu;
    migrate.given.max_stall = bounds.max_stall;
    if (words.steering.aggression) migrate.given.aggression = migrate.request.aggression;
    migrate.given.max_bandwidth = bounds.max_bandwidth;
    migrate.given.switchover_bandwidth = bounds.switchover_bandwidth;
    const DataAddress& address = migrate.request.data_address;
    if (words.data_address) migrate.given.data_address = address.host;
    if (address.port != 0) migrate.given.data_ports = vm::Ports{address.port, address.port};
    if (migrate.port_first != 0) migrate.given.data_ports = vm::Ports{migrate.port_first, migrate.port_last};
}

Result<Invocation> to_invocation(const MigrateWords& words) {
    Migrate migrate;
    SEGUE_TRY(src, parse_src(words));
    migrate.src_qmp = src;
    if (src.empty()) migrate.vm_name = words.vm[0];
    migrate.request.storage_is_shared = words.storage_is_shared;
    migrate.request.unsafe = words.unsafe;
    if (auto taken = take_destination(words, migrate); !taken) return std::unexpected(taken.error());
    if (words.src_guard_qmp) {
        SEGUE_TRY(guard, parse_socket_path("--src-guard-qmp", *words.src_guard_qmp));
        migrate.src_guard_qmp = guard;
    }
    if (auto taken = take_path_map(words, migrate); !taken) return std::unexpected(taken.error());
    if (auto distinct = check_distinct(migrate); !distinct) return std::unexpected(distinct.error());
    if (auto taken = take_data_address(words, migrate); !taken) return std::unexpected(taken.error());
    if (auto fits = check_non_live(words); !fits) return std::unexpected(fits.error());
    SEGUE_TRY(bounds, parse_bounds(words.bounds, migrate.notes));
    SEGUE_TRY(steering, parse_steering(words.steering));
    migrate.request.vm = migrate.vm_name.empty() ? "qmp:" + migrate.src_qmp : migrate.vm_name;
    migrate.request.bounds = bounds;
    migrate.request.brake = steering.brake;
    migrate.request.brake_required = steering.brake_required;
    migrate.request.aggression = steering.aggression;
    migrate.policy = steering.policy;
    if (auto taken = take_on_success(words, migrate); !taken) return std::unexpected(taken.error());
    take_given(words, migrate);
    migrate.request.remote = migrate.to.has_value();
    migrate.request.dry_run = words.dry_run;
    migrate.request.forecast = !words.no_forecast;
    migrate.request.non_live = words.non_live;
    migrate.output = {words.json, words.verbose};
    return migrate;
}

}  // namespace

Result<Invocation> parse_migrate(const std::vector<std::string>& arguments, bool plan) {
    MigrateWords words;
    CLI::App app;
    declare(app, words);
    if (auto checked = check_words(app, arguments); !checked) return std::unexpected(checked.error());
    try {
        app.parse(Words(arguments.rbegin(), arguments.rend()));  // CLI11 takes them last first.
    } catch (const CLI::ParseError& error) {
        return wrong(fmt::format("the command line is not understood ({}): see segue {} --help",
                                 plain_text(error.what()), plan ? "plan" : "migrate"));
    }
    if (words.help) return Help{std::string(plan ? plan_help_text : migrate_help_text)};
    auto invocation = to_invocation(words);
    auto* migrate = invocation ? std::get_if<Migrate>(&*invocation) : nullptr;
    if (migrate == nullptr || !plan) return invocation;
    if (words.non_live) return wrong("segue plan shows what a live move would cost: leave --non-live out");
    if (words.no_forecast) return wrong("segue plan without its forecast has nothing to say: leave --no-forecast out");
    migrate->plan = true;
    migrate->request.dry_run = true;
    return invocation;
}

std::vector<std::string> migrate_options() {
    MigrateWords words;
    CLI::App app;
    declare(app, words);
    return option_names(app);
}

}  // namespace segue
