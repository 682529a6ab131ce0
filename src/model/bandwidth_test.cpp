// The estimate of the stream's rate against a modelled link whose rate is known at every moment.
#include "model/bandwidth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "model/random_guest_test.hpp"

namespace segue {
namespace {

using std::chrono::milliseconds;
using test::Chance;

/// A sender with a queue of its own before a link: steps of 1 ms, read every 50 to 55 ms, acked in bursts.
class ModelledStream {
public:
    ModelledStream(std::function<double(double)> rate, std::uint64_t seed) : rate_(std::move(rate)), chance_(seed) {}

    /// Until `until_s`; after each reading `then` is told the time. \param offered  Bytes a second from the sender.
    void run(double until_s, const std::function<double(double)>& offered, const std::function<void(double)>& then) {
        while (now_s_ < until_s) {
            const double step_s = 0.001;
            queue_ = std::min(queue_ + offered(now_s_) * step_s, queue_max_s * rate_(now_s_));
            const double sent = std::min(queue_, rate_(now_s_) * step_s);
            queue_ -= sent;
            delivered_ += sent;
            now_s_ += step_s;
            if (now_s_ < next_read_s_) continue;
            next_read_s_ = now_s_ + 0.05 + chance_.uniform(0, 0.005);
            // The newest few segments are delivered and not acked yet.
            const double acked = delivered_ - chance_.uniform(0, 0.01) * 0.05 * rate_(now_s_);
            acked_ = std::max(acked_, acked);
            estimate.add({from_seconds(now_s_)}, {static_cast<std::int64_t>(acked_)}, queue_ > 0);
            then(now_s_);
        }
    }

    BandwidthEstimate estimate;

private:
    static constexpr double queue_max_s = 0.02;
    std::function<double(double)> rate_;
    Chance chance_;
    double now_s_ = 0;
    double next_read_s_ = 0.05;
    double queue_ = 0;
    double delivered_ = 0;
    double acked_ = 0;
};

struct Errors {
    std::vector<double> all;
    [[nodiscard]] double at(double quantile) {
        std::sort(all.begin(), all.end());
        return all[static_cast<std::size_t>(quantile * static_cast<double>(all.size() - 1))];
    }
};

double median_of(const BandwidthEstimate& estimate) {
    return static_cast<double>(estimate.median().value_or(ByteRate{0}).per_second);
}

TEST(BandwidthEstimate, is_within_two_and_five_per_cent_of_the_truth_zero_page_phases_included) {
    Errors errors;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        Chance chance(seed);
        const double base = chance.log_uniform(10e6, 1e9);
        const double wave = chance.uniform(0, 0.05);
        const double period_s = chance.uniform(2, 10);
        const auto truth = [&](double t) { return base * (1 + wave * std::sin(6.283 * t / period_s)); };
        ModelledStream stream(truth, seed);
        // Zero pages cost nine bytes of 4096: for a third of the time hardly anything is offered.
        const double zero_every_s = chance.uniform(0.3, 3);
        const auto offered = [&](double t) {
            return std::fmod(t, zero_every_s) < zero_every_s / 3 ? base / 50 : base * 3;
        };
        stream.run(20, offered, [&](double t) {
            if (t <= 1 || stream.estimate.windows() == 0) return;
            errors.all.push_back(std::abs(median_of(stream.estimate) / truth(t) - 1));
        });
    }
    std::printf("bandwidth: %zu readings, error median %.2f %%, P95 %.2f %%\n", errors.all.size(), 100 * errors.at(0.5),
                100 * errors.at(0.95));
    EXPECT_LE(errors.at(0.5), 0.02);
    EXPECT_LE(errors.at(0.95), 0.05);
}

TEST(BandwidthEstimate, takes_over_a_step_of_the_path_within_300_ms) {
    Errors recovery;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        Chance chance(seed);
        const double before = chance.log_uniform(10e6, 1e9);
        const double ratio = chance.below(2) == 0 ? chance.uniform(0.05, 0.8) : chance.uniform(1.25, 10);
        const double step_s = 2 + chance.uniform(0, 1);
        ModelledStream stream([&](double t) { return t < step_s ? before : before * ratio; }, seed);
        double recovered_s = -1;
        stream.run(5, [&](double) { return before * 20; }, [&](double t) {
            const bool near = std::abs(median_of(stream.estimate) / (before * ratio) - 1) < 0.05;
            if (t > step_s && near && recovered_s < 0) recovered_s = t - step_s;
        });
        ASSERT_GT(recovered_s, 0) << seed;
        recovery.all.push_back(recovered_s);
    }
    std::printf("bandwidth: step taken over after %.0f ms (median of 60), %.0f ms at worst\n", 1e3 * recovery.at(0.5),
                1e3 * recovery.at(1));
    EXPECT_LT(recovery.at(1), 0.3);
}

