#pragma once
/// \file  The dynamic programme of theory.md 3.3: what it still costs from a backlog on, under the best choices.
///
/// Cost = work_price * (guest work lost) + time_price * (wall time); a standstill counts as all of its time of work,
/// however idle the guest. Before go one may
/// wait a pass without brake (it is free but for its time, and the backlog may be calmer then: optimal stopping),
/// or say go with a brake (without one where the ground has none); after go a setting is chosen at every sync. Noise
/// of a round is three points of a normal, at 0 and +-1.73 sigma. Beside it the least time to the stop if all rounds
/// are as good, as usual or as bad as these points: the frontiers by which a timeout is kept and a move given up.
/// Pure. Cost: the ground's table about 0.2 ms, one solution of it about 0.1 ms.

#include <array>
#include <vector>

#include "policy/converge/mechanics.hpp"

namespace segue::converge {

inline constexpr std::array<double, 3> noise_at = {-1.7320508075688772, 0.0, 1.7320508075688772};
inline constexpr std::array<double, 3> noise_weight = {1.0 / 6, 2.0 / 3, 1.0 / 6};
enum NoisePoint : std::size_t { calm = 0, usual = 1, rough = 2 };

/// When go counts: it did before this round; after the usual wait, as the table has it; or early or late, as the
/// decision of this moment has it: what goes out meanwhile is no longer there at the stop.
enum class Go { counts, usual_wait, any_wait };

struct Prices {
    double work = 1;
    double time = 0;
};

/// 0: as good as only work counts. 0.5: a second of time is worth 0.055 s of guest work; 0.9: 0.38 s; 1: only time
/// counts.
[[nodiscard]] Prices prices_of(double aggression);

/// Backlogs on a logarithmic scale, and where each choice leads.
class Terrain {
public:
    static constexpr std::size_t points = 160;
    using Table = std::array<double, points>;

    struct Step {
        float time_s = 0;
        std::array<float, 3> next{};  ///< Position on the scale; negative: it stops with that much pending.
        std::array<float, 3> pending{};
    };
    struct Wait {
        float time_s = 0;
        std::array<float, 3> next{};
    };

    /// \param highest  No backlog will be above it.
    Terrain(Ground ground, double highest);
    /// The same with the highest setting alone: no brake.
    [[nodiscard]] Terrain unaided() const;

    [[nodiscard]] const Ground& ground() const { return ground_; }
    [[nodiscard]] double position(double backlog) const;
    [[nodiscard]] double backlog_at(std::size_t point) const { return backlogs_[point]; }
    [[nodiscard]] static double look_up(const Table& table, double position);
    [[nodiscard]] Step step(double backlog, double known_work, std::size_t setting, Go go) const;
    /// \param shift  Of the logarithm: what a calm or rough spell leaves for the next round.
    [[nodiscard]] Wait wait(double backlog, double shift) const;

    [[nodiscard]] const Step& step_at(std::size_t setting, std::size_t point) const {
        return steps_[setting * points + point];
    }
    [[nodiscard]] const Step& first_step_at(std::size_t setting, std::size_t point) const {
        return first_steps_[setting * points + point];
    }
    [[nodiscard]] const Wait& wait_at(std::size_t point) const { return waits_[point]; }
    /// Least time to the stop after go, all rounds alike.
    [[nodiscard]] double stop_time(NoisePoint noise, double backlog) const;
    /// After this step as well.
    [[nodiscard]] double stop_time(NoisePoint noise, const Step& step) const;

private:
    void fill();
    void fill_fastest();

    Ground ground_;
    double log_lowest_ = 0;
    double log_step_ = 1;
    std::array<double, 3> factors_{};
    std::array<double, 3> calm_factors_{};
    std::vector<double> backlogs_;
    std::vector<Step> steps_;
    std::vector<Step> first_steps_;
    std::vector<Wait> waits_;
    std::array<Table, 3> fastest_{};
};

/// Costs from each backlog on.
struct Values {
    Prices prices;
    Terrain::Table after_go{};
    Terrain::Table before_go{};
    Terrain::Table go_now{};  ///< With no further waiting.
    /// A pass must pay by itself to be waited for: a brake is needed, and no calm phase is to be expected. (A belief
    /// that is a little too low would else promise a fall that never comes, pass after pass.)
    bool one_pass = false;
};

[[nodiscard]] Values solve(const Terrain& terrain, const Prices& prices);

/// What it costs to take this step, on average, with what comes after it.
[[nodiscard]] double cost_of(const Terrain& terrain, const Values& values, std::size_t setting,
                             const Terrain::Step& step);
[[nodiscard]] double cost_of(const Values& values, const Terrain::Wait& wait);

}  // namespace segue::converge
