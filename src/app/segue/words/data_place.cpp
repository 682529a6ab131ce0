#include "app/segue/words/data_place.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <optional>
#include <string>

#include "app/segue/words/host_name.hpp"
#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

constexpr std::string_view forms = "write HOST, HOST:PORT or [IPV6]:PORT, for example 10.77.0.2:4444";

std::unexpected<Error> wrong(std::string_view text, std::string_view why, std::string_view remedy = forms) {
    return fail(ErrorKind::invalid,
                fmt::format("--data-address \"{}\" {}: {}", plain_text(text), why, remedy));
}

bool looks_like_ipv4(std::string_view host) {
    return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool is_wildcard(const std::string& host) {
    in_addr v4{};
    in6_addr v6{};
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return v4.s_addr == 0;
    if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_UNSPECIFIED(&v6);
    return false;
}

/// Splits into host and, if there is one, the text of the port.
struct Parts {
    std::string_view host;
    std::optional<std::string_view> port;
};

Result<Parts> split(std::string_view text) {
    if (text.front() == '[') {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return wrong(text, "has no closing bracket");
        Parts parts{text.substr(1, end - 1), std::nullopt};
        if (!is_ipv6(parts.host)) return wrong(text, "has no IPv6 address between its brackets");
        const std::string_view rest = text.substr(end + 1);
        if (rest.starts_with(':')) {
            parts.port = rest.substr(1);
        } else if (!rest.empty()) {
            return wrong(text, "has something other than :PORT after the bracket");
        }
        return parts;
    }
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return Parts{text, std::nullopt};
    if (text.find(':', colon + 1) != std::string_view::npos) {
        const std::string_view scheme = text.substr(0, colon);
        if (scheme == "tcp") return wrong(text, "starts with tcp:", "leave that word out");
        if (text.find("//") != std::string_view::npos) return wrong(text, "is a URL");
        return wrong(text, "is an IPv6 address without brackets or has too many colons",
                     "write [IPV6] or [IPV6]:PORT, for example [fd00::2]:4444");
    }
    return Parts{text.substr(0, colon), text.substr(colon + 1)};
}

/// "4444" or "4444-4460".
Result<void> take_ports(std::string_view text, std::string_view ports, DataPlace& place) {
    constexpr std::string_view valid = "give 1 to 65535, or leave the port out and the destination picks one";
    const auto dash = ports.find('-');
    const int first = port_number(ports.substr(0, dash));
    if (first == 0) return wrong(text, "has no valid port", valid);
    if (dash == std::string_view::npos) {
        place.address.port = static_cast<std::uint16_t>(first);
        return {};
    }
    const int last = port_number(ports.substr(dash + 1));
    if (last == 0) return wrong(text, "has no valid port", valid);
    if (last < first) return wrong(text, "has a range of ports that ends before it begins", "write FIRST-LAST");
    place.port_first = static_cast<std::uint16_t>(first);
    place.port_last = static_cast<std::uint16_t>(last);
    return {};
}

}  // namespace

Result<DataPlace> parse_data_place(std::string_view text) {
    if (text.empty()) return wrong(text, "is empty");
    SEGUE_TRY(parts, split(text));
    DataPlace place{{std::string(parts.host), 0}, 0, 0};
    const bool bracketed = text.front() == '[';
    if (!bracketed && !is_host_name(parts.host)) return wrong(text, "has no valid host name");
    if (!bracketed && looks_like_ipv4(parts.host) && !is_ipv4(parts.host)) {
        return wrong(text, "is no IPv4 address", "write four numbers from 0 to 255, for example 10.77.0.2");
    }
    if (is_wildcard(place.address.host)) {
        return wrong(text, "means every address, and the source must connect to one",
                     "give the destination's own address");
    }
    if (parts.port) {
        if (auto taken = take_ports(text, *parts.port, place); !taken) return std::unexpected(taken.error());
    }
    return place;
}

}  // namespace segue
