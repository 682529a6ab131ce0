#pragma once
/// \file  Least squares with coefficients that cannot be negative: minimise a'Ha/2 - b'a over a >= 0.
///
/// By block principal pivoting: every coefficient that is on the wrong side changes sides at once; should that
/// stop helping, one at a time, the last one first, which always ends. H is small and, thanks to the ridge that
/// its maker adds, strictly positive definite. Pure, deterministic. Cost: about 20 us a pivot at 48 unknowns.

#include <array>
#include <cstddef>

namespace segue {

inline constexpr std::size_t nnls_unknowns = 48;
using NnlsVector = std::array<double, nnls_unknowns>;
using NnlsMatrix = std::array<NnlsVector, nnls_unknowns>;  ///< Symmetric; rows.

/// \pre `h` is symmetric and positive definite, everything is finite.
[[nodiscard]] NnlsVector solve_nonnegative(const NnlsMatrix& h, const NnlsVector& b);

/// H = LL', for variances: x'H^-1x is the squared length of `half_solve(L, x)`.
[[nodiscard]] NnlsMatrix cholesky(const NnlsMatrix& h);
[[nodiscard]] NnlsVector half_solve(const NnlsMatrix& lower, const NnlsVector& x);

}  // namespace segue
