// SPDX-License-Identifier: Apache-2.0
#include "neighbors/kmeans_train.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "neighbors/kmeans_panels.hpp"
#include "neighbors/lloyd.hpp"

namespace trouvaille::kmeans {
namespace {

constexpr std::size_t sample_a_list = 32;  // points, on average

/// Rows of the sample in one cluster, in the order in which they were drawn.
using Members = std::vector<std::uint32_t>;

template <class T>
struct Clusters {
    std::vector<T> centers;
    std::vector<Members> members;  // of each centre; the last panel is filled up with none
};

std::vector<std::uint32_t> draw(std::size_t n, std::size_t count, std::uint64_t seed) {
    std::vector<std::uint32_t> rows(n);
    std::iota(rows.begin(), rows.end(), std::uint32_t{0});
    Random random(seed, 0);
    InterruptPoll poll;
    for (std::size_t i = 0; i < count; ++i) {
        std::swap(rows[i], rows[i + random.below(n - i)]);
        poll.did(8);
    }
    rows.resize(count);
    return rows;
}

template <class T>
std::vector<T> gather(MatrixView<const T> points, const Members& rows) {
    std::vector<T> values(rows.size() * points.cols);
    for (std::size_t i = 0; i < rows.size(); ++i)
        std::copy_n(points.row(rows[i]), points.cols, &values[i * points.cols]);
    return values;
}

/// Lloyd's algorithm, from the first `count` members on.
template <class T>
Clusters<T> cluster(MatrixView<const T> points, const Members& members, std::size_t count,
                    int iterations, int threads) {
    const std::vector<T> values = gather(points, members);
    const std::size_t n = members.size(), dims = points.cols;
    Clusters<T> made;
    made.centers.assign(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count * dims));
    made.members.resize(ceil_div(count, panel) * panel);
    const Nearest<T> nearest =
        lloyd<T>({values.data(), n, dims}, {made.centers.data(), count, dims}, iterations, threads);
    for (std::size_t i = 0; i < n; ++i)
        made.members[static_cast<std::size_t>(nearest.ids[i])].push_back(members[i]);
    return made;
}

/// Of `total` children the part of a node with `members` of `sample` points: of more than a panel,
/// whole panels.
std::size_t children_of(std::size_t members, std::size_t sample, double total) {
    const double share = total * static_cast<double>(members) /
                         static_cast<double>(std::max<std::size_t>(sample, 1));
    double count = std::max(1.0, std::round(share));
    if (share > panel) count = std::round(share / panel) * panel;
    return std::min(static_cast<std::size_t>(std::min(count, 1e9)), members);
}

/// The children of each of the nodes.
template <class T>
std::vector<Clusters<T>> cluster_each(MatrixView<const T> points, const std::vector<Members>& nodes,
                                      double total, int iterations, int threads) {
    std::size_t sample = 0;
    for (const Members& members : nodes) sample += members.size();
    std::vector<Clusters<T>> all(nodes.size());
    const auto cluster_one = [&](std::size_t i, int own_threads) {
        const std::size_t count = children_of(nodes[i].size(), sample, total);
        if (count > 0) all[i] = cluster(points, nodes[i], count, iterations, own_threads);
    };
    if (nodes.size() == 1) {
        cluster_one(0, threads);
        return all;
    }
    parallel_for(nodes.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin) cluster_one(begin, 1);
    });
    return all;
}

template <class T>
void append_centers(const std::vector<T>& centers, std::size_t dims,
                    std::vector<std::uint8_t>& to) {
    const std::size_t count = dims == 0 ? 0 : centers.size() / dims;
    const std::size_t bytes = center_bytes<T>(dims), begin = to.size();
    to.resize(begin + ceil_div(count, panel) * bytes);
    for (std::size_t i = 0; i < count; ++i)
        write_center(&to[begin + i / panel * bytes], i % panel, &centers[i * dims], dims);
}

/// Adds a level whose nodes are the clusters, and returns their members.
template <class T>
std::vector<Members> add_level(std::vector<Clusters<T>>& clusters, bool highest, std::size_t dims,
                               KMeansTreeData& tree, std::vector<std::uint8_t>& centers) {
    std::vector<Members> nodes;
    for (Clusters<T>& of_parent : clusters) {
        if (!highest) tree.children.push_back(static_cast<std::uint32_t>(nodes.size() / panel));
        append_centers(of_parent.centers, dims, centers);
        std::move(of_parent.members.begin(), of_parent.members.end(), std::back_inserter(nodes));
    }
    const auto panels = static_cast<std::uint32_t>(nodes.size() / panel);
    if (!highest) tree.children.push_back(panels);
    tree.panels.push_back(panels);
    std::uint32_t start = 0;
    for (const Members& members : nodes) {
        tree.starts.push_back(start);
        start += static_cast<std::uint32_t>(members.size());
    }
    tree.starts.push_back(start);
    return nodes;
}

}  // namespace

template <class T>
KMeansTreeData train(MatrixView<const T> points, const KMeansTreeOptions& options, int threads) {
    const auto branching = static_cast<double>(options.branching);
    double lists = 1;
    for (int level = 0; level < options.levels; ++level) lists = std::min(lists * branching, 1e9);
    const std::size_t enough = static_cast<std::size_t>(lists) * sample_a_list;
    std::vector<Members> nodes{draw(points.rows, std::min(points.rows, enough), options.seed)};
    KMeansTreeData tree;
    std::vector<std::uint8_t> centers;
    double total = 1;
    for (int level = 0; level < options.levels; ++level) {
        total = std::min(total * branching, 1e9);
        auto clusters = cluster_each(points, nodes, total, options.iterations, threads);
        nodes = add_level(clusters, level == 0, points.cols, tree, centers);
    }
    tree.centers = Pages<std::uint8_t>(centers.size());
    std::copy(centers.begin(), centers.end(), tree.centers.data());
    return tree;
}

template KMeansTreeData train(MatrixView<const std::uint8_t>, const KMeansTreeOptions&, int);
template KMeansTreeData train(MatrixView<const float>, const KMeansTreeOptions&, int);

}  // namespace trouvaille::kmeans
