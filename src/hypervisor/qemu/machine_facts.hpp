#pragma once
/// \file  What QEMU's long answers say of the guest's machine. Pure.

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "hypervisor/guest.hpp"

namespace segue::qemu {

/// CPUID words of a `feature-words` answer as "leaf[:subleaf].REGISTER=bits", sorted, zero words left out: a
/// newer QEMU knows more words, and shows none of their bits for an older machine type.
[[nodiscard]] std::string feature_words(const boost::json::value& qom_get);

/// Children of a QOM folder that are devices somebody asked for. `folder` is "peripheral" (named by their
/// user), "peripheral-anon" or "unattached" (there only those that -serial, -drive and the like make; the
/// board's own come with its type, and QEMU versions name them differently).
[[nodiscard]] std::vector<Device> qom_devices(std::string_view folder, const boost::json::value& qom_list);

/// PCI functions of the root buses as "pci 03.0" and "vendor:device subsystem". Not those behind bridges:
/// QEMU finds them by the bus numbers that the guest's firmware gives, and it has not run on a destination.
[[nodiscard]] std::vector<Device> pci_devices(const boost::json::value& query_pci);

/// In the order of their CPU indexes, each once: with -accel tcg,thread=single one thread runs all of them.
[[nodiscard]] std::vector<int> vcpu_threads(const boost::json::value& query_cpus_fast);

/// The path in what QEMU calls a file name: a path, "file:path", or "json:{...}" whose innermost `file`
/// is one. Empty for everything else (nbd://..., rbd:..., /dev/fdset/3).
[[nodiscard]] std::string path_of(std::string name, const std::string& working_directory);

/// Writable images, each file once. Relative paths are taken from `working_directory`.
[[nodiscard]] std::vector<Image> writable_images(const boost::json::value& query_block,
                                                 const boost::json::value& query_named_block_nodes,
                                                 const std::string& working_directory);

/// All that lies below the guest's disks, in the order of query-block: what each shows first, then its backing files,
/// then nodes that no disk shows by itself. `Disk::storage` is left empty.
[[nodiscard]] std::vector<Disk> disks(const boost::json::value& query_block,
                                      const boost::json::value& query_named_block_nodes,
                                      const std::string& working_directory);

/// "/objects/ram0" of each memory backend that may be made of huge pages, from a qom-list of /objects.
[[nodiscard]] std::vector<std::string> memory_backends(const boost::json::value& qom_list);

}  // namespace segue::qemu
