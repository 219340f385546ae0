// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "core/size.hpp"
#include "neighbors/kd_forest.hpp"
#include "neighbors/kd_panels.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t sample_size = 100;
constexpr std::size_t least_part = 16;      // no side of a split gets less than a sixteenth
constexpr std::size_t parallel_parts = 32;  // subtrees of at most n / 32 are grown in parallel

struct Range {
    std::size_t begin, end;
    std::size_t size() const { return end - begin; }
};

struct Split {
    std::uint8_t axis, threshold;
    std::size_t ties;  // of the codes equal to the threshold, so many go left
};

/// Grows one tree: orders points so that each node's are a range. Splits are stable, so that within
/// a leaf points stay in the order of their numbers, and depend on nothing but codes and seed.
class TreeGrower {
  public:
    TreeGrower(std::span<const Code> codes, const KDForestOptions& options, std::size_t tree,
               std::span<std::uint32_t> order)
        : codes_(codes),
          order_(order),
          spare_(order.size()),
          seed_(options.seed + tree),
          leaf_size_(static_cast<std::size_t>(options.leaf_size)),
          drawn_from_(tree == 0 ? 1 : static_cast<std::size_t>(options.drawn_from)) {
        std::iota(order_.begin(), order_.end(), std::uint32_t{0});
    }

    std::vector<KDNode> grow(int threads) {
        std::vector<Branch> branches{{{0, codes_.size()}, {}, 0, {}}};
        for (std::size_t done = 0; done < branches.size();) {
            const std::size_t level = branches.size();
            parallel_for(level - done, 1, threads, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = done + begin; i < done + end; ++i) work_on(branches[i]);
            });
            for (; done < level; ++done) {
                if (branches[done].middle == 0) continue;
                const Range all = branches[done].range;
                const std::size_t middle = branches[done].middle;
                branches[done].left = branches.size();
                branches.push_back({{all.begin, middle}, {}, 0, {}});
                branches.push_back({{middle, all.end}, {}, 0, {}});
            }
        }
        std::vector<KDNode> nodes;
        collect(branches, 0, nodes);
        return nodes;
    }

  private:
    /// A node near the root, to be split, or a subtree: all its nodes.
    struct Branch {
        Range range;
        std::vector<KDNode> nodes;
        std::size_t middle, left = 0;
    };

    void work_on(Branch& branch) {
        InterruptPoll poll;
        if (branch.range.size() > std::max(codes_.size() / parallel_parts, leaf_size_)) {
            branch.nodes.push_back({});
            branch.middle = divide(branch.range, branch.nodes.back(), poll);
        } else {
            grow_below(branch.range, branch.nodes, poll);
        }
    }

    static void collect(const std::vector<Branch>& branches, std::size_t i,
                        std::vector<KDNode>& nodes) {
        const Branch& branch = branches[i];
        const std::size_t root = nodes.size();
        nodes.insert(nodes.end(), branch.nodes.begin(), branch.nodes.end());
        if (branch.middle == 0) return;
        collect(branches, branch.left, nodes);
        nodes[root].next = static_cast<std::uint32_t>(nodes.size() - root);
        collect(branches, branch.left + 1, nodes);
    }

    void grow_below(Range range, std::vector<KDNode>& nodes, InterruptPoll& poll) {
        const std::size_t root = nodes.size();
        nodes.push_back({});
        if (range.size() <= leaf_size_) {
            nodes[root] = {static_cast<std::uint32_t>(range.begin),
                           static_cast<std::uint16_t>(range.size()), 0, 0};
            return;
        }
        const std::size_t middle = divide(range, nodes[root], poll);
        grow_below({range.begin, middle}, nodes, poll);
        nodes[root].next = static_cast<std::uint32_t>(nodes.size() - root);
        grow_below({middle, range.end}, nodes, poll);
    }

    /// Splits the range, and returns where its right part begins.
    std::size_t divide(Range range, KDNode& node, InterruptPoll& poll) {
        poll.did(range.size());
        Split split = mean_split(range);
        std::size_t middle = partition(range, split);
        const std::size_t smaller = std::min(middle - range.begin, range.end - middle);
        if (smaller * least_part < range.size()) {
            split = median_split(range, split.axis);
            middle = partition(range, split);
        }
        node.axis = split.axis;
        node.threshold = split.threshold;
        return middle;
    }

    /// Of the axes on which a sample varies most, one; above the sample's mean goes right.
    Split mean_split(Range range) const {
        const std::size_t n = std::min(range.size(), sample_size);
        std::array<std::int64_t, axis_count> sums{}, squares{}, spread{};
        for (std::size_t i = 0; i < n; ++i) {
            const Code& code = codes_[order_[range.begin + i * range.size() / n]];
            for (std::size_t a = 0; a < axis_count; ++a) {
                sums[a] += code[a];
                squares[a] += code[a] * code[a];
            }
        }
        const auto count = static_cast<std::int64_t>(n);
        for (std::size_t a = 0; a < axis_count; ++a)
            spread[a] = count * squares[a] - sums[a] * sums[a];
        const std::size_t axis = draw_axis(range, spread);
        const std::int64_t threshold = std::min<std::int64_t>(sums[axis] / count + 1, 255);
        return {static_cast<std::uint8_t>(axis), static_cast<std::uint8_t>(threshold), 0};
    }

    std::size_t draw_axis(Range range, const std::array<std::int64_t, axis_count>& spread) const {
        std::array<std::size_t, axis_count> axes;
        std::iota(axes.begin(), axes.end(), std::size_t{0});
        std::stable_sort(axes.begin(), axes.end(),
                         [&](std::size_t a, std::size_t b) { return spread[a] > spread[b]; });
        std::size_t varied = 1;
        while (varied < std::min(drawn_from_, axis_count) && spread[axes[varied]] > 0) ++varied;
        if (varied == 1) return axes[0];
        Random random(seed_, std::uint64_t{range.begin} << 32 | range.size());
        return axes[random.below(varied)];
    }

    /// Halves the range on `axis`; or, where all are equal there, on the first axis on which they
    /// are not; or, where there is none, by the points' numbers.
    Split median_split(Range range, std::size_t axis) const {
        std::array<std::size_t, 256> histogram = histogram_of(range, axis);
        for (std::size_t a = 0; a < axis_count && is_constant(histogram, range); ++a)
            histogram = histogram_of(range, axis = a);
        const std::size_t half = range.size() / 2;
        std::size_t below = 0, value = 0;
        while (below + histogram[value] <= half) below += histogram[value++];
        return {static_cast<std::uint8_t>(axis), static_cast<std::uint8_t>(value), half - below};
    }

    std::array<std::size_t, 256> histogram_of(Range range, std::size_t axis) const {
        std::array<std::size_t, 256> histogram{};
        for (std::size_t i = range.begin; i < range.end; ++i) ++histogram[codes_[order_[i]][axis]];
        return histogram;
    }

    static bool is_constant(const std::array<std::size_t, 256>& histogram, Range range) {
        return *std::max_element(histogram.begin(), histogram.end()) == range.size();
    }

    std::size_t partition(Range range, const Split& split) {
        std::size_t left = range.begin, right = range.begin, ties = split.ties;
        for (std::size_t i = range.begin; i < range.end; ++i) {
            const std::uint32_t point = order_[i];
            const std::uint8_t code = codes_[point][split.axis];
            const bool tie = code == split.threshold && ties > 0;
            const bool goes_left = code < split.threshold || tie;
            ties -= tie;
            order_[left] = point;  // both are written, and one pointer moves: no branch
            spare_[right] = point;
            left += goes_left;
            right += !goes_left;
        }
        std::copy(&spare_[range.begin], &spare_[range.begin] + (right - range.begin),
                  &order_[range.begin] + (left - range.begin));
        return left;
    }

    std::span<const Code> codes_;
    std::span<std::uint32_t> order_;
    std::vector<std::uint32_t> spare_;
    std::uint64_t seed_;
    std::size_t leaf_size_, drawn_from_;
};

