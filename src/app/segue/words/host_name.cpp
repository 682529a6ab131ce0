#include "app/segue/words/host_name.hpp"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string>

#include "app/segue/words/plain_text.hpp"

namespace segue {
namespace {

bool is_letter_or_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

std::string this_host_name() {
    const char* const named = std::getenv("SEGUE_HOST");
    if (named != nullptr && *named != '\0') return plain_text(named);
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "unknown";
    return plain_text(name.data());
}

bool is_host_name(std::string_view host) {
    constexpr std::size_t name_bytes_max = 253;
    return !host.empty() && host.size() <= name_bytes_max && is_letter_or_digit(host.front()) &&
           std::ranges::all_of(host, [](char c) {
               return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_';
           });
}

bool is_ipv4(std::string_view host) {
    in_addr address{};
    return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
}

bool is_ipv6(std::string_view host) {
    in6_addr address{};
    const auto zone = host.find('%');
    if (zone != std::string_view::npos && !is_host_name(host.substr(zone + 1))) return false;
    return inet_pton(AF_INET6, std::string(host.substr(0, zone)).c_str(), &address) == 1;
}

int port_number(std::string_view text) {
    const char* const end = text.data() + text.size();
    unsigned port = 0;
    const auto [stopped, problem] = std::from_chars(text.data(), end, port);
    return problem == std::errc{} && stopped == end && port <= 65535 ? static_cast<int>(port) : 0;
}

}  // namespace segue
