// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/simd.hpp"
#include "core/target.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// How many axes a sketch has, four bits each. Of the variance of SIFT about the centres of small
/// clusters they hold 81 %.
inline constexpr std::size_t sketch_axes = 48;

/// The directions in which points vary most about the centres of their clusters, and a ruler for
/// each. A point x of the cluster of c is sketched as
///
///     s_a = floor(clamp(y_a + 8, 0, 15)),   y = directions^T (x - c) / steps,
///
/// which stands for x' = c + directions (steps (s - 7.5)). The directions (dims rows of
/// `sketch_axes`) are orthonormal, or zero where there are not so many. A step is 0 where points do
/// not vary: s is 8 there, and x' is c.
struct ResidualAxes {
    std::span<const float> middle;  ///< of the centres: subtracted so that float32 suffices
    MatrixView<const float> directions;
    std::span<const float> steps;
    float unseen = 0;  ///< of the points' variance about the centres, what the axes do not hold
};

/// The arrays behind ResidualAxes.
struct ResidualAxesData {
    std::vector<float> middle, directions, steps;
    float unseen = 0;

    ResidualAxes view() const {
        return {middle, {directions.data(), middle.size(), sketch_axes}, steps, unseen};
    }
};

/// Learns axes from the differences of points and their centres, in float64 and one fixed order.
ResidualAxesData learn_residual_axes(MatrixView<const double> residuals,
                                     std::span<const float> middle);

using Projection = std::array<float, sketch_axes>;

/// directions^T (x - from), in float32, one dimension after the other: the same bits for any N.
template <std::size_t N, class T>
ALWAYS_INLINE Projection project(const ResidualAxes& axes, const T* x, const float* from) {
    Floats<N> sums[sketch_axes / N] = {};
    for (std::size_t d = 0; d < axes.middle.size(); ++d) {
        const auto difference = splat<N>(static_cast<float>(x[d]) - from[d]);
        const float* direction = axes.directions.row(d);
        for (std::size_t v = 0; v < sketch_axes / N; ++v)
            sums[v] += difference * load<N>(direction + v * N);
    }
    Projection y;
    for (std::size_t v = 0; v < sketch_axes / N; ++v) store(&y[v * N], sums[v]);
    return y;
}

/// A sketch, and what does not depend on the query of the distance to the point that it stands for:
///
///     |q - x'|^2 = |q - c|^2 + term - 2 (q - middle)^T (x' - c),
///     term       = |x' - c|^2 + 2 (c - middle)^T (x' - c),
///
/// and at most 2^124, so that an estimate is finite.
struct Sketch {
    std::array<std::uint8_t, sketch_axes> codes;
    float term;
};

/// `residual` is the projection of x - c, `center` that of c - middle.
Sketch sketch(const ResidualAxes& axes, const Projection& residual, const Projection& center);

/// A query as sketches are compared with it: up to what is the same for all points,
///
///     2 (q - middle)^T (x' - c) = scale * sum_a weights_a s_a.
struct SketchedQuery {
    std::array<std::int8_t, sketch_axes> weights{};
    float scale = 0;
    bool is_blind = false;  ///< products are beyond float32, and all weights 0
};

/// `query` is the projection of q - middle.
SketchedQuery sketch_query(const ResidualAxes& axes, Projection query);

}  // namespace trouvaille
