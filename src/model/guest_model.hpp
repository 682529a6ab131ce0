#pragma once
/// \file  All that is known of one guest and its link during one move: fed by migration/, asked for an Outlook.
///
/// Owned by one Migration, on its thread; fed with plain readings, in the order of their instants. Nothing it is
/// told may be left out for being odd: what cannot be true is ignored here.
///
/// What is assumed of QEMU (qemu.md 1, 5.4):
///   - A dirty sync finds every page written since the one before. Where a part R of the old backlog V was still
///     unsent, the new backlog is the union of R and what was dirtied, D: the overlap is taken as the part of D
///     that falls on the old backlog, F(x0) + F(x) - F(x0 + x) of a stationary guest, times R / V.
///   - Page sampling counts changed contents of a sample, in whole MiB a second, rounded down.
///   - Of a guest whose vCPU readings are missing, work is min(share, busy) times the time.
/// Pure, deterministic: the same feed gives the same outlook, bit for bit.
/// Cost: `add_sync` and `add_sample` one fit, about 0.4 ms; all else next to nothing.

#include <cstdint>
#include <optional>
#include <vector>

#include "model/bandwidth.hpp"
#include "model/conformal.hpp"
#include "model/curve_fit.hpp"
#include "model/outlook.hpp"
#include "model/work_clock.hpp"
#include "units/share.hpp"

namespace segue {

/// What is remembered of a guest from its earlier moves. Plain numbers; zero or empty: not known.
struct GuestMemory {
    std::vector<CurveObservation> curve;  ///< A dozen points at most.
    double busy = 0;
    double unbraked_ratio = 0;
    double round_sigma = 0;
    Band bandwidth_bytes_per_second;  ///< Of the last path; drop it where the path is another.
    Bytes first_pass;                 ///< What pass 1 sent.
    Duration round_overhead{0};

    friend bool operator==(const GuestMemory&, const GuestMemory&) = default;
};

/// One answer of calc-dirty-rate, page sampling.
struct PageSample {
    Duration interval{0};           ///< Of wall time.
    Bytes dirtied;                  ///< The rate it said times the interval.
    std::int64_t pages_hashed = 0;  ///< 0: not known, 8192 taken.
    ByteRate resolution = mebibytes_per_second(1);  ///< Of the rate it says; 0: exact.
    std::optional<Duration> worked = {};            ///< By the vCPUs meanwhile; absent: busy times the interval.
};

/// One dirty sync, as it was read right after it. The first one begins pass 1 and says nothing of the guest.
struct DirtySync {
    std::int64_t number = 0;   ///< As QEMU counts; 1 is the one at setup.
    Instant at;
    Bytes backlog;             ///< `remaining` right after it.
    Bytes remaining_before;    ///< The last `remaining` seen before it.
    std::optional<Duration> worked = {};  ///< In the pass that it ended; absent: from the run-time readings, if any.
    Share share = {};          ///< Granted in that pass (least).
    Bytes sent;                ///< On the wire in that pass, headers included; 0: not known.
};

class GuestModel {
public:
    explicit GuestModel(Bytes memory, const GuestMemory& remembered = {});

    void add_sample(const PageSample& sample);
    /// Run time of the vCPUs (their mean) since any fixed moment. \param granted  Least since the reading before.
    void add_run_time(Instant at, Duration worked, Share granted);
    /// Of the same run times, while nobody brakes the guest.
    void add_spread(const WorkSpread& spread) { spread_ = spread; }
    void add_sync(const DirtySync& sync);
    /// One reading of the stream, as BandwidthEstimate::add.
    void add_stream(Instant at, Bytes acked, bool queue_waits, Duration rested = Duration{0});
    /// What the stream is paced at or the operator says of the link: taken until it is measured.
    void expect_bandwidth(ByteRate rate);
    /// What pass 1 will have to send by other evidence (resident memory of the QEMU process, say).
    void expect_first_pass(Bytes bytes, double sigma);
    /// How fast the source finds that pages are zero; nothing is sent meanwhile.
    void expect_zero_scan(ByteRate rate) { zero_scan_ = rate; }
    /// From the start of the move until pass 1 flows.
    void expect_opening(Duration usual) { opening_ = usual; }
    void set_costs(const FixedCosts& costs) { costs_ = costs; }

    [[nodiscard]] Outlook outlook() const;
    /// The next sync's backlog after so much run time, P10 to P90, widened so that it covers as past ones did.
    [[nodiscard]] Band next_backlog(double work_s) const;
    /// How sure the curve is, at each work: where a policy asks far from what was seen.
    [[nodiscard]] const CurveBelief& belief() const { return belief_; }
    /// Guest work behind the newest backlog, as it was before dirty tracking made it dearer; 0 before there is one.
    [[nodiscard]] Duration last_work() const { return from_seconds(last_work_s_); }
    /// For the next move of this guest.
    [[nodiscard]] GuestMemory learned() const;

private:
    /// Residuals of the rounds: ln(dirtied / expected before it was seen), in standard deviations and plain.
    struct Residual {
        double plain = 0;
        double level_sigma = 0;
        bool changed = false;  ///< The round in which the guest was found to be another.
    };
    struct Round {
        double work_s = 0;
        double free_work_s = 0;  ///< What it would have been without a brake.
        double dirtied = 0;
    };

    [[nodiscard]] Bytes most_sent() const;
    [[nodiscard]] Band bandwidth_ahead() const;
    [[nodiscard]] double new_dirt(const DirtySync& sync, double work_s) const;
    [[nodiscard]] double unbraked_work(const Round& round) const;
    void learn_round(const Round& round);
    [[nodiscard]] bool seen_near(double work_s) const;
    bool watch_for_change(double standardised, double plain);
    void relearn_scatter();
    void learn_unbraked(const Round& round);

    Bytes memory_;
    GuestMemory remembered_;
    WorkSpread spread_;
    FixedCosts costs_ = prior_fixed_costs;
    WorkClock clock_;
    BandwidthEstimate bandwidth_;
    std::optional<ByteRate> bandwidth_expected_;
    CurveFit fit_;
    CurveBelief belief_;
    Conformal conformal_;
    std::optional<DirtySync> last_;
    double last_work_s_ = 0;
    Bytes first_pass_;
    double first_pass_sigma_ = 0;
    ByteRate zero_scan_;
    Duration opening_{0};
    int passes_seen_ = 0;
    std::vector<Residual> residuals_;
    std::vector<double> overheads_s_;
    double steady_sigma_ = 0;  ///< Of rounds between changes.
    double round_sigma_ = 0;   ///< With the changes that are to be expected.
    double round_phi_ = 0;
    double cusum_up_ = 0;
    double cusum_down_ = 0;
    int cusum_up_rounds_ = 0;
    int cusum_down_rounds_ = 0;
    std::vector<double> shifts_;  ///< ln of each change of level, oldest first.
    double unbraked_sum_ = 0;
    double unbraked_weight_ = 0;
};

}  // namespace segue
