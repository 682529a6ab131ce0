#pragma once
/// \file  Quantities as people write and read them.
///
/// Parsing takes exactly: a non-negative decimal number, optional blanks, a unit. Durations: ns us ms s
/// min h d. Rates: B/s kB/s KiB/s MB/s MiB/s GB/s GiB/s TB/s TiB/s and bit/s kbit/s Mbit/s Gbit/s
/// Tbit/s. Amounts: B kB KiB MB MiB GB GiB TB TiB. Units are case-sensitive; a near miss ("Mb/s") is
/// an error whose message names the units that are meant. A bare number is an error unless a default
/// unit is given (for the options where Ganeti, xl or virsh take bare numbers).
/// Rates print in bytes per second always, amounts in binary units.

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "units/bytes.hpp"
#include "units/duration.hpp"

namespace segue {

[[nodiscard]] Result<Duration> parse_duration(std::string_view text, std::string_view default_unit = {});
[[nodiscard]] Result<ByteRate> parse_byte_rate(std::string_view text, std::string_view default_unit = {});
[[nodiscard]] Result<Bytes> parse_bytes(std::string_view text, std::string_view default_unit = {});

/// "0.312 s", "58.2 s", "4 ms", "250 us": three significant digits at least, never rounded up to a
/// larger unit than it is worth.
[[nodiscard]] std::string to_text(Duration duration);
/// "100 MiB/s", "1.25 GiB/s".
[[nodiscard]] std::string to_text(ByteRate rate);
/// "512 MiB", "39.6 GiB", "812 B".
[[nodiscard]] std::string to_text(Bytes amount);

}  // namespace segue
