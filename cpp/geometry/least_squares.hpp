// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

namespace trouvaille {

/// Normal equations of N unknowns: the lower triangle of a symmetric matrix, and a right side.
template <std::size_t N>
struct NormalEquations {
    std::array<std::array<double, N>, N> a{};
    std::array<double, N> b{};
};

/// Solves them in place by L D L^T, and leaves the solution in b, D on the diagonal of a, and L
/// below it. False where the matrix is not positive definite to `tolerance` of its diagonal.
template <std::size_t N>
bool solve(NormalEquations<N>& e, double tolerance = 1e-13) {
    for (std::size_t j = 0; j < N; ++j) {
        const double before = e.a[j][j];
        for (std::size_t k = 0; k < j; ++k) e.a[j][j] -= e.a[j][k] * e.a[j][k] * e.a[k][k];
        if (!(e.a[j][j] > tolerance * before)) return false;
        for (std::size_t i = j + 1; i < N; ++i) {
            for (std::size_t k = 0; k < j; ++k) e.a[i][j] -= e.a[i][k] * e.a[j][k] * e.a[k][k];
            e.a[i][j] /= e.a[j][j];
        }
    }
    for (std::size_t i = 0; i < N; ++i)
        for (std::size_t k = 0; k < i; ++k) e.b[i] -= e.a[i][k] * e.b[k];
    for (std::size_t i = 0; i < N; ++i) e.b[i] /= e.a[i][i];
    for (std::size_t i = N; i-- > 0;)
        for (std::size_t k = i + 1; k < N; ++k) e.b[i] -= e.a[k][i] * e.b[k];
    return true;
}

}  // namespace trouvaille
