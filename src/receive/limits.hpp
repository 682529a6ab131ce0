#pragma once
/// \file  Every bound of the receive protocol, with its reason. docs/receive-protocol.md repeats them.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "units/duration.hpp"

namespace segue::receive {

/// Versions that this build speaks. N works with N-1 (docs/receive-protocol.md, "Versions").
inline constexpr int version_min = 1;
inline constexpr int version_max = 1;

/// A line, newline not counted. The longest real one, `prepared` of a guest with 300 devices, has 40 KiB.
inline constexpr std::size_t line_bytes_max = 64 * 1024;
/// `prepared` needs 4.
inline constexpr std::size_t depth_max = 8;
/// Whole in every JSON reader there is.
inline constexpr std::uint64_t number_max = (std::uint64_t{1} << 53U) - 1;

inline constexpr std::size_t name_bytes_max = 255;     ///< Host names, feature names, versions.
inline constexpr std::size_t monitor_bytes_max = 107;  ///< What a Unix socket's address takes.
inline constexpr std::size_t text_bytes_max = 4096;    ///< Sentences, paths, one argument of a command.
inline constexpr std::size_t long_text_bytes_max = 32 * 1024;  ///< CPU features, put-back script.
inline constexpr std::size_t description_bytes_max = 24 * 1024;  ///< A line holds it even if escapes double it.
inline constexpr std::size_t list_entries_max = 1024;

inline constexpr Duration lease_every = std::chrono::milliseconds{100};
/// A word that quotes an older lease is refused: it may have waited anywhere, for any time.
inline constexpr Duration lease_fresh = std::chrono::milliseconds{300};
/// Without a ping for so long the destination ends itself.
inline constexpr Duration ping_silence_max = std::chrono::seconds{2};

/// Once there is nothing left to end, a peer that is silent for so long is gone, whatever TCP says.
inline constexpr Duration peer_silence_max = std::chrono::seconds{60};

/// What one session says to the log and to the source: a move needs fewer than 20.
inline constexpr std::size_t log_lines_max = 200;

/// Requests that wait for an answer; more is a peer that does not listen.
inline constexpr std::size_t outstanding_max = 16;

}  // namespace segue::receive
