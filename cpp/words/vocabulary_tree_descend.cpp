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
#include "neighbors/row_distances.hpp"
#include "words/vocabulary_tree.hpp"

namespace trouvaille {
namespace {

/// Queries that go down together: while one is compared, the children that the next ones are to be
/// compared with are fetched.
constexpr std::size_t together = 16;
constexpr std::size_t grain = 32 * together;
constexpr std::size_t prefetched_bytes = 4096;

template <class T>
RowDistances<T> distances_by(TreeMetric metric) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (metric == TreeMetric::hamming) return hamming_row_distances();
    }
    assert(metric == TreeMetric::l2);
    return row_distances<T>();
}

struct Range {
    std::uint32_t begin, end;
};

template <class T>
class Descent {
  public:
    Descent(const VocabularyTree<T>& tree, TreeMetric metric)
        : tree_(tree), distances_of_(distances_by<T>(metric)) {}

    Range root() const { return {tree_.children[0], tree_.children[1]}; }
    Range below(std::uint32_t node) const {
        return {tree_.children[node + 1], tree_.children[node + 2]};
    }

    void fetch(Range nodes) const {
        const std::size_t size = (nodes.end - nodes.begin) * tree_.centers.cols;
        prefetch(tree_.centers.row(nodes.begin), std::min(size, prefetched_bytes / sizeof(T)));
    }

    /// The nearest of one or more nodes.
    std::uint32_t nearest(const T* query, Range nodes) {
        const std::size_t n = nodes.end - nodes.begin;
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

  private:
    const VocabularyTree<T>& tree_;
    RowDistances<T> distances_of_;
    std::vector<std::uint32_t> all_;  // 0, 1, 2, ...
    std::vector<Distance<T>> distances_;
    InterruptPoll poll_;
};

/// Up to `together` queries, a level at a time.
template <class T>
void descend_together(Descent<T>& descent, MatrixView<const T> queries, std::int64_t* leaves,
                      MatrixView<std::int64_t> path) {
    std::array<Range, together> ranges;
    std::array<std::size_t, together> going;
    std::size_t n_going = queries.rows;
    std::iota(going.begin(), going.end(), std::size_t{0});
    ranges.fill(descent.root());
    std::fill_n(path.data, path.rows * path.cols, -1);
    for (std::size_t level = 0; n_going > 0; ++level) {
        std::size_t still_going = 0;
        for (std::size_t i = 0; i < n_going; ++i) {
            const std::size_t q = going[i];
            const std::uint32_t node = descent.nearest(queries.row(q), ranges[q]);
            if (path.cols != 0) path.row(q)[level] = node;
            ranges[q] = descent.below(node);
            if (ranges[q].begin == ranges[q].end) {
                leaves[q] = node;
            } else {
                descent.fetch(ranges[q]);
                going[still_going++] = q;
            }
        }
        n_going = still_going;
    }
}

}  // namespace

template <class T>
void descend(const VocabularyTree<T>& tree, MatrixView<const T> queries, TreeMetric metric,
             std::span<std::int64_t> leaves, MatrixView<std::int64_t> path, int threads) {
    assert(queries.cols == tree.centers.cols);
    assert(leaves.size() == queries.rows && path.rows == queries.rows);
    parallel_for(queries.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
        Descent<T> descent(tree, metric);
        for (; begin < end; begin += together) {
            const std::size_t stop = std::min(end, begin + together);
            descend_together(descent, queries.slice(begin, stop), &leaves[begin],
                             path.slice(begin, stop));
        }
    });
}

template void descend(const VocabularyTree<std::uint8_t>&, MatrixView<const std::uint8_t>,
                      TreeMetric, std::span<std::int64_t>, MatrixView<std::int64_t>, int);
template void descend(const VocabularyTree<float>&, MatrixView<const float>, TreeMetric,
                      std::span<std::int64_t>, MatrixView<std::int64_t>, int);

}  // namespace trouvaille
