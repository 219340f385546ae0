// SPDX-License-Identifier: Apache-2.0
#include "neighbors/update_centers.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

#include "core/interrupt.hpp"
#include "core/pages.hpp"
#include "core/parallel.hpp"
#include "core/prefetch.hpp"
#include "core/row_set.hpp"
#include "core/size.hpp"
#include "neighbors/hellinger.hpp"

namespace trouvaille {
namespace {

/// The points of each cluster, in their order: cluster c has order[begin[c]] to
/// order[begin[c + 1] - 1].
struct Groups {
    std::vector<std::size_t> begin, order;
};

Groups group_by_label(std::span<const std::int64_t> labels, std::size_t clusters) {
    Groups groups{std::vector<std::size_t>(clusters + 1), std::vector<std::size_t>(labels.size())};
    for (const std::int64_t label : labels) ++groups.begin[static_cast<std::size_t>(label) + 1];
    std::partial_sum(groups.begin.begin(), groups.begin.end(), groups.begin.begin());
    std::vector<std::size_t> next(groups.begin.begin(), groups.begin.end() - 1);
    InterruptPoll poll;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        groups.order[next[static_cast<std::size_t>(labels[i])]++] = i;
        poll.did(1);
    }
    return groups;
}

/// The points by falling distance, the smaller number first among equals, one at a time.
template <class D>
class Farthest {
  public:
    explicit Farthest(std::span<const D> distances)
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
    std::span<const D> distances_;
    std::vector<std::size_t> heap_;
    InterruptPoll poll_;
};

/// The rows of parts, one behind the other, as they are or as histograms whose roots are compared.
template <class T>
class Rows {
  public:
    Rows(std::span<const MatrixView<const T>> parts, bool roots)
        : parts_(parts), starts_(parts.size() + 1), roots_(roots) {
        for (std::size_t i = 0; i < parts.size(); ++i) starts_[i + 1] = starts_[i] + parts[i].rows;
    }
    std::size_t cols() const { return parts_.empty() ? 0 : parts_.front().cols; }
    /// What is compared of a row; `scratch` has a place for each column.
    const T* compared(std::size_t row, std::vector<T>& scratch) const {
        const auto after = std::upper_bound(starts_.begin(), starts_.end(), row);
        const auto part = static_cast<std::size_t>(after - starts_.begin()) - 1;
        const T* given = parts_[part].row(row - starts_[part]);
        if (!roots_) return given;
        root_shares(given, cols(), scratch.data());
        return scratch.data();
    }

  private:
    std::span<const MatrixView<const T>> parts_;
    std::vector<std::size_t> starts_;
    bool roots_;
};

/// Points of which none is a copy of another, given by falling distance: copies of a point are at
/// the same distance from their centre, so they follow each other.
template <class T>
class Taken {
  public:
    explicit Taken(const Rows<T>& rows)
        : rows_(rows), of_point_(rows.cols()), of_other_(rows.cols()), equally_far_(rows.cols()) {}

    /// Takes a point unless it is a copy of one that was taken; says whether it did.
    bool take(std::size_t point, Distance<T> distance) {
        if (distance != distance_) equally_far_.clear();
        distance_ = distance;
        return equally_far_.insert(rows_.compared(point, of_point_), point, [&](std::size_t other) {
            return rows_.compared(other, of_other_);
        });
    }

  private:
    const Rows<T>& rows_;
    std::vector<T> of_point_, of_other_;
    RowSet<T> equally_far_;
    Distance<T> distance_ = 0;
};

/// What up to `at_once` points are summed in first: narrow numbers are added many at a time.
template <class T>
using Partial = std::conditional_t<std::is_same_v<T, float>, double, std::uint16_t>;
constexpr std::size_t at_once = 256;  // times 255 fits 16 bits

/// Adds rows of points to a sum; floats in their order.
template <class T>
void add_members(MatrixView<const T> points, std::span<const std::size_t> members, Sum<T>* sum,
                 std::span<Partial<T>> partial, InterruptPoll& poll) {
    constexpr std::size_t ahead = 16;  // rows whose memory is asked for: they lie anywhere
    const std::size_t dims = points.cols;
    for (std::size_t begin = 0; begin < members.size(); begin += at_once) {
        const std::size_t end = std::min(members.size(), begin + at_once);
        if constexpr (std::is_same_v<T, float>)
            std::copy_n(sum, dims, partial.data());
        else
            std::fill_n(partial.data(), dims, Partial<T>{0});
        for (std::size_t i = begin; i < end; ++i) {
            if (i + ahead < members.size()) prefetch(points.row(members[i + ahead]), dims);
            const T* point = points.row(members[i]);
            for (std::size_t d = 0; d < dims; ++d)
                partial[d] = static_cast<Partial<T>>(partial[d] + point[d]);
        }
        for (std::size_t d = 0; d < dims; ++d)
            if constexpr (std::is_same_v<T, float>)
                sum[d] = partial[d];
            else
                sum[d] += partial[d];
        poll.did((end - begin) * (dims + 1));
    }
}

std::uint8_t mean(std::uint64_t sum, std::uint64_t count, std::uint8_t) {
    return static_cast<std::uint8_t>((2 * sum + count) / (2 * count));
}

template <class S>
float mean(S sum, std::uint64_t count, float) {
    return static_cast<float>(static_cast<double>(sum) / static_cast<double>(count));
}

}  // namespace

