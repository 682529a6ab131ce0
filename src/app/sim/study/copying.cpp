#include "app/sim/study/copying.hpp"

#include <algorithm>
#include <cmath>

namespace segue::study {
namespace {

constexpr double page_on_wire = page_bytes + 8;
constexpr double zero_on_wire = 9;
/// Zero pages lie in so many places.
constexpr double zero_stretches = 8;
constexpr double window_s = 0.1;
/// Of what the cap says, the kernel is asked for this (frames counted), and gives it within a hundredth.
constexpr double paced = 0.98 / 1.045;

}  // namespace

Copying::Copying(const Case& one, const Bounds& bounds)
    : case_(one), guest_(one.guest, sim::Rng(one.seed).stream("guest")),
      wire_(one.wire, sim::Rng(one.seed).stream("wire")),
      rng_(sim::Rng(one.seed).stream("move")), cap_(bounds.max_bandwidth.value_or(0)) {
    double written = 0;
    for (const auto& pages : one.guest.classes) {
        pass_.push_back(pages.pages);
        written += pages.pages;
    }
    const double nonzero = one.guest.memory_bytes * one.guest.nonzero_ratio / page_bytes;
    pass_.push_back(std::max(0.0, nonzero - written));
    pass_.push_back(std::max(0.0, one.guest.memory_bytes / page_bytes - std::max(nonzero, written)));
}

double Copying::limited(double rate) const {
    if (cap_ <= 0) return rate;
    return std::min(rate, cap_ * paced * (0.999 + 0.004 * std::fmod(now_s_ * 7.3, 1.0)));
}

double Copying::pending_bytes() const {
    double pages = 0;
    for (const double count : pass_) pages += count;
    return pages * left_ * page_bytes;
}

double Copying::pages_with_content() const {
    double pages = 0;
    for (std::size_t i = 0; i + 1 < pass_.size(); ++i) pages += pass_[i];
    return pages;
}

void Copying::send_until(double until_s, double share) {
    while (now_s_ < until_s - 1e-9 && left_ > 0) {
        const double rate = limited(wire_.rate_at(now_s_));
        const double end = std::min({until_s, Wire::slot_end(now_s_), window_began_s_ + window_s});
        const auto here = stretch(rate);
        const double part = std::max(end - now_s_, 1e-9);
        const bool whole = here.seconds * here.part <= part;
        const double gone = whole ? here.part : part / here.seconds;
        left_ = gone >= left_ - 1e-12 ? 0 : left_ - gone;
        pass_time(whole ? here.seconds * gone : part, share, gone * here.bytes, here.waits);
    }
}

Copying::Stretch Copying::stretch(double rate) const {
    const double content = pages_with_content();
    const double all = content + pass_.back();
    if (pass_.back() <= 0) return {left_, content * page_on_wire / rate, content * page_on_wire, true};
    constexpr double length = 1 / zero_stretches;
    constexpr double least = 1e-9;
    const double at = std::fmod(1 - left_, length);
    const double filled = content / all * length;
    if (at < filled - least) {
        return {std::min(filled - at, left_), all * page_on_wire / rate, all * page_on_wire, true};
    }
    const double seconds = all * std::max(zero_on_wire / rate, page_bytes / case_.scan_per_s);
    return {std::min(std::max(length - at, least), left_), seconds, all * zero_on_wire, false};
}

void Copying::pass_time(double seconds, double share, double bytes, bool waits) {
    const double slot = Wire::slot_end(now_s_);
    now_s_ += seconds;
    sent_ += bytes;
    window_sent_ += bytes;
    guest_.advance(seconds, share);
    if (waits) slot_busy_s_ += seconds;
    if (now_s_ >= slot - 1e-9) {
        if (on_stream) on_stream(now_s_, sent_, slot_busy_s_ > Wire::slot_s - 1e-6);
        slot_busy_s_ = 0;
    }
    if (now_s_ < window_began_s_ + window_s - 1e-9) return;
    window_rate_ = window_sent_ / (now_s_ - window_began_s_);
    most_per_s_ = std::max(most_per_s_, window_rate_);
    window_began_s_ = now_s_;
    window_sent_ = 0;
}

void Copying::wait(double seconds, double share) {
    if (seconds > 0) pass_time(seconds, share, 0);
}

double Copying::sync() {
    const auto dirty = guest_.take_dirty();
    double found = 0;
    for (std::size_t i = 0; i < pass_.size(); ++i) {
        const double rest = pass_[i] * left_;
        if (i >= dirty.size()) {
            pass_[i] = rest;
            continue;
        }
        found += dirty[i];
        const double all = std::max(case_.guest.classes[i].pages, 1.0);
        pass_[i] = std::min(all, rest + dirty[i] * std::max(0.0, 1 - rest / all));
    }
    left_ = 1;
    return found * page_bytes;
}

double Copying::drain() {
    const double began = now_s_;
    while (left_ > 0 && now_s_ - began < 3600) send_until(now_s_ + 0.01, 0);
    return now_s_ - began;
}

}  // namespace segue::study
