// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// The update step of Lloyd's algorithm: each centre becomes the mean of its points.
///
/// `labels` holds each point's cluster and `distances` its squared distance from that centre, as
/// exact_neighbors gives them with k = 1. `centers` holds the centres that they refer to, and
/// receives the new ones. Byte means are exact, rounded to the nearest, halves up; float means are
/// sums in double precision in the order of the points, rounded once. Parallel over clusters; the
/// same bits for any number of threads and any instruction set.
///
/// A cluster without points is repaired: in the order of their numbers, each takes the point that
/// is farthest from its centre (the smallest number among equals) as its only member, out of that
/// point's own cluster. Points at distance 0, last members of their cluster and copies of a point
/// already taken are passed over; when none is left, the remaining empty clusters keep their
/// centres. A repair never adds to the sum of distances. Returns the number of clusters repaired.
///
/// Requires equal numbers of points, labels and distances, every label below centers.rows, and
/// centers.cols == points.cols. Takes up to 24 bytes a point of scratch memory. Safe to call from
/// many threads; throws Interrupted (core/interrupt.hpp).
///
/// Lloyd. Least squares quantization in PCM. IEEE Transactions on Information Theory 28(2), 1982.
std::size_t update_centers(MatrixView<const std::uint8_t> points,
                           std::span<const std::int64_t> labels,
                           std::span<const std::int32_t> distances,
                           MatrixView<std::uint8_t> centers, int threads);
std::size_t update_centers(MatrixView<const float> points, std::span<const std::int64_t> labels,
                           std::span<const float> distances, MatrixView<float> centers,
                           int threads);

}  // namespace trouvaille
