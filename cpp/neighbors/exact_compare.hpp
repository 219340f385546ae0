// SPDX-License-Identifier: Apache-2.0
#pragma once

// The two ways to compare all queries with all points, each compiled for each metric, type of
// points and Found (exact_found.hpp) in a file of its own. All give the same bits. Private to
// neighbors/.

#include <cstddef>
#include <cstdint>

#include "core/view.hpp"
#include "neighbors/exact_found.hpp"
#include "neighbors/metric.hpp"
#include "neighbors/reverse.hpp"

namespace trouvaille::exact {

// By panels of points and groups of queries: parallel over the queries, for many. Offers every
// point to found[i] of every query i.

template <Metric metric, class Found>
void compare_panels(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                    Found* found, int threads);
template <Metric metric, class Found>
void compare_panels(MatrixView<const float> queries, MatrixView<const float> points, Found* found,
                    int threads);
template <Metric metric, class Found>
void compare_panels(MatrixView<const float> queries, MatrixView<const Half> points, Found* found,
                    int threads);

/// By squared Euclidean distance, and every query offered to every point: their numbers count from
/// `first_query`.
void compare_panels_both_ways(MatrixView<const std::uint8_t> queries,
                              MatrixView<const std::uint8_t> points, Best<std::int32_t>* found,
                              NearestQueries& reverse, std::size_t first_query, int threads);

// Row by row, for a few queries, while the points stream past at the speed of memory: keys[q * n +
// j] of query q and row j of n. Not parallel: for a slice of the points.

template <Metric metric>
void compare_rows(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                  std::int32_t* keys);
template <Metric metric>
void compare_rows(MatrixView<const float> queries, MatrixView<const float> points, float* keys);
template <Metric metric>
void compare_rows(MatrixView<const float> queries, MatrixView<const Half> points, float* keys);

}  // namespace trouvaille::exact
