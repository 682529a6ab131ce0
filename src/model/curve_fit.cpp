#include "model/curve_fit.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "model/nnls.hpp"

namespace segue {
namespace {

constexpr std::size_t taus = nnls_unknowns / 2;
constexpr double tau_first_s = 0.01;
constexpr double tau_last_s = 300;
/// Prior amplitude of a part with time constant tau: tau^0.75, where 0 would make every guest one hot set and 1 a
/// line, and less beyond some seconds: few guests go on to dirty anew for minutes. Chosen, with what follows, on 360
/// random guests of seeds that no test uses.
constexpr double prior_power = 0.75;
constexpr double prior_bend_s = 5;
/// How far a part may be from its prior, in prior amplitudes.
constexpr double prior_spread = 20;
/// The linear theory of the fit says too much, since it does not know that no part is negative.
constexpr double sigma_factor = 0.4;
constexpr double sigma_least = 0.02;
constexpr double sigma_most = 2;
constexpr double half_life_passes = 3;
constexpr double half_life_work_s = 10;
/// Times its standard deviation; what lies further is weighted as if it lay there.
constexpr double outlier_at = 2.5;
constexpr int reweightings = 3;
/// The ridge is at least this part of what the observations weigh: below it the solver's rounding is larger, and a
/// guest of 1 TiB that was idle and is busy now (a page known beside gigabytes) would be of no known doubt at all.
constexpr double ridge_least_part = 1e-13;
/// Page sampling misses silent rewrites, and is of a guest whose writes are not tracked: the part of the error that
/// all samples share is learned from the syncs, the rest is scatter.
constexpr double sample_bias_sd = 0.12;
constexpr double sample_scatter_sd = 0.05;
constexpr double relative_sd_least = 0.01;
constexpr double changed_sd = 0.35;
constexpr std::size_t changed_kept = 12;
/// Nothing is ever known to less than a page.
constexpr double page = 4096;

double tau_at(std::size_t part) {
    const auto i = static_cast<double>(part % taus);
    return tau_first_s * std::pow(tau_last_s / tau_first_s, i / static_cast<double>(taus - 1));
}

/// What each part, at its prior amplitude, has dirtied in so much work.
NnlsVector parts_at(double work_s) {
    NnlsVector out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double tau = tau_at(i);
        const double shape = i < taus ? std::min(work_s / tau, 1.0) : -std::expm1(-work_s / tau);
        out[i] = std::pow(tau, prior_power) / (1 + tau / prior_bend_s) * shape;
    }
    return out;
}

const std::array<NnlsVector, Curve::points>& parts_on_grid() {
    static const auto table = [] {
        std::array<NnlsVector, Curve::points> out{};
        for (std::size_t i = 0; i < out.size(); ++i) out[i] = parts_at(Curve::work_at(i));
        return out;
    }();
    return table;
}

double dot(const NnlsVector& a, const NnlsVector& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

double sum_of(const NnlsVector& a) {
    double sum = 0;
    for (const double value : a) sum += value;
    return sum;
}

}  // namespace

struct CurveFit::Solved {
    double size = 1;  ///< Bytes of one prior amplitude.
    NnlsVector amplitudes{};
    NnlsMatrix h{};
};

struct CurveFit::Weighed {
    NnlsVector parts;
    double bytes;
    double relative_sd;
    double absolute_sd;
    double expected;  ///< By the fit before this one: a variance taken from the outcome would favour low ones.
    double trust = 1;
    bool sampled = false;  ///< Its bias is to be learned.

