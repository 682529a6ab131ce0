#include "app/segue/host/network_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr std::string_view of_tap = "network-tap";
constexpr std::string_view of_bridge = "network-bridge";
constexpr std::string_view of_script = "network-script";

class Checker {
public:
    explicit Checker(const NetworkSight& sight) : sight_(sight) {}

    void check(const vm::HostNetwork& network) {
        option_ = plain_text(network.option);
        if (network.by_helper) return check_helper(network);
        if (!sight_.tun_trouble.empty()) {
            // Once, however many taps there are.
            if (std::exchange(tun_told_, true)) return;
            return add(of_tap,
                       fmt::format("/dev/net/tun, which a tap needs, cannot be opened ({})", sight_.tun_trouble),
                       "load the module tun (modprobe tun), and let segue receive run as root or as who may open it");
        }
        check_tap(network);
        if (network.script.empty()) return;
        const std::string trouble = value_in(sight_.programs, network.script);
        if (trouble.empty()) return;
        add(of_script, fmt::format("the network script {} cannot be run: {}", plain_text(network.script), trouble),
            "put it there and make it executable, or write script=no and make the tap beforehand");
    }

    std::vector<Obstacle> take() { return std::move(found_); }

private:
    void add(std::string_view code, const std::string& what, std::string remedy) {
        Obstacle one{std::string(code), fmt::format("{} ({})", what, option_), std::move(remedy)};
        const bool told = std::ranges::any_of(found_, [&](const Obstacle& other) { return other.what == one.what; });
        if (!told) found_.push_back(std::move(one));
    }

    static std::string value_in(const std::map<std::string, std::string>& map, const std::string& key) {
        const auto found = map.find(key);
        return found == map.end() ? std::string() : found->second;
    }

    const HostLink* link(const std::string& name) const {
        const auto found = std::ranges::find(sight_.links, name, &HostLink::name);
        return found == sight_.links.end() ? nullptr : &*found;
    }

    void check_tap(const vm::HostNetwork& network) {
        if (!sight_.links_known) return;
        const HostLink* tap = network.ifname.empty() ? nullptr : link(network.ifname);
        if (tap != nullptr) return check_existing(*tap, network);
        if (sight_.net_admin) return;
        const std::string name = network.ifname.empty() ? "a tap" : "the tap " + network.ifname;
        add(of_tap, fmt::format("{} is not there, and segue receive lacks CAP_NET_ADMIN to let QEMU make it", name),
            fmt::format("make it there beforehand (ip tuntap add {} mode tap), or run segue receive as root",
                        network.ifname.empty() ? "NAME" : network.ifname));
    }

    void check_existing(const HostLink& tap, const vm::HostNetwork& network) {
        if (tap.kind != "tun" || !tap.tap) {
            return add(of_tap, fmt::format("the interface {} is no tap but {}", tap.name, kind_of(tap)),
                       "give the tap another name, or that interface");
        }
        if (tap.multi_queue != network.many_queues) {
            return add(of_tap,
                       fmt::format("the tap {} was made {} multi_queue, and QEMU would open it {} queues", tap.name,
                                   tap.multi_queue ? "with" : "without", network.many_queues ? "with many" : "without"),
                       fmt::format("make it anew (ip tuntap add {} mode tap{}), or write queues= as it is", tap.name,
                                   network.many_queues ? " multi_queue" : ""));
        }
        const std::string holder = value_in(sight_.holders, tap.name);
        // One that is not persistent is there only while somebody has it open.
        if (!tap.multi_queue && (!tap.persistent || !holder.empty())) {
            return add(of_tap,
                       fmt::format("the tap {} is held by {}", tap.name,
                                   holder.empty() ? "another process" : plain_text(holder)),
                       "end what holds it, or give this guest a tap of its own: ifname=, by [host.\"...\"] in a "
                       "description");
        }
        if (sight_.net_admin || !guarded(tap)) return;
        add(of_tap, fmt::format("the tap {} belongs to another user or group, and segue receive lacks CAP_NET_ADMIN",
                                tap.name),
            "run segue receive as root, or make the tap with user= of who runs it");
    }

    bool guarded(const HostLink& tap) const {
        if (tap.owner && *tap.owner != sight_.user) return true;
        return tap.group && std::ranges::find(sight_.groups, *tap.group) == sight_.groups.end();
    }

    static std::string kind_of(const HostLink& link) {
        if (link.kind == "tun") return "a tun, which carries no frames";
        return link.kind.empty() ? "a card of the host" : "a " + link.kind;
    }

    void check_helper(const vm::HostNetwork& network) {
        const std::string name = network.helper.empty() ? "qemu-bridge-helper" : network.helper;
        if (const std::string trouble = value_in(sight_.programs, network.helper); !trouble.empty()) {
            return add(of_bridge, fmt::format("the bridge helper {} cannot be run: {}", plain_text(name), trouble),
                       "install it (Debian: qemu-system-common), or give its path by helper=");
        }
        // What a helper of somebody's own takes for a bridge is its own business.
        if (!name.ends_with("qemu-bridge-helper") || name.find(' ') != std::string::npos) return;
        if (!sight_.tun_trouble.empty()) {
            add(of_bridge, fmt::format("/dev/net/tun, which the bridge helper needs, cannot be opened ({})",
                                       sight_.tun_trouble), "load the module tun (modprobe tun)");
        }
        check_bridge(network.bridge);
        const std::string refused = value_in(sight_.acl, network.bridge);
        if (refused.empty()) return;
        add(of_bridge, fmt::format("the bridge helper would not join a tap to {}: {}", network.bridge, refused),
            fmt::format("write a line \"allow {}\" into /etc/qemu/bridge.conf there", network.bridge));
    }

    void check_bridge(const std::string& name) {
        if (!sight_.links_known) return;
        const HostLink* bridge = link(name);
        if (bridge == nullptr) {
            add(of_bridge, fmt::format("there is no bridge {}", name),
                fmt::format("make it there (ip link add {} type bridge), or give the one it has by br=", name));
        } else if (bridge->kind != "bridge") {
            add(of_bridge, fmt::format("the interface {} is no bridge but {}", name, kind_of(*bridge)),
                "give a bridge of that host by br=");
        }
    }

    const NetworkSight& sight_;
    std::string option_;
    bool tun_told_ = false;
    std::vector<Obstacle> found_;
};

}  // namespace

std::vector<Obstacle> network_obstacles(const std::vector<vm::HostNetwork>& networks, const NetworkSight& sight) {
    Checker checker(sight);
    for (const vm::HostNetwork& network : networks) checker.check(network);
    return checker.take();
}

}  // namespace segue
