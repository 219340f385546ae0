// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/view.hpp"
#include "neighbors/exact.hpp"
#include "neighbors/few_centers.hpp"
#include "neighbors/row_distances.hpp"
#include "neighbors/update_centers.hpp"

namespace trouvaille::kmeans {

/// The nearest of the centres to each point, and their squared distance: of points one each.
template <class T>
struct Nearest {
    std::vector<Distance<T>> distances;
    std::vector<std::int64_t> ids;

    explicit Nearest(std::size_t points) : distances(points), ids(points) {}
};

template <class T>
void find_nearest(MatrixView<const T> points, MatrixView<const T> centers, Nearest<T>& nearest,
                  int threads) {
    if (!FewCenters<T>::pays(points.rows, centers.rows)) {
        exact_neighbors(points, centers, {nearest.distances.data(), points.rows, 1},
                        {nearest.ids.data(), points.rows, 1}, threads);
        return;
    }
    const FewCenters<T> few(centers);
    const std::size_t work = centers.rows * (1 + points.cols / 32);
    parallel_for(points.rows, InterruptPoll::interval / work + 1, threads,
                 [&](std::size_t begin, std::size_t end) {
                     few.nearest(points.slice(begin, end), &nearest.distances[begin],
                                 &nearest.ids[begin]);
                 });
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
    Nearest<T> nearest(points.rows);
    std::vector<T> previous(size);
    for (int i = 0;; ++i) {
        find_nearest(points, current, nearest, threads);
        if (i == iterations) return nearest;
        std::copy_n(centers.data, size, previous.data());
        update_centers(points, std::span<std::int64_t>(nearest.ids),
                       std::span<const Distance<T>>(nearest.distances), centers, threads);
        if (std::equal(previous.begin(), previous.end(), centers.data)) return nearest;
    }
}

}  // namespace trouvaille::kmeans
