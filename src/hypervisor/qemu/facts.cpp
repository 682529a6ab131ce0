#include "hypervisor/qemu/facts.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "hypervisor/qemu/guest_content.hpp"
#include "hypervisor/qemu/host.hpp"
#include "hypervisor/qemu/machine_facts.hpp"
#include "hypervisor/qemu/storage.hpp"
#include "hypervisor/qemu/wire.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

/// Beside the feature words: what the guest's CPUID says besides, as properties of the CPU.
constexpr std::array<std::string_view, 5> cpu_properties{"vendor", "family", "model", "stepping", "phys-bits"};

json::object qom(std::string_view path, std::string_view property = {}) {
    json::object arguments;
    arguments["path"] = path;
    if (!property.empty()) arguments["property"] = property;
    return arguments;
}

/// One Inspect under way: all questions that need no answer first, then those about the first CPU. The
/// callbacks own it, so that it goes with the connection.
struct Reading : std::enable_shared_from_this<Reading> {
    Reading(Attachment& attachment_in, Side side_in, const Originals* found_in, Instant deadline_in,
            std::function<void(Result<GuestFacts>)> on_facts_in)
        : attachment(attachment_in), side(side_in), deadline(deadline_in), on_facts(std::move(on_facts_in)) {
        if (found_in != nullptr) found = *found_in;
    }

    Attachment& attachment;
    const Side side;
    std::optional<Originals> found;
    const Instant deadline;
    std::function<void(Result<GuestFacts>)> on_facts;
    /// What was answered; what was refused is not in here. null stands for it.
    std::map<std::string, json::value, std::less<>> answers;
    std::size_t open = 0;
    bool cpu_asked = false;

    void start();
    void ask(std::string key, std::string_view command, json::object arguments);
    void ask_about_cpu();
    void ask_about_memory();
    void answered(const std::string& key, Result<json::value> reply);
    [[nodiscard]] const json::value& of(std::string_view key) const;
    [[nodiscard]] GuestFacts facts();
    void add_storage(GuestFacts& facts);
    [[nodiscard]] std::string cpu_features() const;
};

void Reading::start() {
    // Counted as one more until all are asked.
    ++open;
    for (const char* command :
         {"query-version", "query-name", "query-uuid", "query-status", "query-migrate", "query-migrate-capabilities",
          "query-migrate-parameters", "query-cpus-fast", "query-kvm", "query-memory-size-summary", "query-pci",
          "query-block"}) {
        ask(command, command, {});
    }
    ask("machine", "qom-get", qom("/machine", "type"));
    for (const char* folder : {"peripheral", "peripheral-anon", "unattached"}) {
        ask(folder, "qom-list", qom(std::string("/machine/") + folder));
    }
    ask("objects", "qom-list", qom("/objects"));
    // Without `flat` every node brings its whole backing chain.
    json::object flat;
    flat["flat"] = true;
    ask("query-named-block-nodes", "query-named-block-nodes", std::move(flat));
    --open;
}

void Reading::ask(std::string key, std::string_view command, json::object arguments) {
    ++open;
    const Duration left = std::max(deadline - attachment.now(), Duration{0});
    attachment.connection().execute(command, std::move(arguments), left,
                                    [self = shared_from_this(), key = std::move(key)](Result<json::value> reply) {
                                        self->answered(key, std::move(reply));
                                    });
}

void Reading::ask_about_cpu() {
    cpu_asked = true;
    const json::array& cpus = elements(&of("query-cpus-fast"));
    const std::string path = cpus.empty() ? std::string{} : text_of(member(cpus.front(), "qom-path"));
    if (path.empty()) return;
    ask("cpu type", "qom-get", qom(path, "type"));
    ask("feature-words", "qom-get", qom(path, "feature-words"));
    ask("unavailable-features", "qom-get", qom(path, "unavailable-features"));
    for (const std::string_view property : cpu_properties) ask(std::string(property), "qom-get", qom(path, property));
}

void Reading::ask_about_memory() {
    for (const std::string& backend : memory_backends(of("objects"))) {
        for (const char* property : {"size", "mem-path", "hugetlb"}) {
            ask(backend + property, "qom-get", qom(backend, property));
        }
    }
}

void Reading::answered(const std::string& key, Result<json::value> reply) {
    --open;
    if (!on_facts) return;
    if (!reply && outcome_unknown(reply.error().kind)) {
        return std::exchange(on_facts, nullptr)(std::unexpected(std::move(reply).error()));
    }
    if (reply) answers.emplace(key, std::move(*reply));
    if (open > 0) return;
    if (!cpu_asked) {
        ++open;
        ask_about_cpu();
        ask_about_memory();
        --open;
    }
    if (open == 0) std::exchange(on_facts, nullptr)(facts());
}

