#include "migration/storage_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace segue {
namespace {

struct Judgement {
    Shared shared = Shared::unknown;
    std::string because;
};

/// Never mounted by two kernels at once: what lies on one is no other host's.
constexpr std::array<std::string_view, 24> filesystems_of_one_host{
    "ext2",  "ext3",     "ext4",    "xfs",     "btrfs",     "f2fs",   "jfs",      "reiserfs",
    "zfs",   "bcachefs", "nilfs2",  "vfat",    "exfat",     "ntfs3",  "tmpfs",    "ramfs",
    "iso9660", "squashfs", "hugetlbfs", "devtmpfs", "overlay", "erofs", "minix", "udf"};
/// Where a file has the same inode number on every client, so that another number is another file.
constexpr std::array<std::string_view, 7> filesystems_with_one_inode{"nfs",  "nfs4",   "ceph", "gfs2",
                                                                     "ocfs2", "lustre", "gpfs"};
/// Where the page caches of all hosts are kept coherent by the filesystem itself.
constexpr std::array<std::string_view, 6> coherent_filesystems{"ceph", "gfs2", "ocfs2", "lustre", "gpfs",
                                                               "fuse.quobyte"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

std::string_view family(std::string_view filesystem) { return filesystem == "nfs4" ? "nfs" : filesystem; }

/// "localhost:/vms" is another machine on each host.
bool names_this_host(std::string_view source) {
    for (const std::string_view name : {"localhost", "127.", "[::1]", "::1"}) {
        for (const std::string_view before : {"", "//"}) {
            const std::string local = std::string(before) + std::string(name);
            if (source.starts_with(local)) return true;
        }
        const auto scheme = source.find("://");
        if (scheme != std::string_view::npos && source.substr(scheme + 3).starts_with(name)) return true;
    }
    return false;
}

/// "filer:/vms", "//filer/vms": somebody on the network, by name.
bool names_a_server(std::string_view source) {
    if (names_this_host(source)) return false;
    if (source.starts_with("//")) return source.size() > 2;
    const auto colon = source.find(":/");
    return colon != std::string_view::npos && colon > 0 && source.substr(0, colon).find('/') == std::string_view::npos;
}

// ---- Block devices ---------------------------------------------------------------------------------

/// A designator that is given out once in the world, unlike a model with a serial number ("t10.").
bool is_unique(std::string_view leaf) {
    return leaf.starts_with("naa.") || leaf.starts_with("eui.") || leaf.starts_with("uuid.");
}

struct Wwid {
    std::string volume;              ///< Of what was made out of the leaves ("LVM-..."), partition included.
    std::vector<std::string> leaves;  ///< Sorted.
};

/// "LVM-... on naa.1,naa.2", "naa.1 part 2", "naa.1".
Wwid parse_wwid(std::string_view text) {
    Wwid wwid;
    const auto on = text.find(" on ");
    const auto part = text.find(" part ");
    std::string_view leaves = text;
    if (on != std::string_view::npos) {
        wwid.volume = text.substr(0, on);
        leaves = text.substr(on + 4);
    } else if (part != std::string_view::npos) {
        wwid.volume = text.substr(part + 1);
        leaves = text.substr(0, part);
    }
    while (!leaves.empty()) {
        const auto comma = leaves.find(',');
        wwid.leaves.emplace_back(leaves.substr(0, comma));
        leaves = comma == std::string_view::npos ? std::string_view{} : leaves.substr(comma + 1);
    }
    std::ranges::sort(wwid.leaves);
    return wwid;
}

Judgement judge_wwids(const std::string& src, const std::string& dst) {
    if (src.empty() || dst.empty()) {
        const std::string_view side = src.empty() ? "source" : "destination";
        return {Shared::unknown, fmt::format("the device has no WWID on the {}", side)};
    }
    const Wwid a = parse_wwid(src);
    const Wwid b = parse_wwid(dst);
    const auto unique = [](const Wwid& wwid) { return std::ranges::all_of(wwid.leaves, is_unique); };
    const std::string both = fmt::format("its WWID is {} on the source and {} on the destination", src, dst);
    if (a.leaves == b.leaves && a.volume == b.volume) {
        if (unique(a)) return {Shared::yes, "both have the WWID " + src};
        return {Shared::unknown, fmt::format("both have the WWID {}, which other devices may have too", src)};
    }
    // An LVM volume that was copied with the disk under it has its name there too.
    if (unique(a) && unique(b)) return {Shared::no, both};
    return {a.leaves == b.leaves ? Shared::no : Shared::unknown, both};
}

// ---- Files -----------------------------------------------------------------------------------------

Judgement judge_files(const Storage& src, const Storage& dst) {
    const bool src_alone = is_one_of(filesystems_of_one_host, src.filesystem);
    const bool dst_alone = is_one_of(filesystems_of_one_host, dst.filesystem);
    if (src_alone && dst_alone) {
        return {Shared::no, fmt::format("it lies on {} ({}) of the source and on {} ({}) of the destination",
                                        src.source, src.filesystem, dst.source, dst.filesystem)};
    }
    const bool inodes_say = is_one_of(filesystems_with_one_inode, src.filesystem) &&
                            is_one_of(filesystems_with_one_inode, dst.filesystem);
    if (inodes_say && src.inode != dst.inode) {
        return {Shared::no, fmt::format("it is inode {} of {} on the source and inode {} of {} on the destination",
                                        src.inode, src.source, dst.inode, dst.source)};
    }
    const bool one_place = family(src.filesystem) == family(dst.filesystem) && src.source == dst.source;
    if (one_place && src.inode == dst.inode && names_a_server(src.source)) {
        if (src.size == dst.size) {
            return {Shared::yes, fmt::format("both see inode {} of {}", src.inode, src.source)};
        }
        return {Shared::unknown, fmt::format("both see inode {} of {}, but with {} and {} bytes", src.inode, src.source,
                                             src.size.count, dst.size.count)};
    }
    return {Shared::unknown, fmt::format("it is inode {} of {} ({}) on the source and inode {} of {} ({}) on the "
                                         "destination, which proves nothing", src.inode, src.source, src.filesystem,
                                         dst.inode, dst.source, dst.filesystem)};
}

Judgement judge_under_one_kernel(const Storage& src, const Storage& dst) {
    if (src.device == dst.device && src.inode == dst.inode) {
        return {Shared::yes, src.block ? fmt::format("both QEMUs are on one host and opened device {}", src.device)
                                       : fmt::format("both QEMUs are on one host and opened inode {} of device {}",
                                                     src.inode, src.device)};
    }
    if (src.block && !src.wwid.empty() && judge_wwids(src.wwid, dst.wwid).shared == Shared::yes) {
        return judge_wwids(src.wwid, dst.wwid);
    }
    return {Shared::no, src.block ? fmt::format("it is device {} for the source's QEMU and {} for the destination's",
                                                src.device, dst.device)
                                  : fmt::format("it is inode {} of device {} for the source's QEMU and inode {} of "
                                                "device {} for the destination's", src.inode, src.device, dst.inode,
                                                dst.device)};
}

Judgement judge_local(const Disk& src, const Disk& dst, std::optional<bool> one_kernel) {
    for (const auto& [disk, side] : {std::pair{&src, "source"}, std::pair{&dst, "destination"}}) {
        if (disk->storage.seen) continue;
        return {Shared::unknown, fmt::format("what its QEMU opened on the {} cannot be seen", side)};
    }
    if (src.storage.block != dst.storage.block) {
        return {Shared::no, "it is a file on one side and a device on the other"};
    }
    if (!one_kernel) return {Shared::unknown, "whether both are on one host is not known"};
    if (*one_kernel) return judge_under_one_kernel(src.storage, dst.storage);
    if (src.storage.block) return judge_wwids(src.storage.wwid, dst.storage.wwid);
    return judge_files(src.storage, dst.storage);
}

Judgement judge_remote(const Disk& src, const Disk& dst) {
    for (const std::string_view nothing : {"null-co:", "null-aio:"}) {
        if (src.file.starts_with(nothing) && dst.file.starts_with(nothing)) return {Shared::yes, "it has no content"};
    }
    const bool url = src.file.find("://") != std::string::npos && !names_this_host(src.file) &&
                     src.file.find("unix:") == std::string::npos && src.file.find("+unix") == std::string::npos;
    if (url && src.file == dst.file) return {Shared::yes, "both QEMUs opened it on the network by one name"};
    return {Shared::unknown, fmt::format("its QEMU opened \"{}\" on the source and \"{}\" on the destination", src.file,
                                         dst.file)};
}

Judgement judge(const Disk& src, const Disk& dst, std::optional<bool> one_kernel) {
    if (src.flash && dst.flash) {
        const bool sizes = src.storage.seen && dst.storage.seen;
        if (sizes && src.storage.size != dst.storage.size) {
            return {Shared::no, fmt::format("firmware of {} bytes on the source and {} on the destination",
                                            src.storage.size.count, dst.storage.size.count)};
        }
        return {Shared::yes, "firmware: its content travels with the guest's memory"};
    }
    if (src.local != dst.local) return {Shared::unknown, "one side opened it over the network and the other did not"};
    Judgement found = src.local ? judge_local(src, dst, one_kernel) : judge_remote(src, dst);
    const bool sized = src.storage.seen && src.storage.size == dst.storage.size;
    if (found.shared == Shared::no && !src.writable && !dst.writable && sized) {
        return {Shared::unknown, found.because + "; it is only read, so that a copy would do, and of copies only the "
                                                 "size was compared"};
    }
    return found;
}

// ---- Cache -----------------------------------------------------------------------------------------

std::string incoherent(const Disk& disk, std::string_view side) {
    if (!disk.local || !disk.writable || disk.flash) return {};
    if (is_one_of(coherent_filesystems, disk.storage.filesystem)) return {};
    if (disk.no_flush) return fmt::format("on the {} its flushes are ignored (cache=unsafe)", side);
    if (!disk.direct) return fmt::format("on the {} it goes through the host's page cache (cache.direct=off)", side);
    return {};
}

const Disk* twin_of(const Disk& disk, const std::vector<Disk>& others) {
    const auto by_place = std::ranges::find(others, disk.place, &Disk::place);
    if (by_place != others.end()) return &*by_place;
    // Nodes that nobody named are numbered as they were made.
    if (!disk.place.starts_with("node #") || disk.file.empty()) return nullptr;
    const auto by_file = std::ranges::find_if(others, [&](const Disk& other) {
        return other.file == disk.file && other.place.starts_with("node #");
    });
    return by_file == others.end() ? nullptr : &*by_file;
}

std::string both_files(const DiskVerdict& disk) {
    const std::string src = disk.src.file.empty() ? "(something without a path)" : disk.src.file;
    if (disk.dst_file.empty() || disk.dst_file == disk.src.file) return src;
    return fmt::format("{} (on the destination {})", src, disk.dst_file);
}

}  // namespace

std::string_view to_string(Shared shared) noexcept {
    switch (shared) {
        case Shared::yes: return "yes";
        case Shared::no: return "no";
        case Shared::unknown: return "unknown";
    }
    return "unknown";
}

std::optional<bool> same_kernel(const GuestFacts& src, const GuestFacts& dst) {
    if (src.host.boot.empty() || dst.host.boot.empty()) return std::nullopt;
    return src.host.boot == dst.host.boot;
}

std::vector<DiskVerdict> compare_disks(const GuestFacts& src, const GuestFacts& dst) {
    const auto one_kernel = same_kernel(src, dst);
    std::vector<DiskVerdict> verdicts;
    for (const Disk& disk : src.disks) {
        DiskVerdict verdict{disk, {}, Shared::unknown, "the destination's segue is too old to look at its disks", {}};
        const Disk* twin = twin_of(disk, dst.disks);
        if (twin != nullptr) {
            auto [shared, because] = judge(disk, *twin, one_kernel);
            verdict.dst_file = twin->file;
            verdict.shared = shared;
            verdict.because = std::move(because);
        } else if (dst.disks_known) {
            verdict.shared = Shared::no;
            verdict.because = "the destination has no such disk";
        }
        if (one_kernel != true && verdict.shared != Shared::no) {
            verdict.cache = incoherent(disk, "source");
            if (verdict.cache.empty() && twin != nullptr) verdict.cache = incoherent(*twin, "destination");
        }
        verdicts.push_back(std::move(verdict));
    }
    return verdicts;
}

std::vector<Finding> disk_findings(const std::vector<DiskVerdict>& disks, bool storage_is_shared) {
    std::vector<Finding> out;
    for (const DiskVerdict& disk : disks) {
        if (disk.shared == Shared::no) {
            out.push_back({fmt::format("{} is not the same storage on both sides: {}; {}", disk.src.place,
                                       both_files(disk), disk.because),
                           "put it on storage that both hosts have, and give the destination that", "disk-not-shared"});
        } else if (disk.shared == Shared::unknown && !storage_is_shared) {
            out.push_back({fmt::format("{} is not known to be the same storage on both sides: {}; {}", disk.src.place,
                                       both_files(disk), disk.because),
                           "if it is, give --storage-is-shared (a VM's description: shared_storage = true)",
                           "disk-unknown"});
        }
    }
    return out;
}

std::vector<Finding> cache_findings(const std::vector<DiskVerdict>& disks) {
    std::vector<Finding> out;
    for (const DiskVerdict& disk : disks) {
        if (disk.cache.empty()) continue;
        out.push_back({fmt::format("{} ({}) may be read stale after the move: {}", disk.src.place, disk.src.file,
                                   disk.cache),
                       "open it with cache.direct=on (cache=none) on both sides; --unsafe moves all the same",
                       "disk-cache"});
    }
    return out;
}

}  // namespace segue
