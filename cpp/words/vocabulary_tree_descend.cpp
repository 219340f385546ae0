// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/prefetch.hpp"
#include "neighbors/hamming_distance.hpp"
#include "neighbors/lloyd.hpp"
#include "neighbors/row_distances.hpp"
#include "words/vocabulary_tree.hpp"

namespace trouvaille {
namespace {

/// So many queries at one node are compared with its children all at once, which must be laid out
/// for that; fewer one by one.
constexpr std::size_t enough_for_panels = 16;
/// Queries that go down one by one take turns: while one is compared, the children that the next
/// ones are to be compared with are fetched.
constexpr std::size_t together = 16;
constexpr std::size_t prefetched_bytes = 4096;

template <class T>
RowDistances<T> distances_by(TreeMetric metric) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (metric == TreeMetric::hamming) return hamming_row_distances();
    }
    assert(metric == TreeMetric::l2);
    return row_distances<T>();
}

/// Nodes [begin, end): the children of one.
struct Range {
    std::uint32_t begin, end;

    std::size_t size() const { return end - begin; }
};

template <class T>
class Descent {
  public:
    Descent(const VocabularyTree<T>& tree, TreeMetric metric, MatrixView<const T> queries,
            std::int64_t* leaves, MatrixView<std::int64_t> path)
        : tree_(tree),
          metric_(metric),
          distances_of_(distances_by<T>(metric)),
          queries_(queries),
          leaves_(leaves),
          path_(path) {
        std::fill_n(path.data, path.rows * path.cols, -1);
    }

    void run() {
        std::vector<std::uint32_t> all(queries_.rows);
        std::iota(all.begin(), all.end(), std::uint32_t{0});
        go_down(0, {tree_.children[0], tree_.children[1]}, all);
    }

  private:
    Range below(std::uint32_t node) const {
        return {tree_.children[node + 1], tree_.children[node + 2]};
    }

    /// Notes that a query has come to a node; returns whether that is a leaf.
    bool arrive(std::uint32_t query, std::size_t level, std::uint32_t node) {
        if (path_.cols != 0) path_.row(query)[level] = node;
        const bool is_leaf = below(node).size() == 0;
        if (is_leaf) leaves_[query] = node;
        return is_leaf;
    }

    /// Queries that are at one node, whose children are `nodes` of `level`. Reorders them.
    void go_down(std::size_t level, Range nodes, std::span<std::uint32_t> queries) {
        if (metric_ != TreeMetric::l2 || queries.size() < enough_for_panels) {
            for (std::size_t i = 0; i < queries.size(); i += together)
                take_turns(level, nodes,
                           queries.subspan(i, std::min(together, queries.size() - i)));
            return;
        }
        const std::vector<std::size_t> ends = sort_by_nearest(nodes, queries);
        std::size_t begin = 0;
        for (std::size_t i = 0; i < nodes.size(); begin = ends[i++]) {
            const auto node = nodes.begin + static_cast<std::uint32_t>(i);
            const auto own = queries.subspan(begin, ends[i] - begin);
            bool ends_here = own.empty();
            for (const std::uint32_t query : own) ends_here = arrive(query, level, node);
            if (!ends_here) go_down(level + 1, below(node), own);
        }
    }

    /// Sorts queries by the nearest of the nodes; returns where those of each end.
    std::vector<std::size_t> sort_by_nearest(Range nodes, std::span<std::uint32_t> queries) {
        const std::size_t n = queries.size(), dims = queries_.cols;
        const std::vector<std::uint32_t> old(queries.begin(), queries.end());
        std::vector<T> gathered(n * dims);
        for (std::size_t i = 0; i < n; ++i)
            std::copy_n(queries_.row(old[i]), dims, &gathered[i * dims]);
        poll_.did(n * (1 + dims / 32));
        kmeans::Nearest<T> nearest(n);
        kmeans::find_nearest<T>({gathered.data(), n, dims},
                                tree_.centers.slice(nodes.begin, nodes.end), nearest, 1);
        std::vector<std::size_t> places(nodes.size() + 1);
        for (const std::int64_t id : nearest.ids) ++places[static_cast<std::size_t>(id) + 1];
        std::partial_sum(places.begin(), places.end(), places.begin());
        for (std::size_t i = 0; i < n; ++i)
            queries[places[static_cast<std::size_t>(nearest.ids[i])]++] = old[i];
        places.pop_back();
        return places;
    }

