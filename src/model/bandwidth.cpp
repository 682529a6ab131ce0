#include "model/bandwidth.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/assert.hpp"

namespace segue {
namespace {

/// A window of 50 ms was read within 0.99 to 1.02 of the truth.
constexpr double reading_error = 0.02;
constexpr double window_s = 0.05;
/// Of independent windows four in a row scatter half as much.
constexpr double evens_out_ratio = 0.5;

double scatter(const std::vector<ByteRate>& rates) {
    double sum = 0;
    double squares = 0;
    for (const ByteRate rate : rates) {
        const auto one = static_cast<double>(rate.per_second);
        sum += one;
        squares += one * one;
    }
    const auto count = static_cast<double>(rates.size());
    return std::sqrt(std::max(squares / count - sum / count * (sum / count), 0.0));
}

}  // namespace

void BandwidthEstimate::add(Instant at, Bytes acked, bool queue_waits, Duration rested) {
    if (!queue_waits) {
        // The source had nothing to say: what was acked since says nothing about the path.
        open_.reset();
        whole_in_a_row_ = 0;
        return;
    }
    if (!open_) {
        open_ = Reading{at, acked};
        return;
    }
    SEGUE_ASSERT(at >= open_->at && acked >= open_->acked);
    const Duration length = at - open_->at;
    if (rested > std::max<Duration>(rest_least, length / 8)) {
        pieced_.acked += acked - open_->acked;
        pieced_.busy += std::max(length - rested, Duration{0});
        pieced_.all += length;
        open_ = Reading{at, acked};
        if (pieced_.busy >= pieced_min) take_pieced();
        return;
    }
    if (length < window_min) return;
    whole_in_a_row_ = length < 2 * window_min ? whole_in_a_row_ + 1 : 0;
    take(acked - open_->acked, length);
    whole_ = median();
    open_ = Reading{at, acked};
}

/// After a rest a shaper lets a burst through, which no longer stretch would get: so no more than the windows without a
/// rest said. But where there are none any more they may be out of date, and what got through with the rests counted is
/// certain: no burst is larger than what the rest before it left unused.
void BandwidthEstimate::take_pieced() {
    const Pieced pieced = std::exchange(pieced_, {});
    whole_in_a_row_ = 0;
    Bytes most = pieced.acked;
    if (whole_) most = std::min(most, std::max(*whole_, pieced.acked / pieced.all) * pieced.busy);
    take(most, pieced.busy);
}

void BandwidthEstimate::take(Bytes acked, Duration length) {
    rates_.push_back(acked / length);
    remember(static_cast<double>(acked.count), to_seconds(length));
    if (rates_.size() > window_count) rates_.pop_front();
    forget_before_step();
}

void BandwidthEstimate::forget_before_step() {
    if (rates_.size() <= step_windows) return;
    const auto first_new = rates_.end() - step_windows;
    const auto [new_low, new_high] = std::minmax_element(first_new, rates_.end());
    // Against the middle of what was before: its ends are single windows.
    std::vector<ByteRate> old(rates_.begin(), first_new);
    std::sort(old.begin(), old.end());
    const ByteRate middle = old[(old.size() - 1) / 2];
    const bool fell = *new_high < scale(middle, 1 - step_ratio);
    const bool rose = *new_low > scale(middle, 1 + step_ratio);
    const bool broke = *new_high < scale(middle, 1 - break_ratio) || *new_low > scale(middle, 1 + break_ratio);
    if (fell || rose) rates_.erase(rates_.begin(), first_new);
    if (!broke) return;
    long_run_ = {};
    for (const ByteRate rate : rates_) remember(static_cast<double>(rate.per_second) * window_s, window_s);
}

void BandwidthEstimate::remember(double bytes, double seconds) {
    for (std::size_t i = 0; i < long_run_.size(); ++i) {
        const double keep = std::exp(-seconds / fade_s[i]);
        long_run_[i].bytes = keep * long_run_[i].bytes + bytes;
        long_run_[i].seconds = keep * long_run_[i].seconds + seconds;
    }
}

double BandwidthEstimate::mean_over(double horizon_s) const {
    const auto mean = [this](std::size_t i) { return long_run_[i].bytes / std::max(long_run_[i].seconds, 1e-9); };
    if (horizon_s <= fade_s.front()) return mean(0);
    for (std::size_t i = 1; i < fade_s.size(); ++i) {
        if (horizon_s > fade_s[i]) continue;
        const double part = std::log(horizon_s / fade_s[i - 1]) / std::log(fade_s[i] / fade_s[i - 1]);
        return mean(i - 1) + part * (mean(i) - mean(i - 1));
    }
    return mean(fade_s.size() - 1);
}

std::optional<ByteRate> BandwidthEstimate::median() const {
    if (rates_.empty()) return std::nullopt;
    const auto count = std::min(rates_.size(), median_windows);
    std::vector<ByteRate> newest(rates_.end() - static_cast<std::ptrdiff_t>(count), rates_.end());
    std::sort(newest.begin(), newest.end());
    return newest[(count - 1) / 2];
}

ByteRate BandwidthEstimate::mean_of(std::size_t first, std::size_t count) const {
    std::int64_t sum = 0;
    for (std::size_t i = first; i < first + count; ++i) sum += rates_[i].per_second;
    return {sum / static_cast<std::int64_t>(count)};
}

/// The tenth percentile of as many windows in a row as `over` takes, where those scatter so much less that what one of
/// them lacks the next ones mostly have. A path that has just become slower shows it in the newest first.
ByteRate BandwidthEstimate::evened(Duration over) const {
    constexpr std::size_t newest = 2;
    const auto fit = static_cast<std::size_t>(std::max<std::int64_t>(over / window_min, 0));
    const std::size_t count = std::min(fit, evened_windows);
    const std::size_t known = std::min(whole_in_a_row_, rates_.size());
    if (count < newest || known < evened_stretches * count) return {0};
    const std::size_t oldest = rates_.size() - known;
    std::vector<ByteRate> means;
    for (std::size_t first = oldest; first + count <= rates_.size(); ++first) means.push_back(mean_of(first, count));
    const std::vector<ByteRate> single(rates_.begin() + static_cast<std::ptrdiff_t>(oldest), rates_.end());
    if (scatter(means) > evens_out_ratio * scatter(single)) return {0};
    const auto tenth = means.begin() + static_cast<std::ptrdiff_t>((means.size() - 1) / 10);
    std::nth_element(means.begin(), tenth, means.end());
    return std::min(*tenth, mean_of(rates_.size() - newest, newest));
}

std::optional<ByteRate> BandwidthEstimate::cautious_while_it_flows(Duration over) const {
    const auto lowest = cautious();
    if (!lowest) return lowest;
    if (lowest->per_second > 0) return std::max(*lowest, evened(over));
    if (rates_.back().per_second == 0 || median()->per_second == 0) return std::nullopt;
    ByteRate out = rates_.back();
    for (const ByteRate rate : rates_) {
        if (rate.per_second > 0) out = std::min(out, rate);
    }
    // One that stands still time and again carries no more in a blackout than in the mean.
    return std::min(out, mean_of(0, rates_.size()));
}

Band BandwidthEstimate::band() const {
    const auto middle = median();
    if (!middle) return {};
    const auto at = [this](double quantile) { return static_cast<double>(at_quantile(quantile)->per_second); };
    const auto p50 = static_cast<double>(middle->per_second);
    return {std::min(at(0.1), p50 * (1 - reading_error)), p50, std::max(at(0.9), p50 * (1 + reading_error))};
}

std::optional<ByteRate> BandwidthEstimate::at_quantile(double quantile) const {
    if (rates_.empty()) return std::nullopt;
    SEGUE_ASSERT(quantile >= 0.0 && quantile <= 1.0);
    std::vector<ByteRate> sorted(rates_.begin(), rates_.end());
    std::sort(sorted.begin(), sorted.end());
    const auto last = sorted.size() - 1;
    return sorted[static_cast<std::size_t>(quantile * static_cast<double>(last))];
}

}  // namespace segue
