#pragma once
/// \file  The port to what is remembered of a guest from one move to the next: its fixed costs and its
///        longest rollback. Implemented by store/file.
///
/// Remembering is a convenience: it never makes a move fail. What goes wrong comes back as a warning for
/// the operator. The wall clock is an argument, because entries outlive a boot.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/fixed_costs.hpp"
#include "model/guest_model.hpp"
#include "units/duration.hpp"

namespace segue {

/// UTC, whole seconds.
using WallTime = std::chrono::sys_seconds;

namespace experience {
inline constexpr std::size_t entries_max = 5;  ///< Of each kind; charge_for() looks at five.
inline constexpr std::chrono::days age_max{30};
/// A clock that was set back by more than this makes entries "from the future": not believed.
inline constexpr std::chrono::days future_max{1};
/// No switchover that was ever measured came near; a longer one is a damaged file.
inline constexpr Duration duration_max = std::chrono::hours{1};
}  // namespace experience

/// What one move taught.
struct Lesson {
    std::optional<FixedCosts> costs;   ///< Only of a move that ended on the destination.
    std::optional<Duration> rollback;  ///< Only where there was one.
    std::optional<GuestMemory> guest = {};  ///< How it dirties memory; of every move that began to copy.
};

/// What is known of a guest. The same fields as migration's Experience, which store/ may not see.
struct Recollection {
    std::vector<FixedCosts> fixed_costs;  ///< Newest first.
    Duration rollback_worst{0};
    GuestMemory guest;  ///< Of the last move under 30 days ago.
    std::string warning;  ///< One sentence, or empty.
};

class ExperienceStore {
public:
    virtual ~ExperienceStore() = default;
    ExperienceStore(const ExperienceStore&) = delete;
    ExperienceStore& operator=(const ExperienceStore&) = delete;

    /// Nothing when the guest is not known, which is no warning.
    [[nodiscard]] virtual Recollection load(const std::string& guest_key, WallTime now) = 0;
    /// Adds a lesson; one that teaches nothing is not written. \return A warning, or empty.
    [[nodiscard]] virtual std::string remember(const std::string& guest_key, const Lesson& lesson, WallTime now) = 0;

protected:
    ExperienceStore() = default;
};

/// By what a guest is recognised, and the name of its file: its UUID unless that is absent or nil, else its
/// name, else where its monitor is. Letters, digits, '-', '_' and '.' only, at most 100 of them, the kinds
/// never alike: "0f1e...", "name-web-7", "monitor-<hash>".
[[nodiscard]] std::string guest_key(std::string_view uuid, std::string_view name, std::string_view monitor_path);

}  // namespace segue
