#pragma once
/// \file  What is remembered of one guest as text (JSON), as store/file keeps it.
///
/// `{"schema":1,"guest":KEY,"costs":[{"at_unix_seconds":..,"stop_ns":..,"load_ns":..,"handover_ns":..}],
///   "rollbacks":[{"at_unix_seconds":..,"rollback_ns":..}],
///   "guest_model":{"at_unix_seconds":..,"curve":[{"work_seconds":..,"bytes":..,"relative_sd":..}],..}}`, newest first;
/// "guest_model" (store/guest_memory_codec.hpp) may be absent. Unknown members are ignored.
/// Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/experience.hpp"

namespace segue {

struct Remembered {
    struct Costs { WallTime at; FixedCosts costs; friend bool operator==(const Costs&, const Costs&) = default; };
    struct Rollback {
        WallTime at;
        Duration took{0};
        friend bool operator==(const Rollback&, const Rollback&) = default;
    };
    std::vector<Costs> costs;          ///< Newest first.
    std::vector<Rollback> rollbacks;   ///< Newest first.
    struct Guest {
        WallTime at;
        GuestMemory memory;
    };
    std::optional<Guest> guest = {};
};

/// `corrupt` when it is not such a text, or a value in it cannot be true.
[[nodiscard]] Result<Remembered> parse_remembered(std::string_view text);
[[nodiscard]] std::string render_remembered(const Remembered& remembered, std::string_view guest_key);

/// Adds `lesson` in front.
void add_lesson(Remembered& remembered, const Lesson& lesson, WallTime now);
/// Drops what is too old, from the future or too much. Call before use and before writing.
void forget_old(Remembered& remembered, WallTime now);

}  // namespace segue
