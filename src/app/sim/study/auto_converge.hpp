#pragma once
/// \file  QEMU's auto-converge, to the letter of its rule (migration_trigger_throttle, cpu_throttle_thread): judged
///        at a dirty sync when more than 1000 ms have passed since it was last judged; if more was dirtied than half
///        of what was sent in that period, for the second time (good periods do not count back), the throttle rises.
///
/// Pure. Cost: nothing.

#include <optional>

namespace segue::study {

struct AutoConvergeSettings {
    int threshold = 50;  ///< throttle-trigger-threshold, per cent.
    int initial = 20;
    int increment = 10;
    int max = 99;
    /// QEMU 9.2 and later: once it throttles, a dirty sync each 5 s inside of a pass.
    bool sync_timer = false;
};

class AutoConverge {
public:
    explicit AutoConverge(AutoConvergeSettings settings) : settings_(settings) {}

    /// A dirty sync, `dirtied` and `sent` since the one before. \param at_s  Since the first one.
    void synced(double at_s, double dirtied_bytes, double sent_bytes);

    [[nodiscard]] int throttle() const { return throttle_; }  ///< Per cent; 0: not throttling.
    /// The share of wall time that each vCPU may run.
    [[nodiscard]] double share() const { return 1 - throttle_ / 100.0; }
    /// The longest sleep at a stretch: run 10 ms, then sleep 10 ms p / (1 - p).
    [[nodiscard]] double stall_s() const;
    /// When the next sync inside of a pass is due, if ever.
    [[nodiscard]] std::optional<double> sync_due_s() const;

private:
    AutoConvergeSettings settings_;
    double judged_at_ = 0;
    double last_sync_ = 0;
    double dirtied_ = 0;
    double sent_ = 0;
    int hits_ = 0;
    int throttle_ = 0;
};

}  // namespace segue::study
