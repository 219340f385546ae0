// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "core/interrupt.hpp"
#include "core/view.hpp"
#include "neighbors/exact.hpp"
#include "neighbors/row_distances.hpp"
#include "neighbors/update_centers.hpp"

namespace trouvaille::kmeans {

/// The nearest of the centres to each point, and their squared distance: of points one each.
template <class T>
struct Nearest {
    std::vector<Distance<T>> distances;
    std::vector<std::int64_t> ids;
};

/// Below so many products of a point and a centre, packing centres for a search of all costs more
/// than it saves.
inline constexpr std::size_t few_pairs = 4096;

template <class T>
void find_nearest_of_few(MatrixView<const T> points, MatrixView<const T> centers,
                         Nearest<T>& nearest) {
    const auto distances_of = row_distances<T>();
    std::vector<std::uint32_t> all(centers.rows);
    std::iota(all.begin(), all.end(), std::uint32_t{0});
    std::vector<Distance<T>> distances(centers.rows);
    InterruptPoll poll;
    for (std::size_t i = 0; i < points.rows; ++i) {
        distances_of(points.row(i), centers, all.data(), all.size(), distances.data());
        const auto least = std::min_element(distances.begin(), distances.end());
        nearest.distances[i] = *least;
        nearest.ids[i] = least - distances.begin();
        poll.did(centers.rows);
    }
}

template <class T>
void find_nearest(MatrixView<const T> points, MatrixView<const T> centers, Nearest<T>& nearest,
                  int threads) {
    if (points.rows * centers.rows <= few_pairs)
        return find_nearest_of_few(points, centers, nearest);
    exact_neighbors(points, centers, {nearest.distances.data(), points.rows, 1},
                    {nearest.ids.data(), points.rows, 1}, threads);
}

/// Lloyd's algorithm from the centres that are given: rounds of assignment and update, fewer than
/// `iterations` where one changes no centre, and a last assignment, which is returned.
///
/// What a round does, ties and clusters without points included, neighbors/exact.hpp and
/// neighbors/update_centers.hpp say. The same bits for any number of threads, and on every
/// instruction set. Requires centers.rows >= 1 and what these two require; throws Interrupted.
///
/// Lloyd. Least squares quantization in PCM. IEEE Transactions on Information Theory 28(2), 1982.
template <class T>
Nearest<T> lloyd(MatrixView<const T> points, MatrixView<T> centers, int iterations, int threads) {
    assert(centers.rows >= 1 && points.cols == centers.cols);
    const MatrixView<const T> current{centers.data, centers.rows, centers.cols};
    const std::size_t size = centers.rows * centers.cols;
    Nearest<T> nearest{std::vector<Distance<T>>(points.rows),
                       std::vector<std::int64_t>(points.rows)};
    std::vector<T> previous(size);
    for (int i = 0;; ++i) {
        find_nearest(points, current, nearest, threads);
        if (i == iterations) return nearest;
        std::copy_n(centers.data, size, previous.data());
        update_centers(points, std::span(nearest.ids),
                       std::span<const Distance<T>>(nearest.distances), centers, threads);
        if (std::equal(previous.begin(), previous.end(), centers.data)) return nearest;
    }
}

}  // namespace trouvaille::kmeans
