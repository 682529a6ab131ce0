#include "vm/networks.hpp"

#include <optional>
#include <string_view>

#include "vm/option_words.hpp"

namespace segue::vm {
namespace {

/// Two commas stand for one.
std::string plain(std::string text) {
    for (std::size_t at = 0; (at = text.find(",,", at)) != std::string::npos; ++at) text.erase(at, 1);
    return text;
}

/// The first word may be said without its key.
std::string type_of(const std::string& value) {
    if (const auto said = option_value(value, "type")) return *said;
    return is_json_option(value) ? std::string() : option_pieces(value).front();
}

std::optional<HostNetwork> network_of(const std::string& name, const std::string& value) {
    const auto said = [&value](std::string_view key) {
        const auto found = option_value(value, key);
        return found ? std::optional(plain(*found)) : std::nullopt;
    };
    const std::string type = type_of(value);
    if (type != "tap" && type != "bridge") return std::nullopt;
    if (said("fd") || said("fds")) return std::nullopt;
    HostNetwork network;
    network.option = name + " " + value;
    network.by_helper = type == "bridge" || said("helper");
    if (network.by_helper) {
        network.helper = said("helper").value_or("");
        network.bridge = said("br").value_or("br0");
        return network;
    }
    network.ifname = said("ifname").value_or("");
    // A pattern, of which the kernel makes a free name.
    if (network.ifname.find('%') != std::string::npos) network.ifname.clear();
    network.script = said("script").value_or("/etc/qemu-ifup");
    if (network.script == "no") network.script.clear();
    const std::string queues = said("queues").value_or("1");
    network.many_queues = queues != "1" && queues != "0";
    return network;
}

}  // namespace

std::vector<HostNetwork> networks_in(const std::vector<std::string>& command) {
    std::vector<HostNetwork> found;
    for (std::size_t i = 0; i + 1 < command.size(); ++i) {
        const std::string name = command[i].starts_with("--") ? command[i].substr(1) : command[i];
        if (name != "-netdev" && name != "-nic" && name != "-net") continue;
        if (auto network = network_of(name, command[i + 1])) found.push_back(std::move(*network));
        ++i;
    }
    return found;
}

}  // namespace segue::vm
