#include "policy/converge/past_rounds.hpp"

#include <algorithm>
#include <utility>

namespace segue::converge {
namespace {

/// Rounds that leave so much of what there was, and so many times the budget, lead nowhere.
constexpr double crawls_by = 0.9;
constexpr double crawls_at = 2;
/// A brake may grant a little more than was asked for (the study's 0.002).
constexpr double granted_above = 0.003;
constexpr std::size_t falls_seen = 4;
constexpr double falls_by = 0.7;
constexpr double moment_s = 10;
constexpr int moment_syncs = 5;

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

void Room::add(double now_s, double room_s, bool forgets) {
    if (forgets && now_s - began_s_ >= moment_s && syncs_ >= moment_syncs) {
        widest_before_s_ = std::exchange(widest_s_, 0);
        began_s_ = now_s;
        syncs_ = 0;
    }
    ++syncs_;
    widest_s_ = std::max(widest_s_, room_s);
}

void Blind::add(double now_s) {
    if (syncs_++ == 0) began_s_ = now_s;
}

bool Blind::lasts(double now_s, double least_s) const {
    return syncs_ > moment_syncs && now_s - began_s_ >= least_s;
}

double Room::widest() const {
    return std::max(widest_s_, widest_before_s_);
}

}  // namespace segue::converge
