// From QEMU's block graph to the list of what lies below the guest's disks. Pure.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <set>
#include <utility>

#include "hypervisor/qemu/machine_facts.hpp"
#include "hypervisor/qemu/wire.hpp"

namespace segue::qemu {
namespace {

namespace json = boost::json;

/// A chain of snapshots longer than this is cut off, and said to be unknown.
constexpr int backing_max = 256;

/// A node that opens something itself.
struct Protocol {
    std::string name;
    std::string path;  ///< Empty: no file or device of the host.
    std::string word;  ///< What QEMU says that it opened.
    bool writable = false;
    bool direct = false;
    bool no_flush = false;
    bool claimed = false;
};

bool is_local(std::string_view driver) { return driver == "file" || driver == "host_device" || driver == "host_cdrom"; }

std::vector<Protocol> protocols(const json::value& nodes, const std::string& working_directory) {
    std::vector<Protocol> found;
    for (const json::value& node : elements(&nodes)) {
        const bool local = is_local(text_of(member(node, "drv")));
        if (!local) continue;
        const json::value* cache = member(node, "cache");
        const std::string word = text_of(member(node, "file"));
        found.push_back({text_of(member(node, "node-name")), path_of(word, working_directory), word,
                         !is_true(member(node, "ro")), cache != nullptr && is_true(member(*cache, "direct")),
                         cache != nullptr && is_true(member(*cache, "no-flush")), false});
    }
    return found;
}

class Collector {
public:
    Collector(std::vector<Protocol> protocols, const std::string& working_directory)
        : protocols_(std::move(protocols)), working_directory_(working_directory) {}

    void add_drive(const json::value& drive) {
        const json::value* inserted = member(drive, "inserted");
        if (inserted == nullptr) return;
        std::string place = text_of(member(drive, "device"));
        const std::string qdev = text_of(member(drive, "qdev"));
        if (place.empty()) place = qdev;
        const bool flash = place.starts_with("pflash") || qdev.find("/system.flash") != std::string::npos;
        const json::value* image = member(*inserted, "image");
        for (int depth = 0; image != nullptr && depth < backing_max; ++depth) {
            const std::string here = depth == 0 ? place : fmt::format("{}, backing file {}", place, depth);
            add(here, text_of(member(*image, "filename")), flash, depth == 0 && !is_true(member(*inserted, "ro")));
            image = member(*image, "backing-image");
        }
    }

    /// Files below filters, quorums and the like, external data files, and nodes that no drive uses yet.
    void add_rest() {
        for (const Protocol& protocol : protocols_) {
            if (!protocol.claimed) disks_.push_back(disk_of("node " + protocol.name, protocol, false));
        }
    }

    [[nodiscard]] std::vector<Disk> take() { return std::move(disks_); }

private:
    static Disk disk_of(std::string place, const Protocol& protocol, bool flash) {
        Disk disk;
        disk.place = std::move(place);
        disk.file = protocol.path.empty() ? protocol.word : protocol.path;
        disk.writable = protocol.writable;
        disk.direct = protocol.direct;
        disk.no_flush = protocol.no_flush;
        disk.local = true;
        disk.flash = flash;
        return disk;
    }

    void add(std::string place, const std::string& word, bool flash, bool writable) {
        const std::string path = path_of(word, working_directory_);
        const auto below = std::ranges::find_if(protocols_, [&](const Protocol& protocol) {
            return path.empty() ? protocol.word == word : protocol.path == path;
        });
        if (below != protocols_.end()) {
            below->claimed = true;
            disks_.push_back(disk_of(std::move(place), *below, flash));
            return;
        }
        Disk disk;
        disk.place = std::move(place);
        disk.file = word;
        disk.writable = writable;
        disk.flash = flash;
        disks_.push_back(std::move(disk));
    }

    std::vector<Protocol> protocols_;
    const std::string& working_directory_;
    std::vector<Disk> disks_;
};

}  // namespace

std::vector<Disk> disks(const json::value& query_block, const json::value& query_named_block_nodes,
                        const std::string& working_directory) {
    Collector collector(protocols(query_named_block_nodes, working_directory), working_directory);
    for (const json::value& drive : elements(&query_block)) collector.add_drive(drive);
    collector.add_rest();
    return collector.take();
}

std::vector<std::string> memory_backends(const json::value& qom_list) {
    std::vector<std::string> paths;
    for (const json::value& property : elements(&qom_list)) {
        const std::string type = text_of(member(property, "type"));
        if (type != "child<memory-backend-file>" && type != "child<memory-backend-memfd>") continue;
        paths.push_back("/objects/" + text_of(member(property, "name")));
    }
    return paths;
}

}  // namespace segue::qemu
