// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"
#include "neighbors/hamming_scan.hpp"

namespace trouvaille {

/// Multi-index hashing. Norouzi, Punjani, Fleet. Fast search in Hamming space with multi-index
/// hashing. CVPR 2012.
///
/// Codes are cut into m substrings, and there is a table of the points for each, by its value. Two
/// codes that differ in at most m * a + t bits differ in at most a bits of one of the first t + 1
/// substrings, or in fewer than a of another. So tables are probed at growing radii, and once
/// radius a of table t is done, all points within m * a + t are known. A point is met once for
/// each substring that is near enough; from its code it follows which was the first.
struct MultiIndex {
    /// Packed bits. Substring t is the bits from 8 * cols * t / m on, least significant first.
    MatrixView<const std::uint8_t> points;
    /// A row of numbers of points for each table.
    MatrixView<const std::uint32_t> rows;
    /// The points once more for each table, in its order: lists are of uneven length, the long ones
    /// are met often, and in sequence they are read many times as fast.
    MatrixView<const std::uint8_t> codes;
    /// For each table 2^length + 1 places: where in its row of `rows` those of each value begin.
    std::span<const std::uint32_t> directories;
};

/// The longest substring: a directory of 128 MiB.
inline constexpr std::size_t max_substring_bits = 25;

/// About what the paper advises: the fewest substrings of at most log2(points) bits.
std::size_t advised_tables(std::size_t bits, std::size_t points);

/// Places of all directories.
std::size_t directory_places(std::size_t bits, std::size_t tables);

/// Writes the tables of `points`. Requires bits / max_substring_bits <= tables = rows.rows <= bits
/// of a code, points.rows < 2^32, `codes` of tables * points.rows rows, and as many
/// directory_places that are 0. Parallel over tables; the same for any number of threads. Throws
/// Interrupted (core/interrupt.hpp).
void build_multi_index(MatrixView<const std::uint8_t> points, MatrixView<std::uint32_t> rows,
                       MatrixView<std::uint8_t> codes, std::span<std::uint32_t> directories,
                       int threads);

/// Throws std::invalid_argument, saying what, unless searching `index` stays inside its arrays.
void check_multi_index(const MultiIndex& index);

/// What `hamming_neighbors` gives of the points, bit for bit. A query whose search in the tables
/// costs more than a scan is answered by one, together with all such.
///
/// Requires an index that passes its check, and of the others what hamming_neighbors does. Parallel
/// over queries. Safe to call from many threads; throws Interrupted.
void search_multi_index(const MultiIndex& index, MatrixView<const std::uint8_t> queries,
                        std::span<const std::uint64_t> alive, MatrixView<std::int32_t> distances,
                        MatrixView<std::int64_t> ids, int threads);

/// What `hamming_neighbors_within` gives.
void search_multi_index_within(const MultiIndex& index, MatrixView<const std::uint8_t> queries,
                               std::int32_t radius, std::span<const std::uint64_t> alive,
                               std::span<std::vector<HammingNeighbor>> found, int threads);

}  // namespace trouvaille
