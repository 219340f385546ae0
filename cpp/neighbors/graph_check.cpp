// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <string>

#include "neighbors/graph.hpp"

namespace trouvaille {
namespace {

[[noreturn]] void refuse(const std::string& what) {
    throw std::invalid_argument("the graph " + what);
}

}  // namespace

void check_graph(const GraphView& graph, std::size_t points) {
    if (points > max_graph_points) refuse("has too many points: " + std::to_string(points));
    if (graph.neighbors.rows != points)
        refuse("has " + std::to_string(graph.neighbors.rows) + " rows of neighbours for " +
               std::to_string(points) + " points");
    if (points == 0 && graph.copies.empty()) return;
    if (graph.neighbors.cols == 0) refuse("has no neighbours");
    if (graph.entry >= points) refuse("begins at no point: " + std::to_string(graph.entry));
    for (std::size_t i = 0; i < points; ++i)
        for (std::size_t j = 0; j < graph.neighbors.cols; ++j) {
            const std::uint32_t neighbor = graph.neighbors.row(i)[j];
            if (neighbor >= points && neighbor != no_neighbor)
                refuse("leads from point " + std::to_string(i) +
                       " to no point: " + std::to_string(neighbor));
        }
    std::uint64_t before = 0;
    for (const std::uint64_t copy : graph.copies) {
        if (copy >> 32 >= points || (copy & 0xFFFFFFFF) >= points || copy <= before)
            refuse("has copies that are no points, or not in order");
        before = copy;
    }
}

}  // namespace trouvaille