template <class T>
void copy_in_order(MatrixView<const T> points, std::span<const std::uint32_t> order,
                   MatrixView<T> ordered, int threads) {
    constexpr std::size_t ahead = 16;
    parallel_for(order.size(), 8'192, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const T* next = points.row(order[std::min(i + ahead, end - 1)]);
            for (std::size_t b = 0; b < points.cols * sizeof(T) && b < 256; b += 64)
                __builtin_prefetch(reinterpret_cast<const char*>(next) + b);
            std::copy_n(points.row(order[i]), points.cols, ordered.row(i));
        }
    });
}

std::vector<std::uint8_t> pack_panels(std::span<const Code> codes,
                                      std::span<const std::uint32_t> order, std::size_t units,
                                      int threads) {
    std::vector<std::uint8_t> panels(kd::panel_bytes(order.size(), units));
    parallel_for(order.size(), kd::panel * 1'024, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t u = 0; u < units; ++u)
                std::copy_n(&codes[order[i]][4 * u], 4, &panels[kd::panel_byte(i, u, units)]);
    });
    return panels;
}

}  // namespace

template <class T>
KDForestData build_kd_forest(MatrixView<const T> points, const KDForestOptions& options,
                             MatrixView<T> ordered, int threads) {
    assert(ordered.rows == points.rows && ordered.cols == points.cols);
    const std::size_t n = points.rows, trees = static_cast<std::size_t>(options.trees);
    KDForestData forest;
    forest.axes = learn_axes(points);
    if (n == 0) return forest;
    std::vector<Code> codes(n);
    forest.axes.reach = encode(forest.axes.view(), points, std::span<Code>(codes), threads);
    forest.rows.resize(n);
    forest.orders.resize((trees - 1) * n);
    for (std::size_t t = 0; t < trees; ++t) {
        const auto order =
            t == 0 ? std::span(forest.rows) : std::span(forest.orders).subspan((t - 1) * n, n);
        const std::vector<KDNode> nodes = TreeGrower(codes, options, t, order).grow(threads);
        forest.roots.push_back(checked_cast<std::uint32_t>(forest.nodes.size(), "a node"));
        forest.nodes.insert(forest.nodes.end(), nodes.begin(), nodes.end());
    }
    copy_in_order(points, forest.rows, ordered, threads);
    forest.panels = pack_panels(codes, forest.rows, kd::units_for(trees), threads);
    std::vector<std::uint32_t> places(n);
    for (std::size_t i = 0; i < n; ++i) places[forest.rows[i]] = static_cast<std::uint32_t>(i);
    for (std::uint32_t& point : forest.orders) point = places[point];
    return forest;
}

template KDForestData build_kd_forest(MatrixView<const std::uint8_t>, const KDForestOptions&,
                                      MatrixView<std::uint8_t>, int);
template KDForestData build_kd_forest(MatrixView<const float>, const KDForestOptions&,
                                      MatrixView<float>, int);

}  // namespace trouvaille
