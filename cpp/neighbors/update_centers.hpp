// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "core/view.hpp"
#include "neighbors/row_distances.hpp"

namespace trouvaille {

/// What numbers are summed in: exact for bytes, of floats double precision.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, float>, double, std::uint64_t>;

/// Adds each point to the sum of its cluster, and to its count; clusters are parallel.
///
/// Floats are added in the order of the points, so that the result is the same bits for any number
/// of threads, any instruction set, and points given in one call or in several. Requires equal
/// numbers of points and labels, of sums and counts, and labels below counts.size(). Takes 16 bytes
/// of scratch memory for each of up to a million points. Throws Interrupted (core/interrupt.hpp).
template <class T>
void add_to_sums(MatrixView<const T> points, std::span<const std::int64_t> labels,
                 MatrixView<Sum<T>> sums, std::span<std::int64_t> counts, int threads);

/// The means: those of bytes, as bytes, rounded to the nearest, halves up; as floats rounded once.
/// A cluster without points keeps its centre.
template <class S, class Center>
void write_means(MatrixView<const S> sums, std::span<const std::int64_t> counts,
                 MatrixView<Center> centers, int threads);

/// Gives each empty cluster a point: in the order of their numbers, each takes the point that is
/// farthest from its centre (the smallest number among equals) as its only member, out of that
/// point's own cluster. Points at distance 0, last members of their cluster and copies of a point
/// already taken are passed over; when none is left, the remaining clusters stay empty. Changes
/// labels alone; returns how many clusters got a point. It never adds to the sum of distances.
///
/// The points are rows of `parts`, one behind the other, or with `roots` what root_shares
/// (hellinger.hpp) makes of them. `distances` are their squared distances from the centres that
/// `labels` name.
template <class T>
std::size_t repair_empty(std::span<const MatrixView<const T>> parts, bool roots,
                         std::span<const Distance<T>> distances, std::size_t clusters,
                         std::span<std::int64_t> labels);

/// The update step of Lloyd's algorithm: empty clusters are repaired, then each centre becomes the
/// mean of its points. `centers` holds the centres that the labels refer to, and receives the new
/// ones.
///
/// Takes the sums' memory (8 bytes a number of the centres). Requires equal numbers of points,
/// labels and distances, every label below centers.rows, and equal columns.
///
/// Returns how many clusters were repaired.
///
/// Lloyd. Least squares quantization in PCM. IEEE Transactions on Information Theory 28(2), 1982.
template <class T>
std::size_t update_centers(MatrixView<const T> points, std::span<std::int64_t> labels,
                           std::span<const Distance<T>> distances, MatrixView<T> centers,
                           int threads);

}  // namespace trouvaille
