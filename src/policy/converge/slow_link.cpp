#include "policy/converge/slow_link.hpp"

#include <algorithm>

namespace segue::converge {
namespace {

/// Less than so much of the promise is slow.
constexpr double slow = 0.8;
constexpr double moment_s = 10;
constexpr double most_of_the_time = 0.5;

}  // namespace

bool SlowLink::for_a_moment(const View& view, double rate) {
    const double best = std::max(rate, view.outlook.bandwidth_bytes_per_second.p90);
    if (promised_ <= 0 || rate <= 0 || best >= slow * promised_) {
        since_s_.reset();
        return false;
    }
    const double now_s = to_seconds(view.elapsed);
    if (!since_s_) {
        const bool after_pass_1 = view.passes.size() == 2;
        const double first_pass = static_cast<double>(view.outlook.first_pass.count);
        const double late_s = after_pass_1 ? now_s - first_pass / (slow * promised_) : 0;
        since_s_ = now_s - std::clamp(late_s, 0.0, now_s);
    }
    const double pass_s = static_cast<double>(view.passes.back().backlog.count) / rate;
    // The next word on it comes when the pass is over.
    if (view.timeout && pass_s > most_of_the_time * (to_seconds(*view.timeout) - now_s)) return false;
    return now_s - *since_s_ < moment_s && pass_s < moment_s;
}

}  // namespace segue::converge
