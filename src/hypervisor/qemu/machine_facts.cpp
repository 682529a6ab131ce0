#include "hypervisor/qemu/machine_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <limits>
#include <tuple>
#include <utility>

#include "hypervisor/qemu/wire.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

/// Block drivers on block drivers. Real ones stay below 6.
constexpr int nesting_max = 16;

constexpr std::array<std::string_view, 8> legacy_option_devices{
    "floppy", "ide-cd", "ide-hd", "isa-parallel", "isa-serial", "scsi-cd", "scsi-hd", "sd-card"};

std::int64_t number(const json::value& object, std::string_view key) {
    return integer_of(member(object, key)).value_or(0);
}

/// "virtio-net-pci" of "child<virtio-net-pci>", empty for what is no child.
std::string child_type(const std::string& type) {
    constexpr std::string_view opening = "child<";
    if (!type.starts_with(opening) || !type.ends_with('>')) return {};
    return type.substr(opening.size(), type.size() - opening.size() - 1);
}

bool is_file_driver(const std::string& driver) { return driver == "file" || driver == "host_device"; }

}  // namespace

std::string path_of(std::string name, const std::string& working_directory) {
    if (name.starts_with("json:")) {
        boost::system::error_code error;
        const json::value description = json::parse(std::string_view(name).substr(5), error);
        if (error) return {};
        const json::value* level = &description;
        for (int i = 0; i < nesting_max && level != nullptr; ++i) {
            if (is_file_driver(text_of(member(*level, "driver")))) break;
            level = member(*level, "file");
        }
        name = level == nullptr ? std::string{} : text_of(member(*level, "filename"));
    }
    for (const std::string_view prefix : {"file:", "host_device:"}) {
        if (name.starts_with(prefix)) name.erase(0, prefix.size());
    }
    if (name.empty() || name.starts_with("/dev/fdset/")) return {};
    if (name.starts_with('/')) return name;
    // A protocol's name comes before the first slash, as in QEMU's own path_has_protocol().
    const std::size_t colon = name.find(':');
    if (colon != std::string::npos && colon < name.find('/')) return {};
    return working_directory.empty() ? std::string{} : working_directory + "/" + name;
}

std::string feature_words(const json::value& qom_get) {
    std::vector<std::tuple<std::int64_t, std::int64_t, std::string, std::int64_t>> words;
    for (const json::value& word : elements(&qom_get)) {
        if (number(word, "features") == 0) continue;
        words.emplace_back(number(word, "cpuid-input-eax"), integer_of(member(word, "cpuid-input-ecx")).value_or(-1),
                           text_of(member(word, "cpuid-register")), number(word, "features"));
    }
    std::ranges::sort(words);
    std::string text;
    for (const auto& [leaf, subleaf, register_name, bits] : words) {
        text += fmt::format("{}{:x}{}.{}={:x}", text.empty() ? "" : " ", leaf,
                            subleaf < 0 ? "" : fmt::format(":{:x}", subleaf), register_name, bits);
    }
    return text;
}

std::vector<Device> qom_devices(std::string_view folder, const json::value& qom_list) {
    std::vector<Device> devices;
    for (const json::value& property : elements(&qom_list)) {
        const std::string type = child_type(text_of(member(property, "type")));
        if (type.empty()) continue;
        if (folder == "peripheral") {
            devices.push_back({text_of(member(property, "name")), type});
        } else if (folder == "peripheral-anon" || type.starts_with("usb-") ||
                   std::ranges::find(legacy_option_devices, type) != legacy_option_devices.end()) {
            // Without the running number in the name: it tells in which order they were given, no more.
            devices.push_back({std::string(folder), type});
        }
    }
    return devices;
}

std::vector<Device> pci_devices(const json::value& query_pci) {
    std::vector<Device> devices;
    std::size_t root = 0;
    for (const json::value& bus : elements(&query_pci)) {
        const std::string place = root == 0 ? "pci" : fmt::format("pci root {}", root);
        ++root;
        for (const json::value& device : elements(member(bus, "devices"))) {
            const json::value* id = member(device, "id");
            if (id == nullptr) continue;
            devices.push_back(
                {fmt::format("{} {:02x}.{:x}", place, number(device, "slot"), number(device, "function")),
                 fmt::format("{:04x}:{:04x} {:04x}:{:04x}", number(*id, "vendor"), number(*id, "device"),
                             number(*id, "subsystem-vendor"), number(*id, "subsystem"))});
        }
    }
    return devices;
}

std::vector<int> vcpu_threads(const json::value& query_cpus_fast) {
    std::vector<std::pair<std::int64_t, int>> found;
    for (const json::value& cpu : elements(&query_cpus_fast)) {
        const std::int64_t thread = number(cpu, "thread-id");
        if (thread <= 0 || thread > std::numeric_limits<int>::max()) continue;
        found.emplace_back(number(cpu, "cpu-index"), static_cast<int>(thread));
    }
    std::ranges::sort(found);
    std::vector<int> threads;
    for (const auto& [index, thread] : found) {
        if (std::ranges::find(threads, thread) == threads.end()) threads.push_back(thread);
    }
    return threads;
}

std::vector<Image> writable_images(const json::value& query_block, const json::value& query_named_block_nodes,
                                   const std::string& working_directory) {
    std::vector<Image> images;
    const auto add = [&images](const json::value& node, std::string path) {
        const bool known = !path.empty() && std::ranges::find(images, path, &Image::file) != images.end();
        if (!known) images.push_back({text_of(member(node, "node-name")), std::move(path)});
    };
    for (const json::value& drive : elements(&query_block)) {
        const json::value* inserted = member(drive, "inserted");
        if (inserted == nullptr || is_true(member(*inserted, "ro"))) continue;
        add(*inserted, path_of(text_of(member(*inserted, "file")), working_directory));
    }
    // The files below filters, quorums and the like, and nodes that no drive uses yet.
    for (const json::value& node : elements(&query_named_block_nodes)) {
        if (is_true(member(node, "ro")) || !is_file_driver(text_of(member(node, "drv")))) continue;
        std::string path = path_of(text_of(member(node, "file")), working_directory);
        if (!path.empty()) add(node, std::move(path));
    }
    return images;
}

}  // namespace segue::qemu
