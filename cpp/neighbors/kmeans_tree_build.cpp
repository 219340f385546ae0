// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "neighbors/kmeans_panels.hpp"
#include "neighbors/kmeans_train.hpp"
#include "neighbors/kmeans_tree.hpp"
#include "neighbors/kmeans_walk.hpp"

namespace trouvaille {
namespace {

using kmeans::block_bytes, kmeans::panel;

constexpr std::size_t axes_sample = 4'096;

template <class T>
class Centers {
  public:
    explicit Centers(const KMeansTree<T>& tree)
        : lists_(kmeans::levels_of(tree).back()), dims_(tree.points.cols) {}

    std::vector<T> of(std::size_t list) const {
        std::vector<T> center(dims_);
        const std::size_t bytes = kmeans::center_bytes<T>(dims_);
        kmeans::read_center(lists_.centers + list / panel * bytes, list % panel, dims_,
                            center.data());
        return center;
    }

  private:
    kmeans::Level lists_;
    std::size_t dims_;
};

/// From a sample, evenly spaced.
template <class T>
ResidualAxesData learn_axes_of(MatrixView<const T> points, const std::vector<std::uint32_t>& lists,
                               const Centers<T>& centers) {
    const std::size_t rows = std::min(points.rows, axes_sample), dims = points.cols;
    std::vector<double> residuals(rows * dims), sums(dims);
    for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t point = i * points.rows / rows;
        const std::vector<T> center = centers.of(lists[point]);
        for (std::size_t d = 0; d < dims; ++d) {
            const auto value = static_cast<double>(points.row(point)[d]);
            sums[d] += value;
            residuals[i * dims + d] = value - static_cast<double>(center[d]);
        }
    }
    std::vector<float> middle(dims);
    for (std::size_t d = 0; d < dims && rows > 0; ++d)
        middle[d] = static_cast<float>(sums[d] / static_cast<double>(rows));
    return learn_residual_axes({residuals.data(), rows, dims}, middle);
}

/// The points of a tree, if it has any yet, and those to add, list by list.
template <class T>
struct Layout {
    const KMeansTree<T>& old;
    MatrixView<const T> added;
    std::vector<std::uint32_t> starts, places;  // of the added: `places` by list, in their order

    Layout(const KMeansTree<T>& tree, MatrixView<const T> points,
           const std::vector<std::uint32_t>& lists, std::size_t count)
        : old(tree), added(points), starts(count + 1), places(points.rows) {
        for (const std::uint32_t list : lists) ++starts[list + 1];
        for (std::size_t i = 0; i < count; ++i) starts[i + 1] += starts[i];
        std::vector<std::uint32_t> next(starts.begin(), starts.end() - 1);
        for (std::size_t i = 0; i < lists.size(); ++i)
            places[next[lists[i]]++] = static_cast<std::uint32_t>(i);
    }
};

/// Fills the lists [begin, end) of `made`, whose starts and blocks are known.
template <class T>
class Filler {
  public:
    Filler(const Layout<T>& layout, const std::uint32_t* old_starts, KMeansTreeData& made,
           const std::uint32_t* starts, MatrixView<T> ordered)
        : layout_(layout),
          old_starts_(old_starts),
          made_(made),
          starts_(starts),
          ordered_(ordered),
          centers_(layout.old) {}

    void fill(std::size_t list) const {
        const std::size_t kept = keep(list);
        const std::uint32_t begin = layout_.starts[list], end = layout_.starts[list + 1];
        if (begin == end) return;
        const ResidualAxes axes = made_.axes.view();
        const std::vector<T> center = centers_.of(list);
        const std::vector<float> from(center.begin(), center.end());
        const Projection of_center = project<4>(axes, center.data(), axes.middle.data());
        const std::size_t dims = ordered_.cols;
        const auto old_rows = static_cast<std::uint32_t>(layout_.old.rows.size());
        for (std::uint32_t i = begin; i < end; ++i) {
            const std::uint32_t row = layout_.places[i];
            const std::size_t in_list = kept + (i - begin), place = starts_[list] + in_list;
            const T* point = layout_.added.row(row);
            std::copy_n(point, dims, ordered_.row(place));
            made_.rows[place] = old_rows + row;
            kmeans::write_sketch(
                &made_.sketches.data()[(made_.blocks[list] + in_list / panel) * block_bytes],
                in_list % panel, sketch(axes, project<4>(axes, point, from.data()), of_center));
        }
    }

  private:
    /// Copies what the list has, and returns how many points.
    std::size_t keep(std::size_t list) const {
        const KMeansTree<T>& old = layout_.old;
        if (old.rows.empty()) return 0;
        const std::size_t from = old_starts_[list], count = old_starts_[list + 1] - from;
        const std::size_t to = starts_[list], blocks = kmeans::ceil_div(count, panel);
        std::copy_n(old.points.row(from), count * ordered_.cols, ordered_.row(to));
        std::copy_n(&old.rows[from], count, &made_.rows[to]);
        std::memcpy(&made_.sketches.data()[made_.blocks[list] * block_bytes],
                    &old.sketches[old.blocks[list] * block_bytes], blocks * block_bytes);
        return count;
    }

