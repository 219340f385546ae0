// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "core/topk.hpp"
#include "core/view.hpp"
#include "neighbors/principal_axes.hpp"

namespace trouvaille {

/// A node of a k-d tree over codes (neighbors/principal_axes.hpp), in preorder: the left child of
/// an inner node is the next one, the right child is `next` places on. Codes on the left are at
/// most `threshold` along `axis`, those on the right at least. A leaf (`count` > 0) holds the
/// places [next, next + count) of its tree's order.
struct KDNode {
    std::uint32_t next;
    std::uint16_t count;
    std::uint8_t axis, threshold;
};
static_assert(sizeof(KDNode) == 8);

/// A forest of randomized k-d trees over n points, all in plain arrays.
///
/// Points lie in the order of the first tree's leaves. Beside them, in the same order, lie the
/// first `4 * units` bytes of their codes, in panels of 16 points: of each unit of four bytes those
/// of 16 points, then the next unit.
template <class T>
struct KDForest {
    MatrixView<const T> points;
    std::span<const std::uint32_t> rows;     ///< n: the number of each point's row when built
    std::span<const std::uint8_t> panels;    ///< ceil(n / 16) * 64 * units
    std::span<const KDNode> nodes;           ///< tree after tree
    std::span<const std::uint32_t> roots;    ///< a node for each tree; none where n is 0
    MatrixView<const std::uint32_t> orders;  ///< trees - 1 rows of n: places in the first's order
    PrincipalAxes axes;

    std::size_t units() const;
};

struct KDForestOptions {
    int trees = 1;       ///< the first splits by the greatest variance, others at random
    int leaf_size = 48;  ///< the most points of a leaf
    int drawn_from = 5;  ///< among this many axes of greatest variance the others draw each split
    std::uint64_t seed = 0;
};

/// The arrays behind KDForest, but for the points, whose memory is the caller's.
struct KDForestData {
    std::vector<std::uint32_t> rows, roots, orders;
    std::vector<std::uint8_t> panels;
    std::vector<KDNode> nodes;
    PrincipalAxesData axes;

    template <class T>
    KDForest<T> view(MatrixView<const T> points) const {
        const std::size_t trees = roots.size();
        return {points,     rows,  panels,
                nodes,      roots, {orders.data(), trees < 2 ? 0 : trees - 1, points.rows},
                axes.view()};
    }
};

/// Builds the forest and copies the points, in its order, to `ordered`.
///
/// Silpa-Anan, Hartley. Optimised KD-trees for fast image descriptor matching. CVPR 2008: trees
/// over the principal axes, and several of them that differ. Muja, Lowe. Fast approximate nearest
/// neighbors with automatic algorithm configuration. VISAPP 2009: at each node, one of the
/// axes of greatest variance, at the mean; both of 100 points of the node.
///
/// Memory beyond the points: 29 bytes each with one tree; each further tree takes 5 more and gives
/// 4 back, those of a unit of the panels, down to two units. While building, 24 bytes a point more.
/// The same bits for any number of threads, and on every instruction set.
///
/// Requires points.rows < 2^32, `ordered` of the same shape, finite floats, trees >= 1, leaf_size
/// in [1, 65535], drawn_from >= 1, and for bytes points.cols <= max_byte_dims
/// (neighbors/exact.hpp). Throws Interrupted.
template <class T>
KDForestData build_kd_forest(MatrixView<const T> points, const KDForestOptions& options,
                             MatrixView<T> ordered, int threads);

/// Throws std::invalid_argument, saying what, unless searching `forest` stays inside its arrays and
/// ends. O(n * trees) for small reads.
template <class T>
void check_kd_forest(const KDForest<T>& forest);

struct KDSearchOptions {
    /// How many points to look at, of those that are alive. A search ends with the leaf that
    /// reaches it, or before, when no point left can be nearer: with no limit it is exact.
    std::uint64_t checks = std::numeric_limits<std::uint64_t>::max();
    /// A bit for each row number, least significant first; where it is 0 the row is not found.
    /// Empty: all are.
    std::span<const std::uint64_t> alive{};
};

template <class T>
using KDDistance = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

template <class Distance>
using KDNeighbor = Ranked<Distance, std::uint32_t>;

/// The nearest points of each query among those looked at, which are looked at leaf by leaf, from
/// one priority queue of all trees, the cell nearest to the query first; none twice.
///
/// Distances are squared Euclidean, of bytes exact; of floats as in neighbors/squared_distance.hpp.
/// Row i of `distances` and `ids` holds the ids.cols nearest of query i, nearest first, the smaller
/// row number first among equals; then id -1 and the largest distance.
///
/// A point whose code says that it cannot be among them is not compared, and a cell likewise not
/// entered; neither changes a result. Four queries take turns, so that one's memory is fetched
/// while others compute.
///
/// Requires a forest that passes its check, queries.cols == points.cols, ids.cols >= 1, finite
/// floats, and alive of ceil(n / 64) words or none. Safe to call from many threads; throws
/// Interrupted.
template <class T>
void search_kd_forest(const KDForest<T>& forest, MatrixView<const T> queries,
                      const KDSearchOptions& options, MatrixView<KDDistance<T>> distances,
                      MatrixView<std::int64_t> ids, int threads);

/// The same for all points at most at the squared distance `radius`: found[i] holds those of query
/// i. Requires found of a place for each query, and no NaN.
template <class T>
void search_kd_forest_within(const KDForest<T>& forest, MatrixView<const T> queries,
                             KDDistance<T> radius, const KDSearchOptions& options,
                             std::span<std::vector<KDNeighbor<KDDistance<T>>>> found, int threads);

}  // namespace trouvaille
