// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.hpp"
#include "neighbors/graph_walk.hpp"

namespace trouvaille {

template <class T>
void search_graph(const GraphView<T>& graph, MatrixView<const T> queries, std::size_t width,
                  MatrixView<Distance<T>> distances, MatrixView<std::int64_t> ids, int threads) {
    const std::size_t k = ids.cols;
    parallel_for(queries.rows, 64, threads, [&](std::size_t begin, std::size_t end) {
        graph::walk_all(
            graph, begin, end, std::max(width, k), false,
            [&](std::size_t i) { return queries.row(i); },
            [&](std::size_t i, const graph::Walk<T>& walk) {
                for (std::size_t j = 0; j < k; ++j) {
                    const bool found = j < walk.pool.size();
                    distances.row(i)[j] =
                        found ? graph::distance_of<Distance<T>>(walk.pool[j]) : 0;
                    ids.row(i)[j] = found ? std::int64_t{graph::node_of(walk.pool[j])} : -1;
                }
            });
    });
}

template void search_graph(const GraphView<std::uint8_t>&, MatrixView<const std::uint8_t>,
                           std::size_t, MatrixView<std::int32_t>, MatrixView<std::int64_t>, int);
template void search_graph(const GraphView<float>&, MatrixView<const float>, std::size_t,
                           MatrixView<float>, MatrixView<std::int64_t>, int);

}  // namespace trouvaille
