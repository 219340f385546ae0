// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "neighbors/each_once.hpp"
#include "neighbors/kd_forest.hpp"
#include "neighbors/kd_panels.hpp"

namespace trouvaille {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument("damaged k-d forest: " + what);
}

template <class T>
void check_sizes(const KDForest<T>& forest) {
    const std::size_t n = forest.points.rows, trees = forest.roots.size();
    require(n <= std::numeric_limits<std::uint32_t>::max(), "too many points");
    require(forest.rows.size() == n, "rows and points differ in number");
    require((trees == 0) == (n == 0), "there must be trees where there are points");
    require(forest.orders.rows == (trees < 2 ? 0 : trees - 1), "trees and orders differ in number");
    require(forest.orders.rows == 0 || forest.orders.cols == n, "orders and points differ");
    const std::size_t units = forest.units();
    require(n == 0 ? forest.panels.empty()
                   : units >= 1 && units <= kd::most_units &&
                         forest.panels.size() == kd::panel_bytes(n, units),
            "panels do not fit the points");
    require(forest.axes.center.size() == forest.points.cols &&
                forest.axes.directions.rows == forest.points.cols &&
                forest.axes.directions.cols == axis_count,
            "axes do not fit the points");
    require(forest.axes.step > 0, "the step must be positive");
}

/// Each node's left and right subtrees follow it and fill what its parent left to it, and the
/// leaves, one after the other, hold all places.
void check_tree(std::span<const KDNode> nodes, std::size_t points) {
    std::vector<std::size_t> ends{nodes.size()};  // of the subtrees not begun, the next one last
    std::size_t held = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const KDNode& node = nodes[i];
        const std::size_t end = ends.back();
        if (node.count == 0) {
            require(node.next >= 2 && node.next < end - i, "a child out of its parent");
            require(node.axis < axis_count, "an axis that does not exist");
            ends.push_back(i + node.next);
        } else {
            require(end == i + 1, "a subtree that does not end with a leaf");
            require(node.next == held && node.count <= points - held, "leaves that do not follow");
            held += node.count;
            ends.pop_back();
        }
    }
    require(held == points, "leaves that do not hold all points");
}

}  // namespace

template <class T>
void check_kd_forest(const KDForest<T>& forest) {
    check_sizes(forest);
    const std::size_t n = forest.points.rows;
    const auto inside = [n](std::uint32_t place) { return place < n; };
    require(has_each_once(forest.rows), "a row out of range, or twice");
    const std::span orders(forest.orders.data, forest.orders.rows * forest.orders.cols);
    require(std::all_of(orders.begin(), orders.end(), inside), "a place out of range");
    for (std::size_t t = 0; t < forest.roots.size(); ++t) {
        const std::size_t begin = forest.roots[t];
        const std::size_t end =
            t + 1 < forest.roots.size() ? forest.roots[t + 1] : forest.nodes.size();
        require(begin < end && end <= forest.nodes.size(), "roots out of order");
        check_tree(forest.nodes.subspan(begin, end - begin), n);
    }
}

template void check_kd_forest(const KDForest<std::uint8_t>&);
template void check_kd_forest(const KDForest<float>&);

}  // namespace trouvaille
