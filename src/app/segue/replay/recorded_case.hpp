#pragma once
/// \file  A recorded move as a case of the study (app/sim/study): the same guest, link and bounds in virtual time, so
///        that any policy can be let loose on it.
///
/// What is assumed (`replay_assumptions` says it to people): the guest dirties all along by the curve that was fitted
/// at the end of the record, without the rounds' own noise; the link carried at each time what was measured then, after
/// the record what was measured last; pass 1 had as much to send as it took time for; a switchover costs what was
/// charged for it, less the charge's margin. Pure. Cost: a fit takes about 0.3 ms.

#include "app/segue/jobs/decision_record.hpp"
#include "app/sim/study/case.hpp"

namespace segue {

/// `invalid` where the record is too short to say anything of guest and link.
[[nodiscard]] Result<study::Case> case_of(const RecordedMove& move);

/// A guest of pages that dirties by this curve, to within a few per cent.
[[nodiscard]] study::GuestSpec guest_of(const Outlook& outlook);

/// What the record itself says of the move, as far as it says it.
struct RecordedCost {
    double lost_s = 0;        ///< Guest work not done while copying; the standstill not included.
    double lowest_share = 1;
    double copied_until_s = 0;  ///< The last decision.
};
/// \param stopped_s  When the guest stopped, since the move began: how long the last share held.
[[nodiscard]] RecordedCost cost_of(const RecordedMove& move, double stopped_s);

}  // namespace segue
