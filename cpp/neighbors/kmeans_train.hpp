// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/view.hpp"
#include "neighbors/kmeans_tree.hpp"

namespace trouvaille::kmeans {

/// Trains the centres of a tree on a sample of the points: its panels, children and centers, and
/// starts that count the sample.
template <class T>
KMeansTreeData train(MatrixView<const T> points, const KMeansTreeOptions& options, int threads);

/// The list of each point.
template <class T>
std::vector<std::uint32_t> assign(const KMeansTree<T>& tree, MatrixView<const T> points,
                                  int threads);

}  // namespace trouvaille::kmeans
