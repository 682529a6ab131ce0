#pragma once
/// \file  The network interfaces of this process's network namespace, as the kernel lists them.
///
/// By netlink and not from /sys, which shows the namespace that it was mounted in. Thread: any. Blocks: microseconds.
/// Source of the attributes: linux/if_link.h.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace segue {

struct HostLink {
    int index = 0;
    std::string name;
    std::string kind;  ///< "bridge", "tun", "veth", ...; empty of a card.
    int master = 0;    ///< Index of what it is joined to; 0: nothing.
    bool up = false;
    /// Of a "tun": somebody has it open, unless its carrier was set by hand.
    bool carrier = false;
    bool tap = false;          ///< Frames, else packets.
    bool persistent = false;   ///< It stays when nobody has it open.
    bool multi_queue = false;  ///< As many may have it open as it has queues.
    std::optional<std::uint32_t> owner = {};  ///< Who else may open it needs CAP_NET_ADMIN.
    std::optional<std::uint32_t> group = {};
    friend bool operator==(const HostLink&, const HostLink&) = default;
};

[[nodiscard]] Result<std::vector<HostLink>> read_links();

/// Whether a process has the network namespace of this one; false too where it is out of sight.
[[nodiscard]] bool in_this_network(pid_t pid);

/// The interface that a descriptor of /dev/net/tun is of, from its /proc/PID/fdinfo; empty where it is of none.
[[nodiscard]] std::string tun_name_in(const std::string& fdinfo);

/// Names of the interfaces that a process has open through /dev/net/tun, each once, sorted. Empty too where it is out
/// of sight, or in another network namespace than this one: the names mean nothing here then.
[[nodiscard]] std::vector<std::string> tun_names_of(pid_t pid);

}  // namespace segue