TEST(BandwidthEstimate, is_not_moved_by_a_single_stall) {
    ModelledStream stream([](double t) { return t > 3 && t < 3.09 ? 1e6 : 100e6; }, 1);
    stream.run(4, [](double) { return 300e6; }, [&](double t) {
        if (t > 0.5) {
            EXPECT_NEAR(median_of(stream.estimate), 100e6, 2e6) << t;
        }
    });
}

/// 50 ms a reading, of which a dirty sync takes `rest` (as the kernel tells it: in ticks of 4 ms).
class SyncedStream {
public:
    void read(Duration rest, double rate) {
        at_ = at_ + BandwidthEstimate::window_min;
        acked_ += Bytes{static_cast<std::int64_t>(rate * to_seconds(BandwidthEstimate::window_min - rest))};
        const auto tick = std::chrono::milliseconds{4};
        const auto wobble = ++readings_ % 3 - 1;
        estimate.add(at_, acked_, true, std::max<Duration>(rest + wobble * tick / 2, Duration{0}));
    }
    [[nodiscard]] double cautious() const { return static_cast<double>(estimate.cautious()->per_second); }

    BandwidthEstimate estimate;

private:
    Instant at_;
    Bytes acked_;
    int readings_ = 0;
};

TEST(BandwidthEstimate, is_not_lowered_by_what_a_dirty_sync_leaves_unsent) {
    SyncedStream stream;
    for (int i = 0; i < 60; ++i) stream.read(milliseconds{i % 4 == 3 ? 20 : 0}, 100e6);
    EXPECT_NEAR(stream.cautious(), 100e6, 3e6);
    EXPECT_NEAR(median_of(stream.estimate), 100e6, 2e6);
}

TEST(BandwidthEstimate, follows_the_path_also_where_every_window_has_a_dirty_sync_in_it) {
    SyncedStream stream;
    for (int i = 0; i < 40; ++i) stream.read(milliseconds{20}, 100e6);
    EXPECT_NEAR(stream.cautious(), 100e6, 5e6);
    for (int i = 0; i < 30; ++i) stream.read(milliseconds{20}, 60e6);
    EXPECT_NEAR(median_of(stream.estimate), 60e6, 3e6) << "1.5 s later";
    EXPECT_LE(stream.cautious(), 63e6);
}

TEST(BandwidthEstimate, is_not_raised_by_the_burst_that_a_shaper_lets_through_after_a_rest) {
    SyncedStream stream;
    for (int i = 0; i < 10; ++i) stream.read(milliseconds{0}, 100e6);
    for (int i = 0; i < 60; ++i) stream.read(milliseconds{20}, 130e6);
    EXPECT_LE(stream.cautious(), 101e6);
    EXPECT_GE(stream.cautious(), 95e6);
}

TEST(BandwidthEstimate, rises_with_the_path_also_where_no_window_is_without_a_rest_any_more) {
    SyncedStream stream;
    for (int i = 0; i < 20; ++i) stream.read(milliseconds{0}, 30e6);
    for (int i = 0; i < 60; ++i) stream.read(milliseconds{20}, 118e6);
    EXPECT_GE(stream.cautious(), 66e6) << "118 MB/s with the rests counted are 71";
    EXPECT_LE(stream.cautious(), 118e6);
}

