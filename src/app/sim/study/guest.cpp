#include "app/sim/study/guest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/assert.hpp"

namespace segue::study {
namespace {

/// Heat is held for so long at most.
constexpr double step_max_s = 0.25;
/// Below so many expected hits each one is drawn.
constexpr double few = 30;

double of_mode(const std::vector<double>& values, std::size_t mode) {
    return values[std::min(mode, values.size() - 1)];
}

double poisson(sim::Rng& rng, double mean) {
    const double limit = std::exp(-mean);
    double product = rng.unit();
    double count = 0;
    while (product > limit) {
        product *= rng.unit();
        ++count;
    }
    return count;
}

}  // namespace

double normal(sim::Rng& rng) {
    const double u = 1 - rng.unit();
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * rng.unit());
}

double binomial(sim::Rng& rng, double n, double p) {
    if (n <= 0 || p <= 0) return 0;
    if (p >= 1) return n;
    if (n * p < few) return std::min(n, poisson(rng, n * p));
    if (n * (1 - p) < few) return n - std::min(n, poisson(rng, n * (1 - p)));
    return std::clamp(std::round(n * p + std::sqrt(n * p * (1 - p)) * normal(rng)), 0.0, n);
}

GuestRun::GuestRun(const GuestSpec& spec, sim::Rng rng)
    : spec_(&spec), rng_(rng), drives_(spec.busy.size() + others), exposure_(spec.modes.size() * drives_) {
    SEGUE_ASSERT(!spec.busy.empty() && !spec.modes.empty());
    SEGUE_ASSERT(spec.trace.empty() || !spec.classes.empty());
    jitter_ = spec.jitter_sigma * normal(rng_);
    // Found somewhere in its cycle, not at the beginning of it.
    mode_ = spec.modes.size() - 1;
    next_mode();
    if (spec.modes.size() > 1) mode_left_ *= rng_.unit();
    trace_at_ = spec.trace.empty() ? 0 : static_cast<std::size_t>(rng_.next() % spec.trace.size());
}

void GuestRun::next_mode() {
    mode_ = (mode_ + 1) % spec_->modes.size();
    const double mean = spec_->modes[mode_].length_s;
    mode_left_ = spec_->modes_random ? -mean * std::log(1 - rng_.unit()) : mean;
    mode_left_ = std::max(mode_left_, 1e-3);
}

double GuestRun::heat() const {
    const double trend = std::clamp(1 + spec_->trend_per_s * worked_, 0.2, 5.0);
    return trend * trace_heat_ * std::exp(jitter_ - spec_->jitter_sigma * spec_->jitter_sigma / 2);
}

double GuestRun::busy_now() const {
    if (spec_->network) return std::min(1.0, spec_->network->arrive_per_s / spec_->network->serve_per_s);
    double sum = 0;
    for (const double busy : spec_->busy) sum += busy;
    return sum / static_cast<double>(spec_->busy.size()) * spec_->modes[mode_].busy;
}

void GuestRun::advance(double seconds, double share) {
    while (seconds > 0) {
        double part = std::min(seconds, step_max_s);
        const double pace = spec_->modes_on_wall ? 1 : std::min(share, busy_now());
        if (spec_->modes.size() > 1 && pace > 0) part = std::min(part, mode_left_ / pace);
        if (!spec_->trace.empty() && trace_left_ > 0 && share > 0) part = std::min(part, trace_left_ / share);
        part = std::max(part, 1e-9);
        step(part, share);
        seconds -= part;
        if (spec_->modes.size() == 1) continue;
        mode_left_ -= part * pace;
        if (mode_left_ <= 1e-9) next_mode();
    }
}

void GuestRun::step(double seconds, double share) {
    if (!spec_->trace.empty() && trace_left_ <= 1e-9) {
        const TracePoint& now = spec_->trace[trace_at_];
        trace_at_ = (trace_at_ + 1) % spec_->trace.size();
        trace_left_ = now.work_s;
        const double part = std::min(now.distinct_bytes / page_bytes / spec_->classes.front().pages, 0.999);
        trace_heat_ = -std::log1p(-part) / now.work_s;
    }
    if (spec_->jitter_sigma > 0 && !quiet_) {
        const double keep = std::exp(-seconds / spec_->jitter_tau_s);
        jitter_ = jitter_ * keep + spec_->jitter_sigma * std::sqrt(1 - keep * keep) * normal(rng_);
    } else if (quiet_) {
        jitter_ = spec_->jitter_sigma * spec_->jitter_sigma / 2;
    }
    const double hot = heat();
    expose(drive_of(Drive::wall), hot * seconds);
    if (spec_->network) {
        wanted_ += std::min(1.0, busy_now() * hot) * seconds;
        serve(seconds, share);
        return;
    }
    wanted_ += busy_now() * seconds;
    const auto vcpus = static_cast<double>(spec_->busy.size());
    for (std::size_t i = 0; i < spec_->busy.size(); ++i) {
        const double work = std::min(share, std::min(1.0, spec_->busy[i] * spec_->modes[mode_].busy)) * seconds;
        expose(i, hot * work);
        expose(drive_of(Drive::vcpus), hot * work / vcpus);
        worked_ += work / vcpus;
        trace_left_ -= i == 0 ? work : 0;
    }
}

void GuestRun::serve(double seconds, double share) {
    const Network& network = *spec_->network;
    const double can_serve = std::min(share, 1.0) * network.serve_per_s * seconds;
    const double received =
        std::min(network.arrive_per_s * heat() * seconds, network.queue_max - waiting_ + can_serve);
    const double served = std::min(waiting_ + received, can_serve);
    waiting_ += received - served;
    const double work = served / network.serve_per_s;
    worked_ += work;
    for (std::size_t i = 0; i < spec_->busy.size(); ++i) expose(i, work);
    expose(drive_of(Drive::vcpus), work);
    expose(drive_of(Drive::network), received);
}

double GuestRun::expected_pages(const PageClass& pages) const {
    const std::size_t drive = pages.drive == Drive::vcpu ? pages.vcpu : drive_of(pages.drive);
    double hits = 0;
    for (std::size_t mode = 0; mode < spec_->modes.size(); ++mode) {
        hits += of_mode(pages.rate, mode) * exposure_[mode * drives_ + drive];
    }
    if (pages.pattern == Pattern::walk) return std::min(pages.pages, hits);
    return -pages.pages * std::expm1(-hits);
}

double GuestRun::expected_bytes() const {
    double sum = 0;
    for (const auto& pages : spec_->classes) sum += expected_pages(pages);
    return sum * page_bytes;
}

std::vector<double> GuestRun::take_dirty() {
    std::vector<double> out;
    out.reserve(spec_->classes.size());
    for (const auto& pages : spec_->classes) {
        const double expected = expected_pages(pages);
        const bool drawn = !quiet_ && pages.pattern == Pattern::random && pages.pages > 0;
        out.push_back(drawn ? binomial(rng_, pages.pages, expected / pages.pages) : expected);
    }
    std::ranges::fill(exposure_, 0.0);
    return out;
}

}  // namespace segue::study
