// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/topk.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// The most bytes of a packed code: what fits the columns of any matrix of bytes
/// (neighbors/exact.hpp); its largest distance is 2^18 bits.
inline constexpr std::size_t max_code_bytes = 32'768;

/// A point and the number of bits in which it differs from a query.
using HammingNeighbor = Ranked<std::int32_t, std::uint32_t>;

/// The exact nearest neighbours, by the number of bits that differ, of each row of `queries` among
/// the rows of `points`: packed bits, in any order that both share.
///
/// Row i of `distances` and `ids` holds the ids.cols nearest of query i, nearest first, the smaller
/// row number first among equals; then the greatest int32 and id -1. `alive` has a bit for each
/// point, least significant first; where it is 0 the point is not found. Empty: all are.
///
/// How: points are packed a slice at a time into panels of 32 rows side by side, one word of 32
/// bits each; the words that differ are counted where they stand (VPOPCNTD, or the table of
/// nibbles of Mula, Kurz and Lemire, "Faster population counts using AVX2 instructions", 2018),
/// so that one comparison with the query's threshold dismisses 16 rows. A panel stays in registers
/// or the first-level cache while tens of queries pass. A few queries read the rows where they lie
/// instead, at the speed of memory (neighbors/hamming_few.hpp). The k best are selected by
/// counting: distances are few (neighbors/hamming_best.hpp).
///
/// The same bits on every instruction set, and for any number of threads. Requires queries.cols ==
/// points.cols <= max_code_bytes, points.rows < 2^32, outputs of queries.rows rows and equal
/// shapes, alive of ceil(n / 64) words or none. Scratch memory is at most 68 MiB, or what one
/// query needs: 24 bytes for each of k places. Parallel over queries; where they are few, over
/// points: each thread then has such memory of its own. Safe to call from many threads; throws
/// Interrupted (core/interrupt.hpp).
void hamming_neighbors(MatrixView<const std::uint8_t> points,
                       MatrixView<const std::uint8_t> queries, std::span<const std::uint64_t> alive,
                       MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                       int threads);

/// All points at most `radius` bits away: found[i] holds those of query i, nearest first, the
/// smaller row number first among equals. Requires found of a place for each query.
void hamming_neighbors_within(MatrixView<const std::uint8_t> points,
                              MatrixView<const std::uint8_t> queries, std::int32_t radius,
                              std::span<const std::uint64_t> alive,
                              std::span<std::vector<HammingNeighbor>> found, int threads);

}  // namespace trouvaille
