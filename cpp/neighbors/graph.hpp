// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "core/view.hpp"
#include "neighbors/row_distances.hpp"

namespace trouvaille {

inline constexpr std::uint32_t no_neighbor = 0xFFFFFFFF;

template <class T>
struct GraphView {
    MatrixView<const T> points;
    MatrixView<const std::uint32_t> neighbors;
    std::uint32_t entry = 0;
};

struct GraphBuildOptions {
    std::size_t degree = 48, prune_to = 40, width = 100, max_candidates = 200;
    double alpha = 1.2;
    std::uint64_t seed = 0;
};

template <class T>
void build_graph(MatrixView<const T> points, MatrixView<std::uint32_t> neighbors,
                 std::uint32_t& entry, const GraphBuildOptions& options, int threads);

template <class T>
void search_graph(const GraphView<T>& graph, MatrixView<const T> queries, std::size_t width,
                  MatrixView<Distance<T>> distances, MatrixView<std::int64_t> ids, int threads);

}  // namespace trouvaille