    /// Of the observation, by the fit; by the outcome alone a low one would count for more.
    [[nodiscard]] double sd() const { return std::hypot(relative_sd * std::max(expected, bytes / 3), absolute_sd); }
};

double CurveBelief::sigma_at(double work_s) const {
    if (work_s <= Curve::first_s) return log_sigma.front();
    for (std::size_t i = 1; i < log_sigma.size(); ++i) {
        const double right = Curve::work_at(i);
        if (work_s > right) continue;
        const double left = Curve::work_at(i - 1);
        return log_sigma[i - 1] + (log_sigma[i] - log_sigma[i - 1]) * (work_s - left) / (right - left);
    }
    return log_sigma.back();
}

void CurveFit::add(const CurveObservation& observation) {
    auto o = observation;
    if (!std::isfinite(o.work_s) || !std::isfinite(o.bytes) || o.work_s <= 0 || o.bytes < 0) return;
    if (!std::isfinite(o.relative_sd) || !std::isfinite(o.absolute_sd)) return;
    o.work_s = std::clamp(o.work_s, Curve::first_s / 10, Curve::last_s * 10);
    o.bytes = std::min(o.bytes, memory_);
    o.relative_sd = std::clamp(o.relative_sd, relative_sd_least, 3.0);
    o.absolute_sd = std::clamp(o.absolute_sd, 0.0, memory_);
    seen_.push_back(o);
    if (seen_.size() <= observations_max) return;
    // The oldest sync goes first: samples and memories are few and the only word on their works.
    const auto is_sync = [](const auto& old) { return old.evidence == CurveEvidence::sync; };
    const auto oldest = std::find_if(seen_.begin(), seen_.end(), is_sync);
    seen_.erase(oldest == seen_.end() ? seen_.begin() : oldest);
}

void CurveFit::change(double factor, std::size_t keep) {
    SEGUE_ASSERT(factor > 0 && std::isfinite(factor));
    const auto old = seen_.size() - std::min(keep, seen_.size());
    // A dozen tell the shape; more would outvote what the guest does now.
    if (old > changed_kept) seen_.erase(seen_.begin(), seen_.begin() + static_cast<std::ptrdiff_t>(old - changed_kept));
    for (std::size_t i = 0; i < std::min(old, changed_kept); ++i) {
        auto& o = seen_[i];
        o.bytes = std::min(o.bytes * factor, memory_);
        o.absolute_sd *= factor;
        o.relative_sd = std::max(o.relative_sd, changed_sd);
        o.evidence = CurveEvidence::remembered;
    }
}

std::vector<CurveFit::Weighed> CurveFit::weighed() const {
    std::vector<Weighed> out;
    const bool synced = std::any_of(seen_.begin(), seen_.end(),
                                    [](const auto& o) { return o.evidence == CurveEvidence::sync; });
    out.reserve(seen_.size() + 1);
    double passes = 0;
    double work_s = 0;
    for (auto it = seen_.rbegin(); it != seen_.rend(); ++it) {
        Weighed o{parts_at(it->work_s), it->bytes, it->relative_sd, std::max(it->absolute_sd, page), it->bytes};
        if (it->evidence == CurveEvidence::sample) {
            o.relative_sd = std::hypot(o.relative_sd, synced ? sample_scatter_sd : sample_bias_sd);
            o.sampled = synced;
        }
        if (it->evidence == CurveEvidence::sync) {
            const double half_lives = std::min(passes / half_life_passes, work_s / half_life_work_s);
            o.trust = std::exp2(-half_lives);
            passes += 1;
            work_s += it->work_s;
        }
        out.push_back(o);
    }
    return out;
}

/// The prior's size: where the observations lie on average, in the logarithm, a zero counting as its doubt.
double CurveFit::size_of(const std::vector<Weighed>& seen) {
    double log_sum = 0;
    double weights = 0;
    for (const auto& o : seen) {
        const double bytes = std::max(o.bytes, o.absolute_sd / 3);
        const double weight = o.trust / (0.01 + std::pow(o.sd() / std::max(bytes, o.sd()), 2));
        log_sum += weight * std::log(bytes / sum_of(o.parts));
        weights += weight;
    }
    return std::exp(log_sum / weights);
}

CurveFit::Solved CurveFit::solve(std::vector<Weighed>& seen) {
    Solved out;
    out.size = size_of(seen);
    const double ridge = 1 / (prior_spread * prior_spread);
    for (int round = 0; round < reweightings; ++round) {
        NnlsVector b{};
        out.h = {};
        for (std::size_t i = 0; i < b.size(); ++i) out.h[i][i] = b[i] = ridge;
        for (const auto& o : seen) {
            const double sd = o.sd() / out.size;
            const double off = std::abs(o.bytes - o.expected) / o.sd();
            const double robust = off > outlier_at ? outlier_at / off : 1.0;
            const double weight = o.trust * robust / (sd * sd);
            for (std::size_t i = 0; i < b.size(); ++i) {
                const double scaled = weight * o.parts[i];
                b[i] += scaled * (o.bytes / out.size);
                for (std::size_t j = 0; j <= i; ++j) out.h[i][j] += scaled * o.parts[j];
            }
        }
        for (std::size_t i = 0; i < b.size(); ++i) {
            const double more = std::max(ridge_least_part * out.h[i][i] - ridge, 0.0);
            out.h[i][i] += more;
            b[i] += more;
            for (std::size_t j = 0; j < i; ++j) out.h[j][i] = out.h[i][j];
        }
        out.amplitudes = solve_nonnegative(out.h, b);
        for (auto& o : seen) o.expected = out.size * dot(out.amplitudes, o.parts);
        take_out_bias(seen);
    }
    return out;
}

void CurveFit::take_out_bias(std::vector<Weighed>& seen) {
    double sum = 0;
    double weights = 1 / (sample_bias_sd * sample_bias_sd);
    for (const auto& o : seen) {
        const double relative_sd = o.sd() / std::max(o.expected, o.sd());
        if (!o.sampled || o.bytes <= 0 || o.expected <= 0) continue;
        sum += (std::log(o.expected / o.bytes)) / (relative_sd * relative_sd);
        weights += 1 / (relative_sd * relative_sd);
    }
    for (auto& o : seen) {
        if (o.sampled) o.bytes *= std::exp(std::clamp(sum / weights, -0.5, 0.5));
    }
}

CurveBelief CurveFit::fit() const {
    auto seen = weighed();
    const bool nothing_seen = seen.empty();
    const double guess = memory_ / 100;
    if (nothing_seen) seen.push_back({parts_at(1), guess, unknown_sigma, page, guess});
    const auto solved = solve(seen);

    CurveBelief out;
    std::array<double, Curve::points> table{};
    const auto& grid = parts_on_grid();
    for (std::size_t i = 0; i < table.size(); ++i) {
        table[i] = std::min(solved.size * dot(solved.amplitudes, grid[i]), memory_);
    }
    out.curve = Curve{table};
    if (nothing_seen) {
        out.log_sigma.fill(unknown_sigma);
        return out;
    }
    const auto lower = cholesky(solved.h);
    constexpr std::size_t stride = 4;
    for (std::size_t i = 0; i < table.size(); i += stride) {
        const auto half = half_solve(lower, grid[i]);
        const double relative = solved.size * std::sqrt(dot(half, half)) / std::max(table[i], 1.0);
        out.log_sigma[i] = std::clamp(sigma_factor * std::log1p(relative), sigma_least, sigma_most);
        for (std::size_t k = 1; k < stride && i > 0; ++k) {
            const double part = static_cast<double>(k) / stride;
            out.log_sigma[i - k] = out.log_sigma[i] + part * (out.log_sigma[i - stride] - out.log_sigma[i]);
        }
    }
    return out;
}

}  // namespace segue
