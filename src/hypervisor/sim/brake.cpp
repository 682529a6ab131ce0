#include "hypervisor/sim/brake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace segue::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int steps = 12;
constexpr double tick_s = 0.004;
constexpr double period_s = 0.010;
constexpr double quota_min_s = 0.001;
constexpr double margin_s = 0.010;

}  // namespace

Duration Brake::stall_at(double share) {
    if (share >= 1) return Duration{0};
    const double period = std::max(period_s, quota_min_s / share);
    return from_seconds(std::max(period * (1 - share), tick_s * (1 / share - 1)) + margin_s);
}

void Brake::submit(const BrakeCommand& command, OnAnswer on_answer) {
    struct Visitor {
        Brake& brake;
        const OnAnswer& on_answer;
        void answer(Result<BrakeAnswer> value, Duration delay) const {
            brake.context_.agenda.after(delay, [on_answer = on_answer, value = std::move(value)] { on_answer(value); });
        }
        void operator()(const BrakeOpen& open) const {
            const auto& plan = brake.context_.plan.brake;
            if (!plan.available || (!plan.opens && !open.only_look)) {
                return answer(fail(ErrorKind::unsupported, "no CPU controller here"), milliseconds{1});
            }
            // It tries each share out before it promises a stall.
            answer(BrakeAnswer{brake.open(open)}, milliseconds{60});
        }
        void operator()(const BrakeSet& set) const {
            const Duration written = brake.rng_.between(microseconds{50}, milliseconds{2});
            if (!brake.context_.truth.brake_open) {
                return answer(fail(ErrorKind::conflict, "the brake is not open"), written);
            }
            brake.set(set.share.ratio);
            answer(BrakeAnswer{BrakeDone{}}, written);
        }
        void operator()(const BrakeWatch&) const {
            if (brake.context_.plan.brake.loses_watch) return;
            brake.begin();
            answer(BrakeAnswer{BrakeDone{}}, microseconds{200});
        }
        void operator()(const BrakeRead&) const {
            if (brake.context_.plan.brake.counts) return answer(BrakeAnswer{brake.read()}, microseconds{50});
            answer(fail(ErrorKind::unsupported, "no run times here"), microseconds{50});
        }
        void operator()(const BrakeClose&) const {
            brake.lift("segue");
            brake.context_.truth.brake_open = false;
            answer(BrakeAnswer{BrakeDone{}}, milliseconds{1});
        }
    };
    std::visit(Visitor{*this, on_answer}, command);
}

BrakeReady Brake::open(const BrakeOpen& command) {
    if (!context_.truth.brake_open) begin();
    context_.truth.brake_open = true;
    floor_ = std::clamp(command.floor.ratio, 0.01, 1.0);
    BrakeReady ready;
    for (int i = 0; i < steps; ++i) {
        const double share = floor_ * std::pow(1 / floor_, i / double{steps});
        ready.steps.push_back({Share{share}, stall_at(share)});
    }
    ready.steps.push_back({all_of_it, Duration{0}});
    ready.undo = "sim brake";
    return ready;
}

void Brake::begin() {
    settled_ = context_.agenda.now();
    worked_s_ = throttled_s_ = 0;
}

void Brake::set(double share) {
    if (share < floor_) context_.violation(fmt::format("the brake was set to {}, below its floor {}", share, floor_));
    const auto change = ++change_;
    context_.agenda.after(rng_.between(milliseconds{1}, milliseconds{20}), [this, share, change] {
        if (change == change_) grant(std::clamp(share, floor_, 1.0));
    });
}

void Brake::grant(double share) {
    settle();
    auto& truth = context_.truth;
    if (truth.src_share == share) return;
    truth.src_share = share;
    if (share >= 1) truth.brake_lifted_at = context_.agenda.now();
    context_.log("brake", fmt::format("{:.3f}", share));
}

void Brake::lift(std::string_view who) {
    ++change_;
    if (context_.truth.src_share >= 1) return;
    context_.log(who, "lets go of the brake");
    grant(1);
}

/// Work since the last time, what stood in between left out.
void Brake::settle() {
    const Instant now = context_.agenda.now();
    double ran = to_seconds(now - settled_);
    for (const auto& standing : context_.truth.standings) {
        const Instant from = std::max(standing.from, settled_);
        const Instant to = std::min(standing.to.value_or(now), now);
        if (to > from) ran -= to_seconds(to - from);
    }
    settled_ = now;
    const double busy = context_.plan.guest.busy;
    const double works = std::min(busy, context_.truth.src_share);
    worked_s_ += ran * works;
    throttled_s_ += ran * (busy - works);
}

BrakeSample Brake::read() {
    settle();
    const Duration worked = from_seconds(worked_s_);
    return {context_.agenda.now(), worked, from_seconds(throttled_s_), worked, worked, worked};
}

}  // namespace segue::sim
