// How far the model is from guests whose curve is known: 360 random ones, figures printed, limits held.
// The seeds here were used for no choice in the model.
#include <gtest/gtest.h>

#include <cstdio>

#include "model/random_guest_test.hpp"

namespace segue {
namespace {

using test::Chance;
using test::RandomGuest;

constexpr int guests = 360;
constexpr std::uint64_t seed_first = 41'000;

struct Errors {
    std::vector<double> all;

    void add(double error) { all.push_back(error); }
    [[nodiscard]] double at(double quantile) {
        std::sort(all.begin(), all.end());
        return all[static_cast<std::size_t>(quantile * static_cast<double>(all.size() - 1))];
    }
};

struct Stage {
    Errors all;    ///< |F / truth - 1| at works of 0.05 to 10 s.
    Errors above;  ///< The same from 0.5 s on.
    int covered = 0;  ///< Truths within 1.28 sigma of the curve.
    int next_covered = 0;
    int next_count = 0;
    Errors next;      ///< Of the next backlog.

    void measure(const GuestModel& model, const RandomGuest& guest) {
        for (const double work_s : {0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0}) {
            const double ratio = model.belief().curve.bytes_in(work_s) / guest.dirtied(work_s);
            all.add(std::abs(ratio - 1));
            if (work_s >= 0.5) above.add(std::abs(ratio - 1));
            if (std::abs(std::log(ratio)) <= 1.2816 * model.belief().sigma_at(work_s)) ++covered;
        }
    }
    void print(const char* name) {
        std::printf("%-18s F: median %5.1f %% P90 %5.1f %%, from 0.5 s: %5.1f %% %5.1f %%, covered %4.1f %%", name,
                    100 * all.at(0.5), 100 * all.at(0.9), 100 * above.at(0.5), 100 * above.at(0.9),
                    100.0 * covered / static_cast<double>(all.all.size()));
        std::printf("; next backlog %4.1f %% %5.1f %%, 80 %% band covers %4.1f %%\n", 100 * next.at(0.5),
                    100 * next.at(0.9), 100.0 * next_covered / next_count);
    }
};

/// Pass after pass, unbraked, until `passes` of them are seen.
class Move {
public:
    Move(const RandomGuest& guest, GuestModel& model, Chance& chance) : guest_(guest), model_(model), chance_(chance) {}

    void sample(double interval_s) {
        model_.add_run_time(now(), from_seconds(worked_s_), all_of_it);
        const auto said = test::page_sample(guest_, interval_s, chance_);
        pass_time(interval_s);
        model_.add_sample(said);
    }
    void begin() {
        backlog_ = guest_.memory;
        to_send_ = guest_.filled;
        sync(0);
    }
    /// \param stage  Is told what was expected of the sync that ends the pass.
    void pass(Stage& stage) {
        const double wall_s = to_send_ / guest_.bandwidth + 0.02;
        const double work_s = wall_s * guest_.busy;
        const Band expected = model_.next_backlog(work_s);
        pass_time(wall_s);
        const double sent = to_send_;
        backlog_ = std::min(guest_.dirtied(work_s) * std::exp(guest_.round_sd * chance_.normal()), guest_.memory);
        to_send_ = backlog_;
        stage.next.add(std::abs(expected.p50 / backlog_ - 1));
        ++stage.next_count;
        if (backlog_ >= expected.p10 && backlog_ <= expected.p90) ++stage.next_covered;
        sync(sent);
    }

private:
    [[nodiscard]] Instant now() const { return {from_seconds(now_s_)}; }
    void pass_time(double wall_s) {
        for (int i = 0; i < 20; ++i) {
            now_s_ += wall_s / 20;
            worked_s_ += wall_s / 20 * guest_.busy;
            model_.add_run_time(now(), from_seconds(worked_s_), all_of_it);
        }
    }
    void sync(double sent) {
        DirtySync sync;
        sync.number = ++number_;
        sync.at = now();
        sync.backlog = {static_cast<std::int64_t>(backlog_)};
        sync.sent = {static_cast<std::int64_t>(sent)};
        model_.add_sync(sync);
    }

    const RandomGuest& guest_;
    GuestModel& model_;
    Chance& chance_;
    double now_s_ = 100;
    double worked_s_ = 0;
    double backlog_ = 0;
    double to_send_ = 0;
    std::int64_t number_ = 0;
};

struct Study {
    Stage sampled;
    Stage after_one;
    Stage after_three;
    Stage after_ten;
};

Study run_study(std::uint64_t first, int count) {
    Study out;
    for (int i = 0; i < count; ++i) {
        Chance chance(first + static_cast<std::uint64_t>(i));
        const auto guest = test::random_guest(chance);
        GuestModel model({static_cast<std::int64_t>(guest.memory)});
        Move move(guest, model, chance);
        move.sample(1);
        move.sample(3);
        out.sampled.measure(model, guest);
        move.begin();
        move.pass(out.sampled);
        out.after_one.measure(model, guest);
        move.pass(out.after_one);
        move.pass(out.after_one);
        out.after_three.measure(model, guest);
        for (int k = 0; k < 7; ++k) move.pass(out.after_three);
        out.after_ten.measure(model, guest);
        for (int k = 0; k < 3; ++k) move.pass(out.after_ten);
    }
    return out;
}

TEST(GuestStudy, the_fitted_curve_is_near_the_true_one_and_the_bands_cover) {
    auto study = run_study(seed_first, guests);
    study.sampled.print("samples at 1, 3 s");
    study.after_one.print("and pass 1");
    study.after_three.print("and 3 passes");
    study.after_ten.print("and 10 passes");
    EXPECT_LT(study.sampled.all.at(0.5), 0.15);
    EXPECT_LT(study.after_one.all.at(0.5), 0.11);
    EXPECT_LT(study.after_three.all.at(0.5), 0.07);
    EXPECT_LT(study.after_three.above.at(0.9), 0.25);
    EXPECT_LT(study.after_ten.all.at(0.5), 0.06);
}

}  // namespace
}  // namespace segue
