// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// The most dimensions of a row of bytes: up to here every intermediate of `exact_neighbors` fits
/// 32 bits. The largest is 255 * 128 (a product) + 255^2 / 2 (half a norm) = 65,153 a dimension.
inline constexpr std::size_t max_byte_dims = 32'768;

/// The exact nearest neighbours, by squared Euclidean distance, of each row of `queries` among the
/// rows of `database`.
///
/// Row i of `distances` and `ids` holds the k = ids.cols nearest of query i, nearest first, the
/// smaller row number first among equals. Places beyond database.rows hold id -1 and the largest
/// distance (the greatest int32, or infinity).
///
/// Distances between bytes are exact integers. Distances between floats are float32 sums of
/// (q - w)^2 in one fixed order, relative error at most (dims / 16 + 8) * 2^-24, so that equal rows
/// are at 0 exactly; the neighbours are those that sorting all these sums would give. Both are the
/// same bits on every instruction set, and for any number of threads.
///
/// How: the distance is |q|^2 - 2 (q.w - |w|^2 / 2), and the bracket, the score, is one chain of
/// multiply-adds that starts at -|w|^2 / 2. The database is packed a slice at a time into panels
/// of a few rows side by side; a register tile of queries times a panel gives scores, and one
/// comparison with each query's threshold dismisses nearly all panels. What passes is looked at
/// row by row. A threshold is the score of the k-th best so far, lowered to be safe: for bytes by
/// the parity of |w|^2, for floats by a bound of the score's rounding.
///
/// Requires queries.cols == database.cols, outputs of queries.rows rows and equal shapes,
/// database.rows < 2^32, finite floats, and for bytes queries.cols <= max_byte_dims. Scratch memory
/// is a few MiB and 8 bytes for each of k * min(queries.rows, 12,288) places. Parallel over
/// queries. Safe to call from many threads; throws Interrupted (core/interrupt.hpp).
void exact_neighbors(MatrixView<const std::uint8_t> queries,
                     MatrixView<const std::uint8_t> database, MatrixView<std::int32_t> distances,
                     MatrixView<std::int64_t> ids, int threads);
void exact_neighbors(MatrixView<const float> queries, MatrixView<const float> database,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads);

/// The same search, and from the same scores the nearest query of each row of the database, the
/// smaller number first among equals: place j of `reverse_distances` and `reverse_ids`, which hold
/// the largest distance and -1 where there is no query. One direction more for a few per cent.
///
/// Requires ids.cols >= 1 besides, and database.rows places. Scratch memory is larger by 8 bytes
/// for each of the rows that fit 1 MiB, for each thread.
void exact_neighbors_both_ways(MatrixView<const std::uint8_t> queries,
                               MatrixView<const std::uint8_t> database,
                               MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                               std::span<std::int32_t> reverse_distances,
                               std::span<std::int64_t> reverse_ids, int threads);

}  // namespace trouvaille
