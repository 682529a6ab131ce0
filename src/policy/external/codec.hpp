#pragma once
/// \file  What a policy in a process of its own is told and what it answers, as lines of JSON
///        (docs/policy-protocol.md). Pure: the process itself is app/segue/move/policy_process.hpp.
///
/// Out goes one View a line, with a number; back comes one Decision a line with the number of the view it answers.
/// What comes back is foreign: a field that is missing, unknown, of a wrong type or out of range makes the line an
/// error, one sentence without the peer's bytes in it. A fault costs its own line only, the next one is read again.
/// Cost: 60 us a view, 2 us an answer.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/policy.hpp"

namespace segue::external {

inline constexpr int version = 1;
/// A line, newline not counted, either way. A view needs at most half of it.
inline constexpr std::size_t line_bytes_max = 64 * 1024;
/// An answer needs 2.
inline constexpr std::size_t depth_max = 4;
/// The reason is one sentence for people.
inline constexpr std::size_t because_bytes_max = 1024;
/// Thirty years: longer is no forecast.
inline constexpr double seconds_max = 1e9;
/// Of a view: points of the curve, newest passes, shares of the brake (the lowest and the highest among them).
inline constexpr std::size_t curve_points = 31;
inline constexpr std::size_t passes_max = 64;
inline constexpr std::size_t brake_steps_max = 64;

/// One line with its newline.
[[nodiscard]] std::string encode(std::uint64_t number, const View& view);

struct Answer {
    std::uint64_t view = 0;  ///< The number of the view it answers; whether there was one is the caller's to check.
    Decision decision;       ///< Its share is 0 to 1; the brake's range is not known here.
};

/// One line without its newline.
[[nodiscard]] Result<Answer> parse(std::string_view line);

/// Lines out of a stream that comes in any pieces; empty lines are skipped. Holds at most one line.
class LineReader {
public:
    [[nodiscard]] std::vector<Result<Answer>> feed(std::span<const char> bytes);

private:
    std::string line_;      ///< What has come of the line that has begun.
    bool too_long_ = false; ///< The rest of it is thrown away; it has been complained of.
};

}  // namespace segue::external
