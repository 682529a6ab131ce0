#pragma once
/// \file  One move of the study: what happens to guest, link and policy from the first sample to the end. Internal to
///        run_move(): move.cpp has the copying, flight_stop.cpp the stop.
///
/// Pure.

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/sim/study/copying.hpp"
#include "app/sim/study/move.hpp"

namespace segue::study {

class Flight {
public:
    Flight(const Case& one, const Bounds& bounds, const Pilot& pilot)
        : case_(one), bounds_(bounds), pilot_(pilot), copying_(one, bounds), brake_(brake_for(bounds)),
          throttle_(pilot.auto_converge) {}

    MoveResult run();

private:
    [[nodiscard]] bool steered() const { return pilot_.policy != nullptr; }
    void say(const std::string& line) const {
        if (pilot_.log) pilot_.log(fmt::format("{:9.3f} {}", copying_.now_s(), line));
    }
    void set_out();
    struct Sampled {
        double interval_s = 0;
        Bytes told;
        std::int64_t pages_hashed = 0;
        double worked_s = 0;
    };
    void sample_first();
    [[nodiscard]] Sampled sample(GuestRun& guest, double interval_s);
    void sample_beside();
    [[nodiscard]] bool may_sample() const;
    void listen();
    [[nodiscard]] double until(double look_at) const;
    void apply_due();
    void look();
    [[nodiscard]] Outlook outlook_of(Beholder& beholder) const {
        Outlook out = beholder.look();
        out.vcpus = static_cast<int>(case_.guest.busy.size());
        return out;
    }
    void synced(double backlog, double left_over = 0);
    [[nodiscard]] View view() const;
    void decide(double backlog);
    void obey(const Decision& decision);
    [[nodiscard]] Bytes budget() const;
    [[nodiscard]] std::optional<ByteRate> measured() const;
    [[nodiscard]] double cautious_rate() const;
    [[nodiscard]] double spare(double share) const;
    [[nodiscard]] double braked_budget() const;
    [[nodiscard]] double threshold() const;
    void set_share(double share);
    [[nodiscard]] bool may_count() const;
    [[nodiscard]] double fresh() const;
    void stop_when_it_fits();
    void switch_over();
    void stand_from(double began);
    [[nodiscard]] bool must_roll_back(double& stood);
    [[nodiscard]] bool too_late(double stood) const;
    MoveResult end(End how, std::string because = {});

    const Case& case_;
    const Bounds bounds_;
    const Pilot& pilot_;
    Copying copying_;
    const BrakeRange brake_;
    AutoConverge throttle_;
    std::unique_ptr<Beholder> beholder_;
    std::unique_ptr<Beholder> planner_;  ///< Who waits for all samples, as `segue plan` does.
    std::size_t next_sample_ = 0;
    std::optional<std::pair<double, Sampled>> beside_;  ///< When it ends, and what it will say.
    Setting setting_;
    FixedCosts costs_;  ///< As they will be.
    Duration reserve_{0};
    BandwidthEstimate stream_;
    BandwidthEstimate seen_;  ///< All windows within a pass: a lower bound, as migration/ keeps it.
    double acked_ = 0;
    double sent_seen_ = 0;
    double share_ = 1;
    double asked_share_ = 1;
    double share_least_ = 1;  ///< Since the last sync.
    std::optional<std::pair<double, double>> share_next_;
    std::optional<double> go_at_;  ///< From when go counts at the source; said before.
    double allowed_bytes_ = 0;
    Outlook known_;  ///< As last seen.
    double synced_at_ = 0;
    std::vector<Pass> passes_;
    double clock_from_ = 0;  ///< Of the run times that are read: since sampling began.
    double worked_before_ = 0;
    double wanted_before_ = 0;
    double worked_at_sync_ = 0;
    double sent_at_sync_ = 0;
    double run_time_at_ = -1;
    MoveResult result_;
    bool done_ = false;
};

}  // namespace segue::study
