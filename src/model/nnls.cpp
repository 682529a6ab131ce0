#include "model/nnls.hpp"

#include <algorithm>
#include <cmath>

namespace segue {
namespace {

constexpr std::size_t n = nnls_unknowns;
/// No fit of the tests needed more than 47. Every step is a better answer than the one before, so that
/// stopping here would do no harm.
constexpr int steps_max = 300;
/// A pull weaker than this part of the strongest is rounding.
constexpr double pull_least = 1e-10;

struct Chosen {
    std::array<std::size_t, n> at{};
    std::size_t count = 0;
};

/// The unconstrained solution over the chosen unknowns, zero elsewhere.
NnlsVector solve_over(const NnlsMatrix& h, const NnlsVector& b, const Chosen& chosen) {
    NnlsMatrix lower;
    NnlsVector y;
    for (std::size_t i = 0; i < chosen.count; ++i) {
        const auto& row = h[chosen.at[i]];
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = row[chosen.at[j]];
            for (std::size_t k = 0; k < j; ++k) sum -= lower[i][k] * lower[j][k];
            lower[i][j] = i == j ? std::sqrt(std::max(sum, 1e-300)) : sum / lower[j][j];
        }
        double sum = b[chosen.at[i]];
        for (std::size_t k = 0; k < i; ++k) sum -= lower[i][k] * y[k];
        y[i] = sum / lower[i][i];
    }
    NnlsVector out{};
    for (std::size_t i = chosen.count; i-- > 0;) {
        double sum = y[i];
        for (std::size_t k = i + 1; k < chosen.count; ++k) sum -= lower[k][i] * out[chosen.at[k]];
        out[chosen.at[i]] = sum / lower[i][i];
    }
    return out;
}

Chosen chosen_of(const std::array<bool, n>& in) {
    Chosen out;
    for (std::size_t i = 0; i < n; ++i) {
        if (in[i]) out.at[out.count++] = i;
    }
    return out;
}

/// Of those that are out, the one that would help most; n if none would.
std::size_t most_wanted(const NnlsMatrix& h, const NnlsVector& b, const NnlsVector& a, const std::array<bool, n>& in,
                        double least) {
    std::size_t out = n;
    double most = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (in[i]) continue;
        double pull = b[i];
        for (std::size_t k = 0; k < n; ++k) pull -= h[i][k] * a[k];
        // By what the answer gains, not by the slope: the unknowns have very different sizes.
        const double gain = pull / std::sqrt(h[i][i]);
        if (pull <= least || gain <= most) continue;
        out = i;
        most = gain;
    }
    return out;
}

}  // namespace

NnlsVector solve_nonnegative(const NnlsMatrix& h, const NnlsVector& b) {
    std::array<bool, n> in{};
    in.fill(true);
    NnlsVector a = solve_over(h, b, chosen_of(in));
    // Of one or two observations that is already the answer, and 47 steps would lead to it.
    if (*std::min_element(a.begin(), a.end()) >= 0) return a;
    a.fill(0);
    in.fill(false);
    double strongest_b = 0;
    for (const double value : b) strongest_b = std::max(strongest_b, std::abs(value));
    for (int step = 0; step < steps_max; ++step) {
        const auto wanted = most_wanted(h, b, a, in, pull_least * strongest_b);
        if (wanted == n) break;
        in[wanted] = true;
        // Towards the best over those that are in, until one of them meets zero: that one goes out.
        for (std::size_t tries = 0; tries < n; ++tries) {
            const auto best = solve_over(h, b, chosen_of(in));
            double part = 1;
            for (std::size_t i = 0; i < n; ++i) {
                if (in[i] && best[i] <= 0) part = std::min(part, a[i] / (a[i] - best[i]));
            }
            double rounding = 0;
            for (const double value : best) rounding = std::max(rounding, 1e-13 * std::abs(value));
            bool left = false;
            for (std::size_t i = 0; i < n; ++i) {
                if (!in[i]) continue;
                a[i] += part * (best[i] - a[i]);
                if (best[i] > 0 || a[i] > rounding) continue;
                in[i] = false;
                a[i] = 0;
                left = true;
            }
            if (!left) break;
        }
    }
    return a;
}

NnlsMatrix cholesky(const NnlsMatrix& h) {
    NnlsMatrix lower{};
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = h[i][j];
            for (std::size_t k = 0; k < j; ++k) sum -= lower[i][k] * lower[j][k];
            lower[i][j] = i == j ? std::sqrt(std::max(sum, 1e-300)) : sum / lower[j][j];
        }
    }
    return lower;
}

NnlsVector half_solve(const NnlsMatrix& lower, const NnlsVector& x) {
    NnlsVector y{};
    for (std::size_t i = 0; i < n; ++i) {
        double sum = x[i];
        for (std::size_t k = 0; k < i; ++k) sum -= lower[i][k] * y[k];
        y[i] = sum / lower[i][i];
    }
    return y;
}

}  // namespace segue
