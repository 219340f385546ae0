// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/size.hpp"
#include "neighbors/each_once.hpp"
#include "neighbors/kmeans_panels.hpp"
#include "neighbors/kmeans_tree.hpp"

namespace trouvaille {
namespace {

using kmeans::panel;
using Numbers = std::span<const std::uint32_t>;

constexpr std::size_t most_levels = 8;

void require(bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument("damaged k-means tree: " + what);
}

/// They begin at 0, never fall, and end at `last`.
void require_offsets(Numbers offsets, std::size_t last, const std::string& name) {
    require(offsets.front() == 0 && offsets.back() == last, name + " do not cover all");
    require(std::is_sorted(offsets.begin(), offsets.end()), name + " out of order");
}

/// The parts of starts or children that belong to each level, and how long all are.
struct Parts {
    std::size_t levels, panels = 0, starts = 0, children = 0;

    explicit Parts(Numbers of_levels) : levels(of_levels.size()) {
        for (std::size_t l = 0; l < levels; ++l) {
            panels += of_levels[l];
            starts += std::size_t{of_levels[l]} * panel + 1;
            if (l + 2 == levels) children = starts;
        }
    }
};

template <class T>
void check_sizes(const KMeansTree<T>& tree) {
    const std::size_t n = tree.points.rows, dims = tree.points.cols;
    require(n <= std::numeric_limits<std::uint32_t>::max(), "too many points");
    require(tree.rows.size() == n, "rows and points differ in number");
    require(!tree.panels.empty() && tree.panels.size() <= most_levels, "levels out of range");
    const Parts parts(tree.panels);
    require(tree.starts.size() == parts.starts, "starts do not fit the levels");
    require(tree.children.size() == parts.children, "children do not fit the levels");
    require(
        tree.centers.size() == checked_mul(parts.panels, kmeans::center_bytes<T>(dims), "centers"),
        "centers do not fit the levels");
    require(tree.blocks.size() == std::size_t{tree.panels.back()} * panel + 1,
            "blocks do not fit the lists");
    require(tree.axes.middle.size() == dims && tree.axes.directions.rows == dims &&
                tree.axes.directions.cols == sketch_axes && tree.axes.steps.size() == sketch_axes,
            "axes do not fit the points");
    require(std::all_of(tree.axes.steps.begin(), tree.axes.steps.end(),
                        [](float step) { return step >= 0 && std::isfinite(step); }),
            "steps must not be negative");
    require(tree.axes.unseen >= 0 && tree.axes.unseen <= 1, "unseen must be from 0 to 1");
}

template <class T>
void check_levels(const KMeansTree<T>& tree) {
    Numbers starts = tree.starts, children = tree.children;
    for (std::size_t l = 0; l < tree.panels.size(); ++l) {
        const std::size_t size = std::size_t{tree.panels[l]} * panel + 1;
        require_offsets(starts.first(size), tree.points.rows, "starts");
        if (l + 1 == tree.panels.size()) break;
        require_offsets(children.first(size), tree.panels[l + 1], "children");
        const Numbers below = starts.subspan(size);
        for (std::size_t i = 0; i < size; ++i)
            require(starts[i] == below[children[i] * panel], "points that are not their parent's");
        starts = below;
        children = children.subspan(size);
    }
}

template <class T>
void check_blocks(const KMeansTree<T>& tree) {
    const Numbers starts = tree.starts.last(tree.blocks.size());
    require(tree.blocks[0] == 0, "blocks do not begin at 0");
    for (std::size_t i = 0; i + 1 < starts.size(); ++i)
        require(tree.blocks[i + 1] ==
                    tree.blocks[i] + kmeans::ceil_div(starts[i + 1] - starts[i], panel),
                "blocks do not fit the lists");
    require(tree.sketches.size() == std::size_t{tree.blocks.back()} * kmeans::block_bytes,
            "sketches do not fit the blocks");
}

}  // namespace

template <class T>
void check_kmeans_tree(const KMeansTree<T>& tree) {
    check_sizes(tree);
    check_levels(tree);
    check_blocks(tree);
    require(has_each_once(tree.rows), "a row out of range, or twice");
}

template void check_kmeans_tree(const KMeansTree<std::uint8_t>&);
template void check_kmeans_tree(const KMeansTree<float>&);

}  // namespace trouvaille
