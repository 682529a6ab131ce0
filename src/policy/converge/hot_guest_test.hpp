#pragma once
/// \file  The view of one guest that the tests of the policy change, and what was decided of it.

#include <chrono>
#include <utility>
#include <variant>

#include "policy/converge/converge.hpp"

namespace segue::test {

/// 512 MiB, 200 MiB of them hot at 550 MiB/s, on 100 MiB/s: the second pass begins.
inline View hot_guest() {
    View view;
    view.memory = mebibytes(512);
    view.bandwidth = mebibytes_per_second(100);
    view.budget = view.braked_budget = mebibytes(23);
    view.max_downtime = std::chrono::milliseconds{300};
    view.brake = {{0.05, 0.1, 0.2, 0.4, 0.7, 1.0}, {0.07, 0.046, 0.026, 0.016, 0.01, 0}};
    view.share = all_of_it;
    view.outlook.curve = Curve::saturating(mebibytes(200), mebibytes_per_second(550));
    view.outlook.busy = all_of_it;
    view.outlook.memory = view.memory;
    view.outlook.first_pass = view.memory;
    view.outlook.bandwidth_known = true;
    view.outlook.bandwidth_bytes_per_second = {103e6, 105e6, 106e6};
    view.outlook.costs = prior_fixed_costs;
    view.outlook.level_sigma = 0.1;
    view.outlook.round_sigma = 0.03;
    view.elapsed = std::chrono::seconds{5};
    view.passes = {{1, {}, mebibytes(512)}, {2, view.elapsed, mebibytes(200), view.elapsed, all_of_it}};
    return view;
}

inline View first_pass(View view) {
    view.passes.resize(1);
    view.elapsed = {};
    return view;
}

/// Go was said, and a dirty sync finds so much under the brake.
inline void hold(View& view, Share share, Duration now, Bytes left, Duration worked) {
    view.allowed = true;
    view.share = share;
    view.elapsed = now;
    view.passes.push_back({3, now, left, worked, share});
}

inline Decision decided(const View& view) {
    return make_converge_policy()->decide(view);
}

inline bool goes(const Decision& decision) {
    return std::holds_alternative<AllowSwitchover>(decision.action);
}
inline bool carries_on(const Decision& decision) {
    return std::holds_alternative<CarryOn>(decision.action);
}
inline bool gives_up(const Decision& decision) {
    return std::holds_alternative<GiveUp>(decision.action);
}

/// At the beginning of pass 1, and when the longer sample came in.
struct Twice {
    Decision first;
    Decision again;
};
inline Twice decided_twice(const View& first, View again) {
    const auto policy = make_converge_policy();
    again.elapsed = std::chrono::milliseconds{3400};
    Decision at_first = policy->decide(first);
    return {std::move(at_first), policy->decide(again)};
}

}  // namespace segue::test
