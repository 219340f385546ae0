// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/parallel.hpp"
#include "core/random.hpp"
#include "core/size.hpp"
#include "neighbors/graph_prune.hpp"
#include "neighbors/graph_walk.hpp"

namespace trouvaille {
namespace {

using graph::copy_of;
using graph::Key;
using graph::key_of;
using graph::node_of;

/// What each thread takes at a time of all points, so that no more than 256 parts are added up.
std::size_t part_of(std::size_t points) {
    return std::max<std::size_t>((points + 255) / 256, 1'024);
}

template <class T>
std::vector<T> mean_of(MatrixView<const T> points, int threads) {
    const std::size_t part = part_of(points.rows), dims = points.cols;
    std::vector<double> sums(((points.rows + part - 1) / part + 1) * dims);  // the first of all
    parallel_for(points.rows, part, threads, [&](std::size_t begin, std::size_t end) {
        double* own = &sums[(begin / part + 1) * dims];
        InterruptPoll poll;
        for (; begin < end; ++begin) {
            for (std::size_t d = 0; d < dims; ++d)
                own[d] += static_cast<double>(points.row(begin)[d]);
            poll.did(dims);
        }
    });
    for (std::size_t i = dims; i < sums.size(); ++i) sums[i % dims] += sums[i];
    std::vector<T> mean(dims);
    for (std::size_t d = 0; d < dims; ++d)
        mean[d] = static_cast<T>(sums[d] / static_cast<double>(points.rows));
    return mean;
}

/// The point nearest to the mean of all.
template <class T>
std::uint32_t medoid(MatrixView<const T> points, int threads) {
    const std::vector<T> mean = mean_of(points, threads);
    const std::size_t part = part_of(points.rows);
    const RowDistances<T> distances_of = row_distances<T>();
    std::vector<Key> nearest((points.rows + part - 1) / part, ~Key{0});
    parallel_for(points.rows, part, threads, [&](std::size_t begin, std::size_t end) {
        constexpr std::size_t together = 64;
        std::uint32_t rows[together];
        Distance<T> distances[together];
        Key& own = nearest[begin / part];
        InterruptPoll poll;
        for (; begin < end; begin += together) {
            const std::size_t n = std::min(together, end - begin);
            std::iota(rows, rows + n, static_cast<std::uint32_t>(begin));
            distances_of(mean.data(), points, rows, n, distances);
            for (std::size_t i = 0; i < n; ++i) own = std::min(own, key_of(distances[i], rows[i]));
            poll.did(n * points.cols);
        }
    });
    return node_of(*std::min_element(nearest.begin(), nearest.end()));
}

/// Grows a graph batch by batch. `neighbors` has a row for every point.
template <class T>
class Builder {
  public:
    Builder(MatrixView<const T> points, MatrixView<std::uint32_t> neighbors, std::uint32_t entry,
            const GraphOptions& options, int threads)
        : points_(points),
          neighbors_(neighbors),
          course_{.points = points,
                  .neighbors = {neighbors.data, neighbors.rows, neighbors.cols},
                  .entry = entry,
                  .width = options.width,
                  .wants_path = true},
          alpha_(options.alpha),
          threads_(threads) {}

    /// Connects the points of `batch` to the graph; but not those that equal one of its points:
    /// these it appends to `copies`.
    void insert(std::span<const std::uint32_t> batch, std::vector<std::uint64_t>& copies) {
        std::vector<std::uint32_t> originals(batch.size(), no_neighbor);
        parallel_for(batch.size(), 64, threads_, [&](std::size_t begin, std::size_t end) {
            graph::Pruner<T> pruner(points_, alpha_);
            std::vector<Key> candidates;
            graph::walk_all(
                course_, begin, end, [&](std::size_t i) { return points_.row(batch[i]); },
                [&](std::size_t i, const graph::Walk<T>& walk) {
                    originals[i] = equal_node(batch[i], walk.nearest());
                    if (originals[i] != no_neighbor) return;
                    candidates.assign(walk.path().begin(), walk.path().end());
                    choose(candidates, pruner, neighbors_.cols, neighbors_.row(batch[i]));
                });
        });
        std::vector<std::uint64_t> edges;  // end << 32 | beginning
        for (std::size_t i = 0; i < batch.size(); ++i)
            if (originals[i] != no_neighbor)
                copies.push_back(copy_of(originals[i], batch[i]));
            else
                for (const std::uint32_t end : neighbors_of(batch[i]))
                    edges.push_back(std::uint64_t{end} << 32 | batch[i]);
        add_reversed(edges);
    }

    /// Leads an edge to each of `rows` that no walk could reach: from the nearest point that a walk
    /// finds and that has room for it, or an edge to spare.
    void connect(std::span<const std::uint32_t> rows) {
        parents_.assign(points_.rows, no_neighbor);
        reach(course_.entry, course_.entry);
        for (const std::uint32_t row : rows) {
            if (parents_[row] != no_neighbor) continue;
            check_interrupt();
            graph::walk_all(
                course_, row, row + 1, [&](std::size_t i) { return points_.row(i); },
                [&](std::size_t, const graph::Walk<T>& walk) {
                    for (const bool any : {false, true})
                        for (const Key key : walk.nearest())
                            if (lead(node_of(key), row, any)) return;
                    lead(last_, row, true);  // from which no edge is in the tree
                });
        }
    }

  private:
    /// Sets the parents of `node` and of what edges lead to from it: a tree that grows from the
    /// entry by shortest ways, so that an edge that is not in it may go.
    void reach(std::uint32_t node, std::uint32_t parent) {
        InterruptPoll poll;
        parents_[node] = parent;
        last_ = node;
        std::vector<std::uint32_t> met{node};
        for (std::size_t i = 0; i < met.size(); ++i) {
            const std::uint32_t from = met[i];
            for (const std::uint32_t end : neighbors_of(from)) {
                if (parents_[end] != no_neighbor) continue;
                parents_[end] = from;
                last_ = end;
                met.push_back(end);
            }
            poll.did(neighbors_.cols);
        }
    }

    /// Leads an edge from `node` to `row`, if there is room for one or an edge to spare.
    bool lead(std::uint32_t node, std::uint32_t row, bool any) {
        std::size_t place = neighbors_of(node).size();
        if (place == neighbors_.cols) place = spare_edge(node, any);
        if (place == neighbors_.cols) return false;
        neighbors_.row(node)[place] = row;
        reach(row, node);
        return true;
    }

    /// The place of the last edge that is not in the tree, and if not `any` will do that two others
    /// replace; or the end of the row.
    std::size_t spare_edge(std::uint32_t node, bool any) const {
        const std::uint32_t* ends = neighbors_.row(node);
        for (std::size_t i = neighbors_.cols; i-- > 0;)
            if (parents_[ends[i]] != node && (any || is_near(node, ends[i]))) return i;
        return neighbors_.cols;
    }

    /// Whether a neighbour of `node` leads to `end`.
    bool is_near(std::uint32_t node, std::uint32_t end) const {
        const auto between = neighbors_of(node);
        return std::any_of(between.begin(), between.end(), [&](std::uint32_t other) {
            const auto ends = neighbors_of(other);
            return std::find(ends.begin(), ends.end(), end) != ends.end();
        });
    }

    std::span<const std::uint32_t> neighbors_of(std::uint32_t node) const {
        const std::uint32_t* row = neighbors_.row(node);
        return {row, std::find(row, row + neighbors_.cols, no_neighbor)};
    }

    std::uint32_t equal_node(std::uint32_t row, std::span<const Key> nearest) const {
        const T* values = points_.row(row);
        for (const Key key : nearest) {
            if (graph::distance_of<Distance<T>>(key) != 0) break;
            if (std::equal(values, values + points_.cols, points_.row(node_of(key))))
                return node_of(key);
        }
        return no_neighbor;
    }

    /// Sorts candidates, and makes up to `most` of the nearest 2 * width of them neighbours.
    void choose(std::vector<Key>& candidates, graph::Pruner<T>& pruner, std::size_t most,
                std::uint32_t* neighbors) const {
        std::sort(candidates.begin(), candidates.end());
        candidates.resize(std::min(candidates.size(), 2 * course_.width));
        const std::size_t n = pruner.prune(candidates, most, neighbors);
        std::fill(neighbors + n, neighbors + neighbors_.cols, no_neighbor);
    }

    /// The edges back, for each edge; in order, so that who adds them does not matter.
    void add_reversed(std::vector<std::uint64_t>& edges) {
        std::sort(edges.begin(), edges.end());
        std::vector<std::size_t> begins;  // of the edges that end at the same node
        for (std::size_t i = 0; i < edges.size(); ++i)
            if (i == 0 || edges[i] >> 32 != edges[i - 1] >> 32) begins.push_back(i);
        const std::size_t ends = begins.size();
        begins.push_back(edges.size());
        parallel_for(ends, 64, threads_, [&](std::size_t begin, std::size_t end) {
            graph::Pruner<T> pruner(points_, alpha_);
            for (std::size_t i = begin; i < end; ++i)
                add_neighbors(std::span(edges).subspan(begins[i], begins[i + 1] - begins[i]),
                              pruner);
        });
    }

    /// Where there is no room for all, some places are left for the next time.
    void add_neighbors(std::span<const std::uint64_t> edges, graph::Pruner<T>& pruner) {
        const auto node = static_cast<std::uint32_t>(edges[0] >> 32);
        const auto old = neighbors_of(node);
        std::vector<std::uint32_t> rows(old.begin(), old.end());
        for (const std::uint64_t edge : edges) rows.push_back(static_cast<std::uint32_t>(edge));
        if (rows.size() <= neighbors_.cols) {
            std::copy(rows.begin(), rows.end(), neighbors_.row(node));
            return;
        }
        std::vector<Distance<T>> distances(rows.size());
        course_.distances(points_.row(node), points_, rows.data(), rows.size(), distances.data());
        std::vector<Key> candidates(rows.size());
        for (std::size_t i = 0; i < rows.size(); ++i) candidates[i] = key_of(distances[i], rows[i]);
        choose(candidates, pruner, std::max<std::size_t>(neighbors_.cols * 5 / 6, 1),
               neighbors_.row(node));
    }

    MatrixView<const T> points_;
    MatrixView<std::uint32_t> neighbors_;
    graph::Course<T> course_;
    double alpha_;
    int threads_;
    std::vector<std::uint32_t> parents_;  // of the points that can be reached
    std::uint32_t last_ = 0;              // of them the last that was
};

/// The rows from `begin` to `end` that are no copies, ascending.
std::vector<std::uint32_t> distinct_rows(std::size_t begin, std::size_t end,
                                         std::span<const std::uint64_t> copies) {
    std::vector<bool> is_copy(end);
    for (const std::uint64_t copy : copies) is_copy[copy & 0xFFFFFFFF] = true;
    std::vector<std::uint32_t> rows;
    for (std::size_t row = begin; row < end; ++row)
        if (!is_copy[row]) rows.push_back(static_cast<std::uint32_t>(row));
    return rows;
}

void shuffle(std::vector<std::uint32_t>& rows, Random random) {
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.below(i)]);
}

/// All copies, ascending: `own` among the new rows, whose first ones may equal an old one as
/// `late` says.
std::vector<std::uint64_t> joined_copies(std::span<const std::uint64_t> old,
                                         std::span<const std::uint64_t> own,
                                         std::vector<std::uint64_t> late) {
    const auto by_row = [](std::uint64_t a, std::uint64_t b) {
        return (a & 0xFFFFFFFF) < (b & 0xFFFFFFFF);
    };
    std::sort(late.begin(), late.end(), by_row);
    std::vector<std::uint64_t> all(old.begin(), old.end());
    for (const std::uint64_t copy : own) {
        const auto original = std::lower_bound(late.begin(), late.end(), copy >> 32, by_row);
        const bool moved = original != late.end() && (*original & 0xFFFFFFFF) == copy >> 32;
        all.push_back(moved ? copy_of(static_cast<std::uint32_t>(*original >> 32),
                                      static_cast<std::uint32_t>(copy))
                            : copy);
    }
    all.insert(all.end(), late.begin(), late.end());
    std::sort(all.begin(), all.end());
    return all;
}

}  // namespace

