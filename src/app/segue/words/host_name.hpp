#pragma once
/// \file  Names and addresses of hosts as an operator writes them. Text only, nothing is looked up; and what
///        this host calls itself.

#include <string>
#include <string_view>

namespace segue {

/// $SEGUE_HOST, else the name of the system. Fit to be shown; "unknown" where it has none.
[[nodiscard]] std::string this_host_name();

/// A name as DNS and /etc/hosts have it, or an IPv4 address. Never begins with '-'.
[[nodiscard]] bool is_host_name(std::string_view host);
[[nodiscard]] bool is_ipv4(std::string_view host);
/// With or without a zone ("fe80::1%eth0"); the zone is checked when it is used.
[[nodiscard]] bool is_ipv6(std::string_view host);
/// 1 to 65535, or 0 when `text` is no port.
[[nodiscard]] int port_number(std::string_view text);

}  // namespace segue