TEST(BandwidthEstimate, comes_back_after_a_silence_also_where_no_window_is_without_a_rest_any_more) {
    SyncedStream stream;
    for (int i = 0; i < 20; ++i) stream.read(milliseconds{0}, 100e6);
    for (int i = 0; i < 10; ++i) stream.read(milliseconds{0}, 0);
    EXPECT_EQ(stream.estimate.cautious_while_it_flows(), std::nullopt);
    for (int i = 0; i < 60; ++i) stream.read(milliseconds{20}, 100e6);
    EXPECT_GE(median_of(stream.estimate), 58e6);
    EXPECT_GE(stream.estimate.cautious_while_it_flows()->per_second, 58'000'000);
}

TEST(BandwidthEstimate, of_a_path_that_stood_still_for_a_moment_is_not_unknown) {
    SyncedStream stream;
    for (int i = 0; i < 20; ++i) stream.read(milliseconds{0}, 100e6);
    for (int i = 0; i < 3; ++i) stream.read(milliseconds{0}, 0);
    EXPECT_EQ(stream.cautious(), 0);
    EXPECT_EQ(stream.estimate.cautious_while_it_flows(), std::nullopt) << "it still stands";
    stream.read(milliseconds{0}, 100e6);
    EXPECT_NEAR(static_cast<double>(stream.estimate.cautious_while_it_flows()->per_second), 85e6, 1e6)
        << "the mean of twenty";
}

TEST(BandwidthEstimate, of_a_receiver_that_acknowledges_in_bursts_is_what_a_blackout_will_have) {
    SyncedStream stream;
    // Every third window is a fifth short, and the next one has it.
    for (int i = 0; i < 30; ++i) stream.read(milliseconds{0}, i % 3 == 0 ? 80e6 : i % 3 == 1 ? 120e6 : 100e6);
    const auto over = [&](int ms) {
        return static_cast<double>(stream.estimate.cautious_while_it_flows(milliseconds{ms})->per_second);
    };
    EXPECT_NEAR(over(50), 80e6, 1e6);
    EXPECT_NEAR(over(150), 100e6, 1e6);
    EXPECT_NEAR(over(200), 95e6, 1e6);
    EXPECT_EQ(over(5000), over(200)) << "what was, no longer ago than that";
    EXPECT_EQ(over(-10), over(50)) << "nothing is left for bytes";
}

TEST(BandwidthEstimate, of_a_path_that_varies_is_what_its_slow_windows_have_whatever_the_blackout) {
    SyncedStream stream;
    for (int i = 0; i < 40; ++i) stream.read(milliseconds{0}, 100e6 + 4e6 * (i % 10 < 5 ? i % 5 : 5 - i % 5));
    EXPECT_EQ(stream.estimate.cautious_while_it_flows(milliseconds{200}), stream.estimate.cautious());
}

TEST(BandwidthEstimate, does_not_even_out_what_was_seen_too_briefly_or_in_pieces) {
    const auto burst = [](int i) { return i % 2 == 0 ? 80e6 : 120e6; };
    const auto evened = [](const SyncedStream& stream) {
        return *stream.estimate.cautious_while_it_flows(milliseconds{200}) > *stream.estimate.cautious();
    };
    SyncedStream brief;
    // The first reading opens a window.
    for (int i = 0; i < 12; ++i) brief.read(milliseconds{0}, burst(i));
    EXPECT_FALSE(evened(brief)) << "eleven windows";
    brief.read(milliseconds{0}, burst(12));
    EXPECT_TRUE(evened(brief));
    SyncedStream falling;
    for (int i = 0; i < 5; ++i) falling.read(milliseconds{0}, 100e6 - 10e6 * i);
    EXPECT_FALSE(evened(falling));
    SyncedStream pieced;
    for (int i = 0; i < 20; ++i) pieced.read(milliseconds{0}, burst(i));
    EXPECT_TRUE(evened(pieced));
    for (int i = 0; i < 8; ++i) pieced.read(milliseconds{25}, 100e6);
    EXPECT_FALSE(evened(pieced)) << "windows without what lies between them";
}

