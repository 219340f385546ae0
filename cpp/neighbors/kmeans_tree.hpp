// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "core/view.hpp"
#include "neighbors/residual_axes.hpp"
#include "neighbors/row_distances.hpp"

namespace trouvaille {

/// A tree of k-means clusters over n points, all in plain arrays.
///
/// Each level has its nodes in the order of their parents, so that a node's points, which lie in
/// the order of the lowest level's nodes, its lists, are neighbours. Nodes come in panels of 16
/// (neighbors/kmeans_panels.hpp); a parent has whole panels of children, the last filled up with
/// nodes without points.
template <class T>
struct KMeansTree {
    MatrixView<const T> points;
    std::span<const std::uint32_t> rows;    ///< n: the number of each point's row when built
    std::span<const std::uint32_t> panels;  ///< a level: how many panels of nodes it has
    /// Of each level's nodes the place of the first point, and n: 16 * panels + 1 a level.
    std::span<const std::uint32_t> starts;
    /// Of the nodes of each level but the lowest the first panel of children, and the number of
    /// all: 16 * panels + 1 a level.
    std::span<const std::uint32_t> children;
    std::span<const std::uint8_t> centers;   ///< a panel after the other, the highest level first
    std::span<const std::uint32_t> blocks;   ///< a list: its first block of sketches; and all
    std::span<const std::uint8_t> sketches;  ///< blocks of 16 points of one list
    ResidualAxes axes;
};

struct KMeansTreeOptions {
    std::size_t branching = 90;  ///< nodes of the highest level, and children of a node on average
    int levels = 2;              ///< one: an inverted file; more: a vocabulary tree
    int iterations = 6;          ///< of Lloyd's algorithm, each time
    std::uint64_t seed = 0;
};

/// The arrays behind KMeansTree, but for the points, whose memory is the caller's.
struct KMeansTreeData {
    std::vector<std::uint32_t> rows, panels, starts, children, blocks;
    Pages<std::uint8_t> centers, sketches;
    ResidualAxesData axes;

    template <class T>
    KMeansTree<T> view(MatrixView<const T> points) const {
        return {points,         rows,   panels,          starts,     children,
                centers.span(), blocks, sketches.span(), axes.view()};
    }
};

/// Clusters a sample of the points, each cluster's part of it once more, and so on; puts each point
/// into the list of the nearest centre that a search for it finds, and copies the points, in the
/// order of their lists, to `ordered`.
///
/// Nister and Stewenius. Scalable recognition with a vocabulary tree. CVPR 2006. Muja and Lowe.
/// Fast approximate nearest neighbors with automatic algorithm configuration. VISAPP 2009.
///
/// Within a parent the number of children is in proportion to its points. Memory beyond the points:
/// 32 bytes each, some 250 a list, and the centres. The same bits for any number of threads, and on
/// every instruction set.
///
/// Requires points.rows < 2^30, `ordered` of the same shape, finite floats, branching >= 1, levels
/// in [1, 8], iterations >= 0, and for bytes points.cols <= max_byte_dims (neighbors/exact.hpp).
/// Throws Interrupted.
template <class T>
KMeansTreeData build_kmeans_tree(MatrixView<const T> points, const KMeansTreeOptions& options,
                                 MatrixView<T> ordered, int threads);

/// The tree with `added` points, as rows that follow those it has: its centres stay, and each goes
/// into its list. Copies all points to `ordered`.
template <class T>
KMeansTreeData grow_kmeans_tree(const KMeansTree<T>& tree, MatrixView<const T> added,
                                MatrixView<T> ordered, int threads);

/// Throws std::invalid_argument, saying what, unless searching `tree` stays inside its arrays.
template <class T>
void check_kmeans_tree(const KMeansTree<T>& tree);

struct KMeansSearchOptions {
    static constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();

    /// How many points to look at, of those that are alive: a search ends with the list that
    /// reaches it. With as many as there are, all are compared: exact.
    std::uint64_t checks = all;
    /// A bit for each row number, least significant first; where it is 0 the row is not found.
    /// Empty: all are.
    std::span<const std::uint64_t> alive{};
};

/// The nearest points of each query among those looked at: the points of the lists of the nearest
/// centres. All are looked at in sketches (neighbors/residual_axes.hpp), and the nearest by these
/// are compared themselves: 2 k + 40, and the more, the less of the points' variance sketches see.
/// Where squared distances are nearly beyond float32 (2^112 or more, or less than 2^-120), so are
/// estimates: all points looked at are compared, and if no centre is nearer than 2^120, simply all.
///
/// Distances are squared Euclidean, of bytes exact; of floats as in neighbors/row_distances.hpp.
/// Row i of `distances` and `ids` holds the ids.cols nearest of query i, nearest first, the smaller
/// row number first among equals; then id -1 and the largest distance.
///
/// Requires a tree that passes its check, queries.cols == points.cols, ids.cols >= 1, finite
/// floats, and alive of ceil(n / 64) words or none. Safe to call from many threads; throws
/// Interrupted.
template <class T>
void search_kmeans_tree(const KMeansTree<T>& tree, MatrixView<const T> queries,
                        const KMeansSearchOptions& options, MatrixView<Distance<T>> distances,
                        MatrixView<std::int64_t> ids, int threads);

}  // namespace trouvaille
