#include "policy/converge/past_rounds.hpp"

#include <algorithm>

namespace segue::converge {
namespace {

/// Rounds that leave so much of what there was, and so many times the budget, lead nowhere.
constexpr double crawls_by = 0.9;
constexpr double crawls_at = 2;
/// A brake may grant a little more than was asked for (the study's 0.002).
constexpr double granted_above = 0.003;
constexpr std::size_t falls_seen = 4;
constexpr double falls_by = 0.7;

double backlog(const Pass& pass) {
    return static_cast<double>(pass.backlog.count);
}

}  // namespace

bool crawls(std::span<const Pass> passes, const Setting& lowest) {
    if (passes.size() <= crawl_rounds) return false;
    const auto rounds = passes.last(crawl_rounds);
    const bool held = std::ranges::all_of(
        rounds, [&](const Pass& pass) { return pass.share.ratio <= lowest.share + granted_above; });
    const double before = backlog(passes[passes.size() - 1 - crawl_rounds]);
    const double now = backlog(passes.back());
    return held && now > crawls_at * lowest.budget && now > crawls_by * before;
}

bool clearly_falls(std::span<const Pass> passes) {
    if (passes.size() < falls_seen) return false;
    return backlog(passes.back()) < falls_by * backlog(passes[passes.size() - 2]);
}

}  // namespace segue::converge
