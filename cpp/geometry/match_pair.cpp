// SPDX-License-Identifier: Apache-2.0
#include "geometry/match_pair.hpp"

#include <cassert>
#include <cmath>
#include <cstddef>

#include "core/interrupt.hpp"
#include "core/size.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille {
namespace {

// Two nearest rows of each query and, if they were asked for, the nearest query of each row.
template <class Distance>
struct Nearest {
    std::vector<Distance> distances;
    std::vector<std::int64_t> ids, reverse_ids;

    MatrixView<Distance> distance_rows() { return {distances.data(), distances.size() / 2, 2}; }
    MatrixView<std::int64_t> id_rows() { return {ids.data(), ids.size() / 2, 2}; }
};

void search(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> database,
            bool mutual, Nearest<std::int32_t>& nearest, int threads) {
    const auto distances = nearest.distance_rows();
    const auto ids = nearest.id_rows();
    if (!mutual) return exact_neighbors(queries, database, distances, ids, threads);
    std::vector<std::int32_t> reverse_distances(database.rows);
    exact_neighbors_both_ways(queries, database, distances, ids, reverse_distances,
                              nearest.reverse_ids, threads);
}

// Scores of floats only sift: their distances are computed one by one, so there is nothing that two
// directions could share.
void search(MatrixView<const float> queries, MatrixView<const float> database, bool mutual,
            Nearest<float>& nearest, int threads) {
    exact_neighbors(queries, database, nearest.distance_rows(), nearest.id_rows(), threads);
    if (!mutual) return;
    std::vector<float> reverse_distances(database.rows);
    exact_neighbors(database, queries, {reverse_distances.data(), database.rows, 1},
                    {nearest.reverse_ids.data(), database.rows, 1}, threads);
}

template <class Distance>
double ratio_of(Distance nearest, Distance second, bool squared) {
    if (nearest == second) return 1;  // 0 / 0, too
    const double ratio = static_cast<double>(nearest) / static_cast<double>(second);
    return squared ? std::sqrt(ratio) : ratio;
}

template <class T, class Distance>
PairMatches<Distance> match(MatrixView<const T> queries, MatrixView<const T> database,
                            const PairOptions& options, int threads) {
    assert(queries.cols == database.cols);
    const std::size_t n = queries.rows;
    static_cast<void>(checked_cast<std::int32_t>(n, "the number of queries"));
    static_cast<void>(checked_cast<std::int32_t>(database.rows, "the number of rows"));
    Nearest<Distance> nearest;
    nearest.distances.resize(2 * n);
    nearest.ids.resize(2 * n);
    if (options.mutual) nearest.reverse_ids.resize(database.rows);
    search(queries, database, options.mutual, nearest, threads);

    PairMatches<Distance> matches;
    InterruptPoll poll;
    for (std::size_t q = 0; q < n; ++q) {
        poll.did(1);
        const Distance* distances = &nearest.distances[2 * q];
        const std::int64_t row = nearest.ids[2 * q], second = nearest.ids[2 * q + 1];
        if (row < 0 || static_cast<double>(distances[0]) > options.max_distance) continue;
        const double ratio = second < 0 ? 0 : ratio_of(distances[0], distances[1], options.squared);
        if (ratio > options.max_ratio) continue;
        const auto query = static_cast<std::int64_t>(q);
        if (options.mutual && nearest.reverse_ids[static_cast<std::size_t>(row)] != query) continue;
        matches.pairs.push_back({static_cast<std::int32_t>(q), static_cast<std::int32_t>(row)});
        matches.distances.push_back(distances[0]);
        matches.ratios.push_back(static_cast<float>(ratio));
    }
    return matches;
}

}  // namespace

PairMatches<std::int32_t> match_pair(MatrixView<const std::uint8_t> queries,
                                     MatrixView<const std::uint8_t> database,
                                     const PairOptions& options, int threads) {
    return match<std::uint8_t, std::int32_t>(queries, database, options, threads);
}

PairMatches<float> match_pair(MatrixView<const float> queries, MatrixView<const float> database,
                              const PairOptions& options, int threads) {
    return match<float, float>(queries, database, options, threads);
}

}  // namespace trouvaille