    /// Up to `together` queries that are at one node, a level at a time.
    void take_turns(std::size_t level, Range nodes, std::span<const std::uint32_t> queries) {
        std::array<Range, together> ranges;
        std::array<std::size_t, together> going;
        std::size_t n_going = queries.size();
        std::iota(going.begin(), going.end(), std::size_t{0});
        ranges.fill(nodes);
        for (; n_going > 0; ++level) {
            std::size_t still_going = 0;
            for (std::size_t i = 0; i < n_going; ++i) {
                const std::size_t q = going[i];
                const std::uint32_t node = nearest(queries_.row(queries[q]), ranges[q]);
                if (arrive(queries[q], level, node)) continue;
                ranges[q] = below(node);
                fetch(ranges[q]);
                going[still_going++] = q;
            }
            n_going = still_going;
        }
    }

    void fetch(Range nodes) const {
        const std::size_t size = nodes.size() * tree_.centers.cols;
        prefetch(tree_.centers.row(nodes.begin), std::min(size, prefetched_bytes / sizeof(T)));
    }

    /// The nearest of one or more nodes.
    std::uint32_t nearest(const T* query, Range nodes) {
        const std::size_t n = nodes.size();
        if (n > all_.size()) {
            all_.resize(n);
            std::iota(all_.begin(), all_.end(), std::uint32_t{0});
            distances_.resize(n);
        }
        distances_of_(query, tree_.centers.slice(nodes.begin, nodes.end), all_.data(), n,
                      distances_.data());
        std::size_t best = 0;
        for (std::size_t i = 1; i < n; ++i)
            if (distances_[i] < distances_[best]) best = i;
        poll_.did(n * (1 + tree_.centers.cols / 32));
        return nodes.begin + static_cast<std::uint32_t>(best);
    }

    const VocabularyTree<T>& tree_;
    TreeMetric metric_;
    RowDistances<T> distances_of_;
    MatrixView<const T> queries_;
    std::int64_t* leaves_;
    MatrixView<std::int64_t> path_;
    std::vector<std::uint32_t> all_;  // 0, 1, 2, ...
    std::vector<Distance<T>> distances_;
    InterruptPoll poll_;
};

}  // namespace

template <class T>
void descend(const VocabularyTree<T>& tree, MatrixView<const T> queries, TreeMetric metric,
             std::span<std::int64_t> leaves, MatrixView<std::int64_t> path, int threads) {
    assert(queries.cols == tree.centers.cols);
    assert(leaves.size() == queries.rows && path.rows == queries.rows);
    // The more queries a part has, the more are at one node. What is found does not depend on it.
    const std::size_t parts = threads == 1 ? 1 : 4 * static_cast<std::size_t>(threads);
    const std::size_t grain = std::clamp<std::size_t>(queries.rows / parts, 512, 32'768);
    parallel_for(queries.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
        Descent<T>(tree, metric, queries.slice(begin, end), &leaves[begin], path.slice(begin, end))
            .run();
    });
}

template void descend(const VocabularyTree<std::uint8_t>&, MatrixView<const std::uint8_t>,
                      TreeMetric, std::span<std::int64_t>, MatrixView<std::int64_t>, int);
template void descend(const VocabularyTree<float>&, MatrixView<const float>, TreeMetric,
                      std::span<std::int64_t>, MatrixView<std::int64_t>, int);

}  // namespace trouvaille
