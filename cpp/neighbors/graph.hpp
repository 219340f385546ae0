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

// A navigable graph: each point has edges to a few others, near ones and some that lead further,
// and a search walks along them towards its query. Squared Euclidean distances of bytes (exact, up
// to max_byte_dims of neighbors/exact.hpp) or of finite floats.
//
// Subramanya, Devvrit, Kadekodi, Krishnaswamy, Simhadri. DiskANN: Fast accurate billion-point
// nearest neighbor search on a single node. NeurIPS 2019. (The graph, called Vamana there.)
// Manohar et al. ParlayANN: Scalable and deterministic parallel graph-based approximate nearest
// neighbor search algorithms. PPoPP 2024. (Its construction in batches.)

/// Ends a row of neighbours that has fewer than it could.
inline constexpr std::uint32_t no_neighbor = 0xFFFFFFFF;

/// The most points of a graph: a walk keeps a bit beside each.
inline constexpr std::size_t max_graph_points = (std::size_t{1} << 31) - 1;

/// The edges, one row a point. Points that equal another one have none: they are its copies, and
/// found with it, so that a thousand of them neither fill up the neighbours of each other nor are
/// cut off by them.
struct GraphView {
    MatrixView<const std::uint32_t> neighbors;  // the nearer first; see no_neighbor
    std::uint32_t entry = 0;                    // the point where every walk begins
    std::span<const std::uint64_t> copies;      // point << 32 | copy of it, ascending
};

struct GraphOptions {
    std::size_t degree = 48;  ///< the most neighbours of a point; 1 or more
    std::size_t width = 100;  ///< of the searches that find a new point's neighbours
    double alpha = 1.2;       ///< an edge is dropped if a kept one ends this much nearer to its end
    std::uint64_t seed = 0;   ///< of the order in which points are inserted
};

struct Graph {
    Pages<std::uint32_t> neighbors;
    std::size_t degree = 0;
    std::uint32_t entry = 0;
    std::vector<std::uint64_t> copies;
};

/// The graph of `points`, whose first old.neighbors.rows ones `old` connects already; none: a new
/// graph. The degree of a graph that has points never changes.
///
/// Points are inserted in random order by batches, each at most as large as the graph before and
/// 2 % of all. Every point of a batch searches the same graph, then all edges are added at once:
/// the result is the same bits for any number of threads and on every instruction set (but not
/// for points added in one call or in several). Points equal to one another are found by hashes
/// among new ones, and by the search among old ones.
///
/// Requires old's edges to have passed check_graph, 1 <= points.cols, and a finite alpha >= 1.
/// Throws std::length_error for more than max_graph_points, and Interrupted (core/interrupt.hpp).
template <class T>
Graph extend_graph(MatrixView<const T> points, const GraphView& old, const GraphOptions& options,
                   int threads);

/// Approximate nearest neighbours of each query, nearest first, the smaller row number first among
/// equals. Places for which there is no point hold id -1 and the largest distance.
///
/// A walk keeps the `width` (k = ids.cols, if that is more) nearest points it has met, and goes on
/// from the nearest that it has not gone on from, until there is none. It begins at the entry and,
/// if `starts` has a row for each query, there too: a start that is near saves most of the way, and
/// what is found is no farther. A walk at least as wide as there are points compares with all, so
/// that its result is exact. Time grows with width, memory by some KiB for each 10 of it and a
/// thread. If `alive` is not null, bit i says whether row i can be found; others are walked
/// through.
///
/// Several walks are under way in one thread, and each step ends by asking for the memory that the
/// next one of its walk needs: this hides its latency. Aligned rows and huge pages pay
/// (core/pages.hpp). Results do not depend on the number of threads, the instruction set, or the
/// other queries. Requires k >= 1, edges that have passed check_graph, and starts that are rows and
/// no copies of others. Safe to call from many
/// threads; throws Interrupted.
template <class T>
void search_graph(MatrixView<const T> points, const GraphView& graph, MatrixView<const T> queries,
                  std::size_t width, const std::uint64_t* alive, MatrixView<Distance<T>> distances,
                  MatrixView<std::int64_t> ids, int threads,
                  std::span<const std::uint32_t> starts = {});

/// Throws std::invalid_argument unless every edge, the entry and all copies are those of `points`
/// points, so that a search cannot leave the arrays. One pass over the edges.
void check_graph(const GraphView& graph, std::size_t points);

}  // namespace trouvaille
