#pragma once
/// \file  The wording of what `segue migrate` says to people. Pure; no newline at the end; nothing in it that a
///        terminal would act on but the colours that are asked for.

#include <string>
#include <string_view>

#include "app/segue/words/migrate_words.hpp"
#include "migration/event.hpp"

namespace segue {

/// "qmp:/run/a.qmp to /run/b.qmp: downtime at most 0.3 s, no timeout, at most 100 MiB/s".
[[nodiscard]] std::string render_begin(const Migrate& migrate);
/// "pass 4  1.8 GiB left  612 MiB/s out  410 MiB/s dirty  blackout now 3.1 s (limit 0.3 s)  after 58.2 s".
[[nodiscard]] std::string render_progress(const ProgressReport& report);
/// What the stage is for, or its own word where there is no sentence for it.
[[nodiscard]] std::string render_stage(std::string_view stage);
[[nodiscard]] std::string render_decision(const DecisionReport& report);
/// \param disks  Also what is as it should be. Empty: there is nothing to say.
[[nodiscard]] std::string render_preflight(const PreflightReport& report, bool disks);
/// "the guest dirties 52 MiB in 1 s, 118 MiB in 3 s".
[[nodiscard]] std::string render_samples(const ForecastReport& report);
/// The plain model's, marked as uncalibrated: for a move of which nothing better can be said (else render_expected).
[[nodiscard]] std::string render_forecast(const ForecastReport& report, const Bounds& bounds);
/// One line for a moved guest that kept its bounds; else also where the guest is and what to do next.
[[nodiscard]] std::string render_result(const Summary& summary, std::string_view vm, const Bounds& bounds, bool colour);

}  // namespace segue
