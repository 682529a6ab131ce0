#include "store/experience.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace segue {
namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/// In small letters, or empty when it is no UUID or the nil one, which every guest without one has.
std::string proper_uuid(std::string_view text) {
    constexpr std::size_t uuid_length = 36;
    if (text.size() != uuid_length) return {};
    std::string uuid(text);
    bool nil = true;
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        char& c = uuid[i];
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !is_hex(c)) return {};
        if (!dash && c != '0') nil = false;
    }
    return nil ? std::string() : uuid;
}

/// FNV-1a: the same on every host and in every version, which std::hash does not promise.
std::uint64_t hash(std::string_view text) {
    std::uint64_t value = 0xcbf29ce484222325U;
    for (const char c : text) {
        value ^= static_cast<unsigned char>(c);
        value *= 0x100000001b3U;
    }
    return value;
}

bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
}

}  // namespace

std::string guest_key(std::string_view uuid, std::string_view name, std::string_view monitor_path) {
    if (std::string proper = proper_uuid(uuid); !proper.empty()) return proper;
    if (name.empty()) return fmt::format("monitor-{:016x}", hash(monitor_path));
    constexpr std::size_t name_length_max = 64;
    std::string plain;
    for (const char c : name.substr(0, name_length_max)) plain += is_plain(c) ? c : '_';
    // Where something had to be changed the hash keeps two names apart.
    if (plain != name) plain += fmt::format("-{:016x}", hash(name));
    return "name-" + plain;
}

}  // namespace segue
