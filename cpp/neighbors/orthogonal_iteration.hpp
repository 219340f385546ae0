// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/interrupt.hpp"
#include "core/random.hpp"
#include "core/target.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// As many directions as there are columns, a row for each dimension.
template <std::size_t Count>
using Directions = std::vector<std::array<double, Count>>;

namespace orthogonal {

template <std::size_t Count>
ALWAYS_INLINE void add_scaled(std::array<double, Count>& sum, double factor,
                              const std::array<double, Count>& axis) {
    for (std::size_t a = 0; a < Count; ++a) sum[a] += factor * axis[a];
}

/// sample^T (sample axes).
template <std::size_t Count>
Directions<Count> multiply_by_scatter(MatrixView<const double> sample,
                                      const Directions<Count>& axes) {
    Directions<Count> product(axes.size());
    InterruptPoll poll;
    for (std::size_t i = 0; i < sample.rows; ++i) {
        const double* x = sample.row(i);
        std::array<double, Count> y{};
        for (std::size_t d = 0; d < sample.cols; ++d) add_scaled(y, x[d], axes[d]);
        for (std::size_t d = 0; d < sample.cols; ++d) add_scaled(product[d], x[d], y);
        poll.did(sample.cols);
    }
    return product;
}

template <std::size_t Count>
double dot(const Directions<Count>& axes, std::size_t a, std::size_t b) {
    double sum = 0;
    for (const auto& row : axes) sum += row[a] * row[b];
    return sum;
}

/// Gram and Schmidt's, each column twice; what is then nearly nothing becomes zero.
template <std::size_t Count>
void orthonormalize(Directions<Count>& axes) {
    for (std::size_t a = 0; a < Count; ++a) {
        const double before = dot(axes, a, a);
        for (int time = 0; time < 2; ++time)
            for (std::size_t b = 0; b < a; ++b) {
                const double along = dot(axes, a, b);
                for (auto& row : axes) row[a] -= along * row[b];
            }
        const double norm = dot(axes, a, a);
        const double scale = norm > 1e-20 * before ? 1 / std::sqrt(norm) : 0;
        for (auto& row : axes) row[a] *= std::isfinite(scale) ? scale : 0;
    }
}

}  // namespace orthogonal

/// The directions of greatest variance of a sample whose mean is zero, the greatest first:
/// orthonormal, or zero where there are not so many. By orthogonal iteration (Golub and Van Loan,
/// Matrix Computations, 8.2), in one fixed order. Throws Interrupted.
template <std::size_t Count>
Directions<Count> principal_directions(MatrixView<const double> sample) {
    constexpr std::size_t iterations = 10;
    Directions<Count> axes(sample.cols);
    for (std::size_t d = 0; d < axes.size(); ++d) {
        Random random(0, d);
        for (double& value : axes[d]) value = random.uniform() - 0.5;
    }
    for (std::size_t i = 0; i < iterations; ++i) {
        axes = orthogonal::multiply_by_scatter(sample, axes);
        orthogonal::orthonormalize(axes);
    }
    return axes;
}

}  // namespace trouvaille
