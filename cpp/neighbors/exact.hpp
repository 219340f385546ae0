// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"
#include "neighbors/metric.hpp"

namespace trouvaille {

/// The most dimensions of a row of bytes: up to here every intermediate of `exact_neighbors` fits
/// 32 bits. The largest is 255 * 128 (a product) + 255^2 / 2 (half a norm) = 65,153 a dimension.
inline constexpr std::size_t max_byte_dims = 32'768;

/// The exact nearest neighbours of each row of `queries` among the rows of `points`.
///
/// Row i of `distances` and `ids` holds the k = ids.cols nearest of query i, nearest first, the
/// smaller row number first among equals. `distances` are squared Euclidean ones, sums of absolute
/// differences, or inner products, of which the largest is the nearest (neighbors/metric.hpp).
/// Places beyond points.rows hold id -1 and the largest distance (the greatest int32, or infinity),
/// of inner products the smallest.
///
/// Between bytes they are exact integers. Of floats they are float32 sums in one fixed order
/// (neighbors/float_keys.hpp), with a relative error of at most (dims / 16 + 8) * 2^-24 (of inner
/// products relative to |q| |w|), so that equal rows are at 0 exactly; the neighbours are those
/// that sorting all these sums would give. Both are the same bits on every instruction set, for any
/// number of threads, and for points in float16 as for the same in float32.
///
/// How: the squared distance is |q|^2 - 2 (q.w - |w|^2 / 2), and the bracket, the score, is one
/// chain of multiply-adds that starts at -|w|^2 / 2 (at 0 for inner products; for absolute
/// differences the score is their sum less than 0). The points are packed a slice at a time into
/// panels of a few rows side by side; a register tile of queries times a panel gives scores, and
/// one comparison with each query's threshold dismisses nearly all panels. What passes is looked at
/// row by row. A threshold is the score of the k-th best so far, lowered to be safe: for bytes by
/// the parity of |w|^2, for floats by a bound of the score's rounding. A few queries by themselves
/// are compared with one row after the other as it lies: packing would cost more than it saves.
///
/// Requires queries.cols == points.cols, outputs of queries.rows rows and equal shapes, points.rows
/// < 2^32, finite floats (for inner products such that their sums are finite too), and for bytes
/// queries.cols <= max_byte_dims. Scratch memory is a few MiB (for rows of more than 1,000
/// floats 4 KiB for each number of a row) and 8 bytes for each of k * min(queries.rows, 12,288)
/// places. Parallel over queries, or over points for a few queries. Safe
/// to call from many threads; throws Interrupted (core/interrupt.hpp).
void exact_neighbors(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                     MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric = Metric::l2);
void exact_neighbors(MatrixView<const float> queries, MatrixView<const float> points,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric = Metric::l2);
void exact_neighbors(MatrixView<const float> queries, MatrixView<const Half> points,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric = Metric::l2);

/// Query i has places offsets[i] to offsets[i + 1] of the others.
template <class Distance>
struct NeighborsWithin {
    std::vector<std::int64_t> offsets{0};
    std::vector<Distance> distances;
    std::vector<std::int64_t> ids;
};

/// All rows within `radius` of each query, in the order of `exact_neighbors`: those whose distance
/// is at most `radius`, or whose inner product is at least that. One pass over the points, and
/// memory for what is found. Requires that `radius` is not NaN.
NeighborsWithin<std::int32_t> exact_neighbors_within(MatrixView<const std::uint8_t> queries,
                                                     MatrixView<const std::uint8_t> points,
                                                     double radius, int threads,
                                                     Metric metric = Metric::l2);
NeighborsWithin<float> exact_neighbors_within(MatrixView<const float> queries,
                                              MatrixView<const float> points, double radius,
                                              int threads, Metric metric = Metric::l2);
NeighborsWithin<float> exact_neighbors_within(MatrixView<const float> queries,
                                              MatrixView<const Half> points, double radius,
                                              int threads, Metric metric = Metric::l2);

/// The same search by squared Euclidean distance, and from the same scores the nearest query of
/// each row of the database, the smaller number first among equals: place j of `reverse_distances`
/// and `reverse_ids`, which hold the largest distance and -1 where there is no query. One direction
/// more for a few per cent.
///
/// Requires ids.cols >= 1 besides, and database.rows places. Scratch memory is larger by 8 bytes
/// for each of the rows that fit 1 MiB, for each thread.
void exact_neighbors_both_ways(MatrixView<const std::uint8_t> queries,
                               MatrixView<const std::uint8_t> database,
                               MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                               std::span<std::int32_t> reverse_distances,
                               std::span<std::int64_t> reverse_ids, int threads);

}  // namespace trouvaille