const json::value& Reading::of(std::string_view key) const {
    static const json::value none;
    const auto place = answers.find(key);
    return place == answers.end() ? none : place->second;
}

std::string Reading::cpu_features() const {
    std::string text = feature_words(of("feature-words"));
    for (const std::string_view property : cpu_properties) {
        const json::value& value = of(property);
        if (!value.is_null()) text += " " + std::string(property) + "=" + json::serialize(value);
    }
    return text;
}

GuestFacts Reading::facts() {
    GuestFacts facts;
    facts.version = attachment.version();
    facts.name = text_of(member(of("query-name"), "name"));
    facts.uuid = text_of(member(of("query-uuid"), "UUID"));
    facts.run_state_word = text_of(member(of("query-status"), "status"));
    facts.run_state = run_state(facts.run_state_word);
    facts.migration = migration_status(text_of(member(of("query-migrate"), "status")));
    for (const json::value& reason : elements(member(of("query-migrate"), "blocked-reasons"))) {
        facts.blockers.push_back(text_of(&reason));
    }
    facts.machine_type = machine_type(text_of(&of("machine")));
    facts.cpu_type = text_of(&of("cpu type"));
    facts.cpu_features = cpu_features();
    for (const json::value& name : elements(&of("unavailable-features"))) {
        facts.cpu_unavailable.push_back(text_of(&name));
    }
    facts.vcpus = static_cast<int>(elements(&of("query-cpus-fast")).size());
    facts.vcpu_threads = vcpu_threads(of("query-cpus-fast"));
    const json::value& memory = of("query-memory-size-summary");
    facts.memory = {integer_of(member(memory, "base-memory")).value_or(0) +
                    integer_of(member(memory, "plugged-memory")).value_or(0)};

    facts.devices = pci_devices(of("query-pci"));
    for (const char* folder : {"peripheral", "peripheral-anon", "unattached"}) {
        std::ranges::move(qom_devices(folder, of(folder)), std::back_inserter(facts.devices));
    }
    std::ranges::sort(facts.devices);
    const auto& process = attachment.process();
    facts.images = writable_images(of("query-block"), of("query-named-block-nodes"),
                                   process ? process->working_directory() : std::string{});

    const bool first_look = !found;
    if (first_look) found = originals(side, of("query-migrate-capabilities"), of("query-migrate-parameters"));
    facts.missing_features = missing_features(side, *found);
    facts.auto_converge = has_auto_converge(*found);
    facts.put_back_script = put_back_script(side, *found);
    facts.native_switchover_bandwidth =
        member(of("query-migrate-parameters"), "avail-switchover-bandwidth") != nullptr;
    facts.out_of_band = attachment.connection().out_of_band();
    facts.hardware_accelerated = is_true(member(of("query-kvm"), "enabled"));
    facts.brief_samples = facts.native_switchover_bandwidth;  // calc-time-unit came with the same version, 8.2.
    facts.pid = process ? static_cast<int>(process->pid()) : 0;
    facts.resident = {process ? process->resident_bytes() : 0};
    if (first_look && side == Side::source && process) facts.content = content_of(process->pid(), facts.memory);
    add_storage(facts);
    return facts;
}

/// What lies outside of QEMU, as its process sees it.
void Reading::add_storage(GuestFacts& facts) {
    const auto& process = attachment.process();
    facts.disks_known = true;
    facts.disks = disks(of("query-block"), of("query-named-block-nodes"),
                        process ? process->working_directory() : std::string{});
    facts.host = read_host(facts.pid);
    if (!process) return;
    facts.host.taps = taps_of(facts.pid);
    const OpenFiles files(process->pid());
    for (Disk& disk : facts.disks) {
        if (disk.local) disk.storage = files.at(disk.file);
    }
    Bytes huge_reserved;
    for (const std::string& backend : memory_backends(of("objects"))) {
        if (!is_true(&of(backend + "hugetlb")) && !files.on_huge_pages(text_of(&of(backend + "mem-path")))) continue;
        // Reserved as a whole when it was mapped, whether touched yet or not.
        huge_reserved += {integer_of(&of(backend + "size")).value_or(0)};
    }
    if (huge_reserved > Bytes{}) facts.host.memory_taken = memory_taken_by(facts.pid, huge_reserved);
}

}  // namespace

void read_facts(Attachment& attachment, Side side, const Originals* found, Duration timeout,
                std::function<void(Result<GuestFacts>)> on_facts) {
    std::make_shared<Reading>(attachment, side, found, attachment.now() + timeout, std::move(on_facts))->start();
}

}  // namespace segue::qemu
