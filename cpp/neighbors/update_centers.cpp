// SPDX-License-Identifier: Apache-2.0
#include "neighbors/update_centers.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <type_traits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"

namespace trouvaille {
namespace {

/// The points of each cluster, in their order: cluster c has order[begin[c]] to
/// order[begin[c + 1] - 1].
struct Groups {
    std::vector<std::size_t> begin, order;
};

Groups group_by_label(std::span<const std::size_t> labels, std::size_t clusters) {
    Groups groups{std::vector<std::size_t>(clusters + 1), std::vector<std::size_t>(labels.size())};
    for (const std::size_t label : labels) ++groups.begin[label + 1];
    std::partial_sum(groups.begin.begin(), groups.begin.end(), groups.begin.begin());
    std::vector<std::size_t> next(groups.begin.begin(), groups.begin.end() - 1);
    InterruptPoll poll;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        groups.order[next[labels[i]]++] = i;
        poll.did(1);
    }
    return groups;
}

/// The points by falling distance, the smaller number first among equals, one at a time.
template <class Distance>
class Farthest {
  public:
    explicit Farthest(std::span<const Distance> distances)
        : distances_(distances), heap_(distances.size()) {
        std::iota(heap_.begin(), heap_.end(), std::size_t{0});
        std::make_heap(heap_.begin(), heap_.end(), nearer());
    }
    bool empty() const { return heap_.empty(); }
    std::size_t next() {
        std::pop_heap(heap_.begin(), heap_.end(), nearer());
        const std::size_t point = heap_.back();
        heap_.pop_back();
        return point;
    }

  private:
    auto nearer() {
        return [this](std::size_t a, std::size_t b) {
            poll_.did(1);
            return distances_[a] < distances_[b] || (distances_[a] == distances_[b] && a > b);
        };
    }
    std::span<const Distance> distances_;
    std::vector<std::size_t> heap_;
    InterruptPoll poll_;
};

/// Gives empty clusters a point each by changing labels, as the header says; how many got one.
template <class T, class Distance>
std::size_t repair_empty(MatrixView<const T> points, std::span<const Distance> distances,
                         std::size_t clusters, std::span<std::size_t> labels) {
    std::vector<std::size_t> sizes(clusters);
    for (const std::size_t label : labels) ++sizes[label];
    if (std::find(sizes.begin(), sizes.end(), 0) == sizes.end()) return 0;

    Farthest<Distance> farthest(distances);
    std::vector<std::size_t> taken;
    InterruptPoll poll;
    // Copies of a point are at the same distance from their centre, so they follow each other.
    const auto is_taken = [&](std::size_t point) {
        for (auto other = taken.rbegin(); other != taken.rend(); ++other) {
            if (distances[*other] != distances[point]) return false;
            poll.did(points.cols + 1);
            if (std::equal(points.row(point), points.row(point + 1), points.row(*other)))
                return true;
        }
        return false;
    };
    for (std::size_t c = 0; c < clusters; ++c) {
        if (sizes[c] > 0) continue;
        for (;;) {
            if (farthest.empty()) return taken.size();
            const std::size_t point = farthest.next();
            if (distances[point] == 0) return taken.size();
            if (sizes[labels[point]] == 1 || is_taken(point)) continue;
            --sizes[labels[point]];
            labels[point] = c;
            taken.push_back(point);
            break;
        }
        sizes[c] = 1;
    }
    return taken.size();
}

std::uint8_t mean(std::uint64_t sum, std::uint64_t count) {
    return static_cast<std::uint8_t>((2 * sum + count) / (2 * count));
}

float mean(double sum, std::uint64_t count) {
    return static_cast<float>(sum / static_cast<double>(count));
}

template <class T, class Distance>
std::size_t update(MatrixView<const T> points, std::span<const std::int64_t> given_labels,
                   std::span<const Distance> distances, MatrixView<T> centers, int threads) {
    using Sum = std::conditional_t<std::is_same_v<T, float>, double, std::uint64_t>;
    assert(given_labels.size() == points.rows && distances.size() == points.rows);
    assert(centers.cols == points.cols);

    std::vector<std::size_t> labels(given_labels.begin(), given_labels.end());
    const std::size_t repaired = repair_empty(points, distances, centers.rows, std::span(labels));
    const Groups groups = group_by_label(labels, centers.rows);

    // About a million numbers a chunk, were the clusters of one size.
    const std::size_t numbers = points.rows / std::max<std::size_t>(centers.rows, 1) * points.cols;
    const std::size_t grain = (std::size_t{1} << 20) / std::max<std::size_t>(numbers, 1) + 1;
    parallel_for(centers.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
        std::vector<Sum> sums(points.cols);
        InterruptPoll poll;  // one cluster may have most of the points
        for (std::size_t c = begin; c < end; ++c) {
            const std::size_t count = groups.begin[c + 1] - groups.begin[c];
            if (count == 0) continue;
            std::fill(sums.begin(), sums.end(), Sum{});
            polled_for(groups.begin[c], groups.begin[c + 1], points.cols + 1, poll,
                       [&](std::size_t i) {
                           const T* point = points.row(groups.order[i]);
                           for (std::size_t d = 0; d < points.cols; ++d) sums[d] += Sum{point[d]};
                       });
            for (std::size_t d = 0; d < points.cols; ++d) centers.row(c)[d] = mean(sums[d], count);
        }
    });
    return repaired;
}

}  // namespace

std::size_t update_centers(MatrixView<const std::uint8_t> points,
                           std::span<const std::int64_t> labels,
                           std::span<const std::int32_t> distances,
                           MatrixView<std::uint8_t> centers, int threads) {
    return update(points, labels, distances, centers, threads);
}

std::size_t update_centers(MatrixView<const float> points, std::span<const std::int64_t> labels,
                           std::span<const float> distances, MatrixView<float> centers,
                           int threads) {
    return update(points, labels, distances, centers, threads);
}

}  // namespace trouvaille