TEST(BandwidthEstimate, for_a_blackout_falls_with_the_path_after_two_windows) {
    SyncedStream stream;
    for (int i = 0; i < 20; ++i) stream.read(milliseconds{0}, 100e6);
    for (int i = 0; i < 2; ++i) stream.read(milliseconds{0}, 40e6);
    EXPECT_NEAR(static_cast<double>(stream.estimate.cautious_while_it_flows(milliseconds{200})->per_second), 40e6, 1e6);
}

TEST(BandwidthEstimate, takes_what_may_be_a_tick_of_the_kernel_for_no_rest) {
    BandwidthEstimate estimate;
    for (int i = 0; i < 20; ++i) {
        estimate.add(Instant{} + i * milliseconds{50}, {i * 5'000'000}, true, BandwidthEstimate::rest_least);
    }
    EXPECT_EQ(estimate.at_quantile(1.0)->per_second, 100'000'000);
    // Nor what is little of a reading that came late.
    BandwidthEstimate late;
    for (int i = 0; i < 20; ++i) late.add(Instant{} + i * milliseconds{400}, {i * 40'000'000}, true, milliseconds{30});
    EXPECT_EQ(late.at_quantile(1.0)->per_second, 100'000'000);
}

TEST(BandwidthEstimate, band_has_the_median_inside_and_is_never_narrower_than_a_reading) {
    BandwidthEstimate none;
    EXPECT_EQ(none.band(), Band{});
    ModelledStream stream([](double t) { return 100e6 * (1 + 0.2 * std::sin(40 * t)); }, 1);
    stream.run(3, [](double) { return 300e6; }, [](double) {});
    const Band band = stream.estimate.band();
    EXPECT_LE(band.p10, 0.98 * band.p50);
    EXPECT_GE(band.p90, 1.02 * band.p50);
}

double always(double) { return 1e12; }

TEST(BandwidthAhead, of_a_path_that_swings_is_its_mean_and_not_its_last_moment) {
    // 100 MB/s give or take 15 %, up and down in 20 s.
    ModelledStream stream([](double at_s) { return 1e8 * (1 + 0.15 * std::sin(at_s * 2 * M_PI / 20)); }, 3);
    double worst_far = 0;
    double worst_near = 0;
    stream.run(120, always, [&](double at_s) {
        if (at_s < 60) return;
        worst_far = std::max(worst_far, std::abs(stream.estimate.mean_over(128) / 1e8 - 1));
        worst_near = std::max(worst_near, std::abs(stream.estimate.mean_over(0.5) / 1e8 - 1));
    });
    EXPECT_LT(worst_far, 0.04);
    EXPECT_GT(worst_near, 0.12);
}

TEST(BandwidthAhead, forgets_what_was_before_the_path_broke) {
    ModelledStream stream([](double at_s) { return at_s < 30 ? 1e8 : 2e7; }, 4);
    double at_31 = 0;
    stream.run(31, always, [&](double) { at_31 = stream.estimate.mean_over(60); });
    EXPECT_NEAR(at_31 / 2e7, 1, 0.1);
}

TEST(BandwidthAhead, goes_smoothly_from_one_horizon_to_the_next) {
    ModelledStream stream([](double at_s) { return 1e8 * (1 + at_s / 200); }, 5);
    stream.run(100, always, [](double) {});
    double before = stream.estimate.mean_over(0.25);
    for (double horizon_s = 0.25; horizon_s < 1000; horizon_s *= 1.1) {
        const double now = stream.estimate.mean_over(horizon_s);
        EXPECT_LE(now, before * 1.001) << horizon_s;  // The path has been getting faster.
        EXPECT_GT(now, before * 0.95) << horizon_s;
        before = now;
    }
}

}  // namespace
}  // namespace segue
