// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "neighbors/kmeans_kernels.hpp"
#include "neighbors/kmeans_tree.hpp"

namespace trouvaille::kmeans {

struct Node {
    float distance;
    std::uint32_t number;
};

/// Of nodes with some points each, the nearest that have as many points as are wanted.
///
/// Distances are counted by their first bits as floats, 128 for each power of two, so that those
/// too far are known as soon as enough points are nearer; they are not kept.
class NearestNodes {
  public:
    void start(std::uint64_t points) {
        wanted_ = points;
        points_ = 0;
        nodes_.clear();
        limit_ = std::numeric_limits<float>::infinity();
        last_ = buckets - 1;
    }

    /// Beyond it a node is not wanted.
    float limit() const { return limit_; }

    /// `starts` are those of the nodes of one level.
    ALWAYS_INLINE void push(const float* distances, const std::uint32_t* numbers, std::size_t count,
                            const std::uint32_t* starts) {
        if (nodes_.empty()) begin(distances, count);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t points = starts[numbers[i] + 1] - starts[numbers[i]];
            if (points == 0) continue;
            const std::size_t bucket = bucket_of(distances[i]);
            counts_[bucket] += points;
            ++sizes_[bucket];
            points_ += points;
            nodes_.push_back({distances[i], numbers[i]});
        }
        while (points_ - counts_[last_] >= wanted_ && last_ > 0) points_ -= counts_[last_--];
        if (last_ + 1 < buckets) {
            const auto next = static_cast<std::uint32_t>(last_ + 1) + first_;
            limit_ = std::bit_cast<float>((next << shift) - 1);
        }
    }

    /// Nearest first, but for those in one bucket, which are as they came; the last one has the
    /// last of the points that were wanted.
    std::span<const Node> sorted(const std::uint32_t* starts) {
        if (nodes_.empty()) return {};
        std::uint32_t next[buckets], begin = 0;
        for (std::size_t b = 0; b <= last_; ++b) {
            next[b] = begin;
            begin += sizes_[b];
        }
        sorted_.resize(begin);
        for (const Node& node : nodes_) {
            const std::size_t bucket = bucket_of(node.distance);
            if (bucket <= last_) sorted_[next[bucket]++] = node;
        }
        sort_ends(next[0]);
        std::uint64_t points = 0;
        std::size_t kept = 0;
        while (kept < sorted_.size() && points < wanted_) {
            const std::uint32_t number = sorted_[kept++].number;
            points += starts[number + 1] - starts[number];
        }
        return std::span(sorted_).first(kept);
    }

    /// The smaller number among equals. Requires that a node was pushed.
    Node nearest() const { return *std::min_element(nodes_.begin(), nodes_.end(), is_nearer); }

  private:
    static bool is_nearer(const Node& a, const Node& b) {
        return a.distance < b.distance || (a.distance == b.distance && a.number < b.number);
    }
    // The first bucket holds whatever is nearer, the last one whatever is farther.
    void sort_ends(std::size_t first_size) {
        const auto begin = sorted_.begin(), end = sorted_.end();
        std::sort(begin, begin + static_cast<std::ptrdiff_t>(first_size), is_nearer);
        if (last_ == buckets - 1)
            std::sort(end - static_cast<std::ptrdiff_t>(sizes_[last_]), end, is_nearer);
    }

    static constexpr std::uint32_t shift = 16, below = 128;
    static constexpr std::size_t buckets = 1'024;

    void begin(const float* distances, std::size_t count) {
        std::fill_n(counts_, buckets, 0);
        std::fill_n(sizes_, buckets, 0);
        const float least = count == 0 ? 0 : *std::min_element(distances, distances + count);
        first_ = std::max(std::bit_cast<std::uint32_t>(least) >> shift, below) - below;
    }
    std::size_t bucket_of(float distance) const {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(distance) >> shift;
        return std::min<std::size_t>(bits < first_ ? 0 : bits - first_, buckets - 1);
    }

    std::uint64_t wanted_ = 0, points_ = 0;
    float limit_ = 0;
    std::uint32_t first_ = 0;
    std::size_t last_ = 0;
    std::uint64_t counts_[buckets];
    std::uint32_t sizes_[buckets];
    std::vector<Node> nodes_, sorted_;
};

/// The nodes of one level of a tree.
struct Level {
    const std::uint32_t *starts, *children;  // the latter null at the lowest
    const std::uint8_t* centers;
    std::size_t panels;
};

template <class T>
std::vector<Level> levels_of(const KMeansTree<T>& tree) {
    std::vector<Level> levels;
    const std::uint32_t *starts = tree.starts.data(), *children = tree.children.data();
    const std::uint8_t* centers = tree.centers.data();
    for (const std::uint32_t panels : tree.panels) {
        const bool lowest = levels.size() + 1 == tree.panels.size();
        levels.push_back({starts, lowest ? nullptr : children, centers, panels});
        starts += panels * panel + 1;
        children += panels * panel + 1;
        centers += panels * center_bytes<T>(tree.points.cols);
    }
    return levels;
}

/// Finds lists: at each level compares the query with the children of the nearest nodes of the
/// level above.
template <class Kernel, class T>
class Descent {
  public:
    /// The nearest lists, nearest first, with `points` in all, below nodes with `opened` in all.
    ALWAYS_INLINE std::span<const Node> find(std::span<const Level> levels, const T* query,
                                             std::size_t dims, std::uint64_t opened,
                                             std::uint64_t points) {
        query_.start(query, dims);
        std::span<const Node> nodes;
        for (std::size_t l = 0; l < levels.size(); ++l) {
            NearestNodes& nearest = nearest_[l % 2];
            nearest.start(l + 1 == levels.size() ? points : opened);
            if (l == 0) compare(levels[0], 0, levels[0].panels, dims, nearest);
            for (const Node& node : nodes) {
                const std::uint32_t* children = levels[l - 1].children + node.number;
                compare(levels[l], children[0], children[1], dims, nearest);
            }
            nodes = nearest.sorted(levels[l].starts);
        }
        return nodes;
    }

    /// Of the lists that were found the nearest.
    Node nearest(std::span<const Level> levels) const {
        return nearest_[(levels.size() - 1) % 2].nearest();
    }

  private:
    ALWAYS_INLINE void compare(const Level& level, std::size_t begin, std::size_t end,
                               std::size_t dims, NearestNodes& nearest) {
        const std::size_t bytes = center_bytes<T>(dims);
        for (; begin < end; begin += most_panels) {
            const std::size_t count = std::min(end - begin, most_panels);
            const std::size_t found = Kernel::near(query_, level.centers + begin * bytes, count,
                                                   static_cast<std::uint32_t>(begin * panel),
                                                   nearest.limit(), distances_, numbers_);
            nearest.push(distances_, numbers_, found, level.starts);
        }
    }

    static constexpr std::size_t most_panels = 8;
    CenterQuery<T> query_;
    NearestNodes nearest_[2];
    float distances_[(most_panels + 1) * panel];
    std::uint32_t numbers_[(most_panels + 1) * panel];
};

}  // namespace trouvaille::kmeans