template <class T>
void add_to_sums(MatrixView<const T> points, std::span<const std::int64_t> labels,
                 MatrixView<Sum<T>> sums, std::span<std::int64_t> counts, int threads) {
    constexpr std::size_t slice = std::size_t{1} << 20;  // points that are grouped at a time
    assert(labels.size() == points.rows && counts.size() == sums.rows);
    assert(sums.cols == points.cols);
    for (std::size_t first = 0; first < points.rows; first += slice) {
        const std::size_t n = std::min(slice, points.rows - first);
        const Groups groups = group_by_label(labels.subspan(first, n), sums.rows);
        // About a million numbers a chunk, were the clusters of one size.
        const std::size_t numbers = n / std::max<std::size_t>(sums.rows, 1) * points.cols;
        const std::size_t grain = (std::size_t{1} << 20) / std::max<std::size_t>(numbers, 1) + 1;
        parallel_for(sums.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
            std::vector<Partial<T>> partial(points.cols);
            InterruptPoll poll;  // one cluster may have most of the points
            for (std::size_t c = begin; c < end; ++c) {
                const auto members =
                    std::span(groups.order)
                        .subspan(groups.begin[c], groups.begin[c + 1] - groups.begin[c]);
                counts[c] += static_cast<std::int64_t>(members.size());
                add_members(points.slice(first, first + n), members, sums.row(c), partial, poll);
            }
        });
    }
}

template <class S, class Center>
void write_means(MatrixView<const S> sums, std::span<const std::int64_t> counts,
                 MatrixView<Center> centers, int threads) {
    assert(counts.size() == sums.rows && sums.rows == centers.rows && sums.cols == centers.cols);
    parallel_for(centers.rows, 4096, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t c = begin; c < end; ++c) {
            if (counts[c] == 0) continue;
            const auto count = static_cast<std::uint64_t>(counts[c]);
            for (std::size_t d = 0; d < centers.cols; ++d)
                centers.row(c)[d] = mean(sums.row(c)[d], count, Center{});
        }
    });
}

template <class T>
std::size_t repair_empty(std::span<const MatrixView<const T>> parts, bool roots,
                         std::span<const Distance<T>> distances, std::size_t clusters,
                         std::span<std::int64_t> labels) {
    std::vector<std::size_t> sizes(clusters);
    for (const std::int64_t label : labels) ++sizes[static_cast<std::size_t>(label)];
    if (std::find(sizes.begin(), sizes.end(), 0) == sizes.end()) return 0;

    Farthest<Distance<T>> farthest(distances);
    const Rows<T> rows(parts, roots);
    Taken<T> taken(rows);
    std::size_t repaired = 0;
    for (std::size_t c = 0; c < clusters; ++c) {
        if (sizes[c] > 0) continue;
        for (;;) {
            if (farthest.empty()) return repaired;
            const std::size_t point = farthest.next();
            if (distances[point] == 0) return repaired;
            std::size_t& size = sizes[static_cast<std::size_t>(labels[point])];
            if (size == 1 || !taken.take(point, distances[point])) continue;
            --size;
            labels[point] = static_cast<std::int64_t>(c);
            ++repaired;
            break;
        }
        sizes[c] = 1;
    }
    return repaired;
}

template <class T>
std::size_t update_centers(MatrixView<const T> points, std::span<std::int64_t> labels,
                           std::span<const Distance<T>> distances, MatrixView<T> centers,
                           int threads) {
    assert(distances.size() == points.rows && centers.cols == points.cols);
    const std::size_t repaired =
        repair_empty<T>(std::span(&points, 1), false, distances, centers.rows, labels);
    Pages<Sum<T>> memory(checked_mul(centers.rows, centers.cols, "the sums of clusters"));
    const MatrixView<Sum<T>> sums{memory.data(), centers.rows, centers.cols};
    std::vector<std::int64_t> counts(centers.rows);
    add_to_sums(points, std::span<const std::int64_t>(labels), sums, std::span(counts), threads);
    write_means(MatrixView<const Sum<T>>{sums.data, sums.rows, sums.cols},
                std::span<const std::int64_t>(counts), centers, threads);
    return repaired;
}

#define INSTANTIATE(T)                                                                \
    template void add_to_sums(MatrixView<const T>, std::span<const std::int64_t>,     \
                              MatrixView<Sum<T>>, std::span<std::int64_t>, int);      \
    template std::size_t repair_empty(std::span<const MatrixView<const T>>, bool,     \
                                      std::span<const Distance<T>>, std::size_t,      \
                                      std::span<std::int64_t>);                       \
    template std::size_t update_centers(MatrixView<const T>, std::span<std::int64_t>, \
                                        std::span<const Distance<T>>, MatrixView<T>, int);
INSTANTIATE(std::uint8_t)
INSTANTIATE(float)
#undef INSTANTIATE
template void write_means(MatrixView<const std::uint64_t>, std::span<const std::int64_t>,
                          MatrixView<std::uint8_t>, int);
template void write_means(MatrixView<const std::uint64_t>, std::span<const std::int64_t>,
                          MatrixView<float>, int);
template void write_means(MatrixView<const double>, std::span<const std::int64_t>,
                          MatrixView<float>, int);

}  // namespace trouvaille
