#pragma once
/// \file  The limits of a move as files say them: [limits] of a VM, and the settings of a site and of a host
///        (docs/settings.md). Values only.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "units/bytes.hpp"
#include "units/duration.hpp"
#include "units/share.hpp"

namespace segue::vm {

/// A place in a text, from 1; 0: unknown.
struct At {
    int line = 0;
    int column = 0;
    friend auto operator<=>(const At&, const At&) = default;
};

/// Ends included.
struct Ports {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    friend bool operator==(const Ports&, const Ports&) = default;
};
/// "4444", "49152-49215".
[[nodiscard]] std::string ports_text(const Ports& ports);

/// What `segue migrate` uses where its own words say nothing.
struct Limits {
    std::optional<Duration> max_downtime;
    std::optional<Duration> timeout;
    std::optional<ByteRate> max_bandwidth;
    std::optional<ByteRate> switchover_bandwidth;
    std::optional<Share> min_cpu;
    std::optional<Duration> max_stall;
    std::optional<double> aggression;
    std::optional<std::string> data_address;  ///< Where a host takes memory: without a port.
    std::optional<Ports> data_ports;
    std::string preset;                       ///< One of `preset_names`, or empty.
    std::map<std::string, At, std::less<>> at;  ///< Where each key that was written stands, by the name written.
    friend bool operator==(const Limits&, const Limits&) = default;
};

/// Calls `f(key, member)` for each limit, in the order of the manual.
template <class F>
void for_each_limit(F f) {
    f(std::string_view("max_downtime"), &Limits::max_downtime);
    f(std::string_view("timeout"), &Limits::timeout);
    f(std::string_view("max_bandwidth"), &Limits::max_bandwidth);
    f(std::string_view("switchover_bandwidth"), &Limits::switchover_bandwidth);
    f(std::string_view("min_cpu"), &Limits::min_cpu);
    f(std::string_view("max_stall"), &Limits::max_stall);
    f(std::string_view("aggression"), &Limits::aggression);
    f(std::string_view("data_address"), &Limits::data_address);
    f(std::string_view("data_ports"), &Limits::data_ports);
}

inline constexpr std::array<std::string_view, 3> preset_names = {"ganeti", "gentle", "maintenance"};

/// Ganeti's names of two limits: whole numbers, of MiB/s and of ms; 32 and 30 without them.
inline constexpr std::string_view ganeti_bandwidth = "migration_bandwidth";
inline constexpr std::string_view ganeti_downtime = "migration_downtime";

}  // namespace segue::vm
