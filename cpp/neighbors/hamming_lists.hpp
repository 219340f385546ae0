// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// Points in lists: those of list i are points[starts[i]] to points[starts[i + 1] - 1].
struct PointLists {
    std::span<const std::int64_t> starts;
    std::span<const std::uint32_t> points;
};

/// The nearest neighbours of each query, by the number of bits that differ, among the points of
/// some lists: query i has lists.cols of them, by number in row i of `lists`.
///
/// Row i of `queries` is the code of query i, or one for each of its lists, side by side. Row i of
/// `distances` and `ids` holds the ids.cols nearest, nearest first, the smaller number first among
/// equals; then the greatest int32 and id -1.
///
/// The same bits on every instruction set, and for any number of threads. Requires queries.cols ==
/// points.cols, or lists.cols times that; points.cols <= max_code_bytes
/// (neighbors/hamming_scan.hpp); no point twice in the lists of a query; outputs of queries.rows
/// rows and equal shapes. Takes 8 bytes for each of min(ids.cols, points.rows) places a thread.
/// Safe to call from many threads; throws Interrupted (core/interrupt.hpp).
void hamming_neighbors_in_lists(MatrixView<const std::uint8_t> points, const PointLists& of_points,
                                MatrixView<const std::uint8_t> queries,
                                MatrixView<const std::int64_t> lists,
                                MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                                int threads);

}  // namespace trouvaille
