#pragma once
/// \file  Whether the taps, bridges and programs that a QEMU's command line wants are there on this host.
///
/// What is said is what QEMU would refuse to start for (net/tap.c, qemu-bridge-helper.c, the kernel's tun.c), found
/// without starting it: nothing is opened, made or changed but /dev/net/tun, which is opened and closed.
/// Thread: any. Cost: a few ms.

#include <map>
#include <string>
#include <vector>

#include "hypervisor/guest.hpp"
#include "io/links.hpp"
#include "vm/networks.hpp"

namespace segue {

/// What was looked at. A map's value says why not; empty: it is as it must be.
struct NetworkSight {
    std::vector<HostLink> links;
    bool links_known = false;
    std::string tun_trouble;  ///< Why /dev/net/tun cannot be opened.
    bool net_admin = true;    ///< Whether this process may make taps, and open any.
    std::uint32_t user = 0;
    std::vector<std::uint32_t> groups;
    std::map<std::string, std::string> programs;  ///< Scripts and helpers by path; "" is QEMU's own helper.
    std::map<std::string, std::string> acl;       ///< Bridges, by what /etc/qemu/bridge.conf says of each.
    std::map<std::string, std::string> holders;   ///< Of taps: "process 123 (qemu-system-x86)".
};

/// \param qemu  The program of the command, for the helper that came with it.
[[nodiscard]] NetworkSight look_at_networks(const std::vector<vm::HostNetwork>& networks, const std::string& qemu);

/// Pure.
[[nodiscard]] std::vector<Obstacle> network_obstacles(const std::vector<vm::HostNetwork>& networks,
                                                      const NetworkSight& sight);

/// Why qemu-bridge-helper would not join a tap to `bridge` by the rules in the file at `path`; empty: it would.
[[nodiscard]] std::string acl_trouble(const std::string& path, const std::string& bridge);

}  // namespace segue
