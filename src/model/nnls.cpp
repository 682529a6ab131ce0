#include "model/nnls.hpp"

#include <algorithm>
#include <cmath>

namespace segue {
namespace {

constexpr std::size_t n = nnls_unknowns;
/// Pivots without progress before one at a time, and in all: more were never needed in 10^5 random fits; what is
/// then still wrong by rounding is set to zero.
constexpr int patience_max = 5;
constexpr int pivots_max = 120;

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

}  // namespace

NnlsVector solve_nonnegative(const NnlsMatrix& h, const NnlsVector& b) {
    std::array<bool, n> in{};
    in.fill(true);
    NnlsVector a{};
    std::size_t fewest_wrong = n + 1;
    int patience = patience_max;
    for (int pivot = 0; pivot < pivots_max; ++pivot) {
        Chosen chosen;
        for (std::size_t i = 0; i < n; ++i) {
            if (in[i]) chosen.at[chosen.count++] = i;
        }
        a = solve_over(h, b, chosen);
        Chosen wrong;
        for (std::size_t i = 0; i < n; ++i) {
            double pull = b[i];
            for (std::size_t k = 0; k < chosen.count; ++k) pull -= h[i][chosen.at[k]] * a[chosen.at[k]];
            if (in[i] ? a[i] < 0 : pull > 1e-10 * (1 + std::abs(b[i]))) wrong.at[wrong.count++] = i;
        }
        if (wrong.count == 0) break;
        const bool helped = wrong.count < fewest_wrong;
        if (helped) {
            fewest_wrong = wrong.count;
            patience = patience_max;
        }
        if (helped || patience-- > 0) {
            for (std::size_t k = 0; k < wrong.count; ++k) in[wrong.at[k]] = !in[wrong.at[k]];
        } else {
            const auto last = wrong.at[wrong.count - 1];
            in[last] = !in[last];
        }
    }
    for (auto& value : a) value = std::max(value, 0.0);
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