template <class T>
Graph extend_graph(MatrixView<const T> points, const GraphView& old, const GraphOptions& options,
                   int threads) {
    const std::size_t n = points.rows, connected = old.neighbors.rows;
    if (n > max_graph_points)
        throw std::length_error("a graph of " + std::to_string(n) + " points has too many");
    const std::size_t degree = connected > 0 ? old.neighbors.cols : options.degree;
    assert(connected <= n && degree >= 1);
    Graph grown{Pages<std::uint32_t>(checked_mul(n, degree, "points * degree")), degree, 0, {}};
    const MatrixView<std::uint32_t> neighbors{grown.neighbors.data(), n, degree};
    std::copy_n(old.neighbors.data, connected * degree, neighbors.data);
    std::fill(neighbors.row(connected), neighbors.row(n), no_neighbor);
    if (n == 0) return grown;

    const auto own = graph::equal_rows(points, connected, threads);
    auto order = distinct_rows(connected, n, own);
    shuffle(order, Random(options.seed, connected));
    grown.entry = connected > 0 ? old.entry : medoid(points, threads);
    std::size_t done = connected;
    if (connected == 0) {  // a graph of one point
        std::swap(order.front(), *std::find(order.begin(), order.end(), grown.entry));
        done = 1;
    }
    Builder<T> builder(points, neighbors, grown.entry, options, threads);
    std::vector<std::uint64_t> late;
    for (auto rest = std::span<const std::uint32_t>(order).subspan(connected == 0);
         !rest.empty();) {
        const std::size_t size = std::min({rest.size(), done, n / 50 + 1});
        builder.insert(rest.first(size), late);
        rest = rest.subspan(size);
        done += size;
    }
    grown.copies = joined_copies(old.copies, own, std::move(late));
    builder.connect(distinct_rows(0, n, grown.copies));
    return grown;
}

template Graph extend_graph(MatrixView<const std::uint8_t>, const GraphView&, const GraphOptions&,
                            int);
template Graph extend_graph(MatrixView<const float>, const GraphView&, const GraphOptions&, int);

}  // namespace trouvaille
