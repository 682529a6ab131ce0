#pragma once
/// \file  The study: many cases, each moved under one policy, under the optimum and under auto-converge, and the
///        figures that come of it beside the goals they are to reach.
///
/// A case is feasible if the optimum, knowing the true curve, succeeds with a tenth of slack in every bound
/// (DESIGN.md section 1), infeasible if it fails with a tenth more than every bound allows; what lies between is
/// marginal and scored for its bounds only.
/// Pure but for the stopwatch that it is given. Cost: about 60 ms a case.

#include <functional>
#include <string>
#include <vector>

#include "app/sim/study/move.hpp"

namespace segue::study {

enum class Kind { feasible, marginal, infeasible };
[[nodiscard]] std::string_view to_string(Kind kind) noexcept;

/// What is said of a move before it starts.
struct Foretold {
    bool feasible = true;
    double finishes_ratio = 1;  ///< Of what it tried in advance.
    Band total_s;
    Band downtime_s;
};

/// Who is studied.
struct Contestant {
    std::function<std::unique_ptr<Policy>()> policy;
    BeholderOf beholder;
    /// Absent: it says nothing beforehand and refuses nothing.
    std::function<std::optional<Foretold>(const Start&, const Bounds&, const BrakeRange&)> foretell{};
    /// Seconds on any clock, for what a decision costs; absent: not measured.
    std::function<double()> stopwatch{};
};

struct Attempt {
    MoveResult result;
    std::optional<Foretold> before{};
    bool refused = false;      ///< Before the start.
    double decision_worst_s = 0;
    std::vector<std::string> broken;  ///< Bounds: "downtime", "timeout", "bandwidth", "min-cpu", "max-stall".
};

struct Outcome {
    Case one;
    Kind kind = Kind::marginal;
    Attempt ours;
    Attempt calm;  ///< At aggression 0, and at 1.
    Attempt keen;
    Attempt knowing;  ///< As asked, by one who is told the guest's true curve: no learning would do better.
    MoveResult optimum;
    double clairvoyant_s = 0;
    std::optional<double> constant_total_s;  ///< What a constant dirty rate predicts.
    Attempt auto_converge;
};

/// \param log  Each dirty sync of the attempts, for one case alone.
[[nodiscard]] Outcome study_case(const Case& one, const Contestant& contestant, const Log& log = {});

struct Figure {
    std::string name;
    std::string value;
    std::string goal;            ///< Empty: reported only.
    std::optional<bool> holds{};
    double number = 0;
};

[[nodiscard]] std::vector<Figure> figures_of(const std::vector<Outcome>& outcomes);

/// How bad a case is, and in one sentence why; 0: nothing to complain of.
struct Complaint {
    double weight = 0;
    std::string why;
};
[[nodiscard]] Complaint complaint_of(const Outcome& outcome);

}  // namespace segue::study