    const Layout<T>& layout_;
    const std::uint32_t* old_starts_;
    KMeansTreeData& made_;
    const std::uint32_t* starts_;
    MatrixView<T> ordered_;
    Centers<T> centers_;
};

/// Sets starts of all levels, those of the lists first, and blocks.
template <class T>
void set_starts(const Layout<T>& layout, const std::vector<kmeans::Level>& levels,
                KMeansTreeData& made) {
    const bool grows = !layout.old.rows.empty();
    const std::size_t lists = layout.starts.size() - 1;
    const std::uint32_t* old_starts = levels.back().starts;
    std::uint32_t* starts = made.starts.data() + made.starts.size() - (lists + 1);
    made.blocks.resize(lists + 1);
    for (std::size_t i = 0; i <= lists; ++i) {
        starts[i] = layout.starts[i] + (grows ? old_starts[i] : 0);
        if (i > 0)
            made.blocks[i] = made.blocks[i - 1] + static_cast<std::uint32_t>(kmeans::ceil_div(
                                                      starts[i] - starts[i - 1], panel));
    }
    for (std::size_t l = levels.size() - 1; l-- > 0;) {
        const std::uint32_t* below = starts;
        starts -= levels[l].panels * panel + 1;
        for (std::size_t i = 0; i <= levels[l].panels * panel; ++i)
            starts[i] = below[levels[l].children[i] * panel];
    }
}

/// `made` has the panels, children and centres of layout.old, and axes.
template <class T>
void lay_out(const Layout<T>& layout, KMeansTreeData& made, MatrixView<T> ordered, int threads) {
    const auto levels = kmeans::levels_of(layout.old);
    const std::size_t lists = layout.starts.size() - 1;
    made.starts.resize(layout.old.starts.size());
    set_starts(layout, levels, made);
    made.rows.resize(ordered.rows);
    made.sketches = Pages<std::uint8_t>(made.blocks.back() * block_bytes);
    const Filler<T> filler(layout, levels.back().starts, made,
                           made.starts.data() + made.starts.size() - (lists + 1), ordered);
    parallel_for(lists, 16, threads, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin) {
            filler.fill(begin);
            check_interrupt();
        }
    });
}

}  // namespace

template <class T>
KMeansTreeData build_kmeans_tree(MatrixView<const T> points, const KMeansTreeOptions& options,
                                 MatrixView<T> ordered, int threads) {
    assert(ordered.rows == points.rows && ordered.cols == points.cols);
    KMeansTreeData trained = kmeans::train(points, options, threads);
    KMeansTreeData made;
    const KMeansTree<T> tree = trained.view(MatrixView<const T>{nullptr, 0, points.cols});
    const auto lists = kmeans::assign(tree, points, threads);
    made.axes = learn_axes_of(points, lists, Centers<T>(tree));
    made.panels = trained.panels;
    made.children = trained.children;
    lay_out(Layout<T>(tree, points, lists, tree.panels.back() * panel), made, ordered, threads);
    made.centers = std::move(trained.centers);
    return made;
}

template <class T>
KMeansTreeData grow_kmeans_tree(const KMeansTree<T>& tree, MatrixView<const T> added,
                                MatrixView<T> ordered, int threads) {
    assert(ordered.rows == tree.points.rows + added.rows && ordered.cols == added.cols);
    const auto lists = kmeans::assign(tree, added, threads);
    KMeansTreeData made;
    made.panels.assign(tree.panels.begin(), tree.panels.end());
    made.children.assign(tree.children.begin(), tree.children.end());
    made.centers = Pages<std::uint8_t>(tree.centers.size());
    std::copy(tree.centers.begin(), tree.centers.end(), made.centers.data());
    made.axes = {{tree.axes.middle.begin(), tree.axes.middle.end()},
                 {tree.axes.directions.data, tree.axes.directions.row(tree.axes.directions.rows)},
                 {tree.axes.steps.begin(), tree.axes.steps.end()},
                 tree.axes.unseen};
    lay_out(Layout<T>(tree, added, lists, tree.panels.back() * panel), made, ordered, threads);
    return made;
}

template KMeansTreeData build_kmeans_tree(MatrixView<const std::uint8_t>, const KMeansTreeOptions&,
                                          MatrixView<std::uint8_t>, int);
template KMeansTreeData build_kmeans_tree(MatrixView<const float>, const KMeansTreeOptions&,
                                          MatrixView<float>, int);
template KMeansTreeData grow_kmeans_tree(const KMeansTree<std::uint8_t>&,
                                         MatrixView<const std::uint8_t>, MatrixView<std::uint8_t>,
                                         int);
template KMeansTreeData grow_kmeans_tree(const KMeansTree<float>&, MatrixView<const float>,
                                         MatrixView<float>, int);

}  // namespace trouvaille
