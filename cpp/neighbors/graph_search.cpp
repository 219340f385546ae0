// SPDX-License-Identifier: Apache-2.0
#include <cassert>
#include <functional>
#include <numeric>

#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "neighbors/found_row.hpp"
#include "neighbors/graph_walk.hpp"

namespace trouvaille {
namespace {

using graph::Key;
using graph::Members;

template <class D>
void put(const FoundRow<D>& out, std::size_t place, Key key, std::uint32_t row) {
    out.distances[place] = graph::distance_of<D>(key);
    out.ids[place] = row;
}

template <class D>
void write_nodes(std::span<const Key> nodes, const FoundRow<D>& out) {
    const std::size_t n = std::min(nodes.size(), out.k);
    for (std::size_t j = 0; j < n; ++j) put(out, j, nodes[j], graph::node_of(nodes[j]));
    out.end_at(n);
}

/// The members of nodes, the smaller row first among those of nodes that are as near.
template <class D>
void write_members(std::span<const Key> nodes, const Members& members, const FoundRow<D>& out) {
    std::vector<std::uint32_t> rows;
    std::size_t n = 0;
    for (std::size_t i = 0; i < nodes.size() && n < out.k;) {
        rows.clear();
        const std::size_t first = i, most = out.k - n;
        for (; i < nodes.size() && nodes[i] >> 32 == nodes[first] >> 32; ++i)
            members.append(graph::node_of(nodes[i]), most, rows);
        std::sort(rows.begin(), rows.end());
        for (std::size_t j = 0; j < rows.size() && n < out.k; ++j, ++n)
            put(out, n, nodes[first], rows[j]);
    }
    out.end_at(n);
}

/// Compares `query` with all rows that are alive.
template <class T>
void scan(MatrixView<const T> points, const T* query, const Members& members,
          const FoundRow<Distance<T>>& out) {
    constexpr std::size_t block = 512;
    using Best = TopK<Distance<T>, std::uint32_t, std::less<Distance<T>>>;
    const auto distances_of = row_distances<T>();
    std::uint32_t rows[block];
    Distance<T> distances[block];
    std::vector<typename Best::Item> items(out.k);
    Best best(items);
    InterruptPoll poll;
    for (std::size_t begin = 0; begin < points.rows; begin += block) {
        const std::size_t n = std::min(block, points.rows - begin);
        std::iota(rows, rows + n, static_cast<std::uint32_t>(begin));
        distances_of(query, points, rows, n, distances);
        for (std::size_t i = 0; i < n; ++i)
            if (members.alive(rows[i])) best.push(distances[i], rows[i]);
        poll.did(n * (points.cols / 64 + 1));
    }
    out.write(best.sorted());
}

}  // namespace

template <class T>
void search_graph(MatrixView<const T> points, const GraphView& graph, MatrixView<const T> queries,
                  std::size_t width, const std::uint64_t* alive, MatrixView<Distance<T>> distances,
                  MatrixView<std::int64_t> ids, int threads,
                  std::span<const std::uint32_t> starts) {
    assert(starts.empty() || starts.size() == queries.rows);
    assert(ids.cols >= 1 && graph.neighbors.rows == points.rows);
    assert(queries.cols == points.cols && distances.cols == ids.cols);
    const std::size_t k = ids.cols;
    const Members members(graph.copies, alive);
    const auto out = [&](std::size_t i) {
        return FoundRow<Distance<T>>{distances.row(i), ids.row(i), k};
    };
    width = std::max(width, k);
    if (width >= points.rows) {
        parallel_for(queries.rows, 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) scan(points, queries.row(i), members, out(i));
        });
        return;
    }
    graph::Course<T> course{points, graph.neighbors, graph.entry, width};
    course.starts = starts;
    if (!members.trivial()) course.members = &members;
    const auto workers = static_cast<std::size_t>(std::max(threads, 1));
    const std::size_t grain = std::clamp<std::size_t>(queries.rows / (4 * workers), 4, 64);
    parallel_for(queries.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
        graph::walk_all(
            course, begin, end, [&](std::size_t i) { return queries.row(i); },
            [&](std::size_t i, const graph::Walk<T>& walk) {
                if (members.trivial())
                    write_nodes(walk.nearest(), out(i));
                else
                    write_members(walk.nearest(), members, out(i));
            });
    });
}

template void search_graph(MatrixView<const std::uint8_t>, const GraphView&,
                           MatrixView<const std::uint8_t>, std::size_t, const std::uint64_t*,
                           MatrixView<std::int32_t>, MatrixView<std::int64_t>, int,
                           std::span<const std::uint32_t>);
template void search_graph(MatrixView<const float>, const GraphView&, MatrixView<const float>,
                           std::size_t, const std::uint64_t*, MatrixView<float>,
                           MatrixView<std::int64_t>, int, std::span<const std::uint32_t>);

}  // namespace trouvaille
