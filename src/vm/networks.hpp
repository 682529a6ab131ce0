#pragma once
/// \file  Which interfaces of its host a QEMU's command line wants: taps, and bridges by way of a helper. Pure.
///
/// Source: QEMU's net/tap.c (net_init_tap, net_init_bridge) and qemu-options.hx, 7.2 and 10.0. What -readconfig brings
/// is not seen, nor what a starter handed over as a descriptor, which is there already.

#include <string>
#include <vector>

namespace segue::vm {

struct HostNetwork {
    std::string option;  ///< As it stands, for messages: "-netdev tap,id=net,ifname=web1".
    bool by_helper = false;  ///< A program of the host makes the tap and joins it to `bridge`; else QEMU opens it.
    std::string ifname;  ///< Without a helper. Empty: QEMU takes the next free name.
    std::string script;  ///< Without a helper, run by QEMU at its start; empty: none.
    bool many_queues = false;
    std::string helper;  ///< Empty: the one that came with QEMU.
    std::string bridge;
    friend bool operator==(const HostNetwork&, const HostNetwork&) = default;
};

[[nodiscard]] std::vector<HostNetwork> networks_in(const std::vector<std::string>& command);

}  // namespace segue::vm
