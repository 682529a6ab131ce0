#pragma once
/// \file  The families of guests that a study draws from: stationary mixtures, which the model contains, and at least a
///        third that it does not (phases, trends, bursts, idle-then-busy, network, vCPUs of different heat, traces).
///
/// Pure.

#include <vector>

#include "app/sim/study/trace.hpp"

namespace segue::study {

/// \param rate  Of the link: heat is drawn relative to it, so that easy and hopeless guests are both common.
[[nodiscard]] GuestSpec draw_guest(sim::Rng rng, double memory_bytes, double rate, const std::vector<Trace>& traces);

}  // namespace segue::study
