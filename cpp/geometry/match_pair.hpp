// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/view.hpp"
#include "geometry/match.hpp"

namespace trouvaille {

struct PairOptions {
    double max_ratio = 0.8;  ///< of the distance to the nearest and to the second nearest
    bool squared = true;     ///< the ratio is of distances, and these are their squares
    bool mutual = true;      ///< keep a match only if the query is its row's nearest, too
    double max_distance = std::numeric_limits<double>::infinity();  ///< as in `distances`
};

/// Matches of two photos, in ascending order of the query.
template <class Distance>
struct PairMatches {
    std::vector<MatchPair> pairs;
    std::vector<Distance> distances;  ///< squared L2
    std::vector<float> ratios;
};

/// Matches each of the queries with its nearest row of the database (exact_neighbors, ties to the
/// smaller number), if the ratio of its distance to that of the second nearest is at most max_ratio
/// (Lowe's test), the distance at most max_distance and, with `mutual`, the query the nearest of
/// that row (the smaller number among equals).
///
/// Ratios are decided in float64: sqrt(nearest / second) if `squared`, else nearest / second; 1
/// where both distances are equal, 0 and 0 included; 0 where there is no second row.
///
/// Requires equal dimensions (for bytes at most max_byte_dims of neighbors/exact.hpp) and finite
/// floats; throws std::length_error for 2^31 features or more. The same bits for every instruction
/// set and number of threads. Memory: 24 bytes a query and 12 a row. Throws Interrupted
/// (core/interrupt.hpp).
///
/// Lowe. Distinctive image features from scale-invariant keypoints. IJCV 2004.
PairMatches<std::int32_t> match_pair(MatrixView<const std::uint8_t> queries,
                                     MatrixView<const std::uint8_t> database,
                                     const PairOptions& options, int threads);
PairMatches<float> match_pair(MatrixView<const float> queries, MatrixView<const float> database,
                              const PairOptions& options, int threads);

}  // namespace trouvaille
