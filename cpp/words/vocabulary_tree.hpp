// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// A tree of words. Its nodes are numbered level by level, those of a level in the order of their
/// parents, so that the children of a node follow each other. The root has no centre and no number.
///
/// Nister and Stewenius. Scalable recognition with a vocabulary tree. CVPR 2006.
template <class T>
struct VocabularyTree {
    MatrixView<const T> centers;  ///< a node a row
    /// Children of the root: [children[0], children[1]); of node i: [children[i + 1],
    /// children[i + 2]), none where it is a leaf. Of n nodes n + 2 numbers, the last of which is n.
    std::span<const std::uint32_t> children;
};

/// Returns how many levels a tree of so many nodes has; throws std::invalid_argument, saying what,
/// unless `children` are those of one: then every descent ends, inside its arrays.
std::size_t check_vocabulary_tree(std::span<const std::uint32_t> children, std::size_t nodes);

/// What the nodes of one level become.
template <class T>
struct NextLevel {
    std::vector<T> centers;               ///< of all children, in the order of their parents
    std::vector<std::uint32_t> children;  ///< how many each node has
    std::vector<std::uint32_t> rows;      ///< of all children, one behind the other
    std::vector<std::int64_t> starts;     ///< of each child the first of its rows, and their number
    std::vector<double> errors;  ///< of each child the squared distances of its rows, summed
};

struct SplitOptions {
    std::size_t branching = 10;  ///< children of a node at most
    int iterations = 10;         ///< of Lloyd's algorithm at most, for each node
    std::uint64_t seed = 0;
    /// The number of the first node of this level plus one, or 0 for the root: what the random
    /// numbers of a node depend on beside the seed.
    std::uint64_t first = 0;
};

/// Clusters the points of each node of a level: node i has rows [starts[i], starts[i + 1]) of
/// `rows`, which are rows of `points`.
///
/// A node with two or more distinct points (the root: with any) gets up to `branching` children:
/// Lloyd's algorithm begins with as many random points, no two of them equal, and clusters that are
/// empty in the end are left out. So one with no more distinct points than `branching` gets a child
/// for each, and one with a single distinct point is a leaf.
///
/// Parallel over the points of large nodes, and over small nodes. The same bits for any number of
/// threads, and on every instruction set. Scratch memory: a copy of the points, and of as many
/// centres as there may be.
///
/// Requires points.rows < 2^31, starts.size() >= 2 that ascend, rows
/// below points.rows, branching >= 1, iterations >= 0, finite floats, and for bytes points.cols <=
/// max_byte_dims (neighbors/exact.hpp). Throws Interrupted.
template <class T>
NextLevel<T> split_nodes(MatrixView<const T> points, std::span<const std::uint32_t> rows,
                         std::span<const std::int64_t> starts, const SplitOptions& options,
                         int threads);

enum class TreeMetric { l2, hamming };

/// From the root on, each query goes to the nearest child (the smaller number among equals) until
/// it is in a leaf, whose number it gets. Row i of `path` gets the nodes on its way, one a level,
/// then -1, unless `path` has no columns.
///
/// Distances as in neighbors/row_distances.hpp, so that a point that the tree was trained on ends
/// where the training left it; of bits, packed in bytes, the number that differ.
///
/// Requires a tree that passes its check, queries.cols == centers.cols, leaves.size() ==
/// path.rows == queries.rows, path.cols == 0 or no fewer than the levels, and bytes for
/// TreeMetric::hamming. Safe to call from many threads; throws Interrupted.
template <class T>
void descend(const VocabularyTree<T>& tree, MatrixView<const T> queries, TreeMetric metric,
             std::span<std::int64_t> leaves, MatrixView<std::int64_t> path, int threads);

}  // namespace trouvaille
