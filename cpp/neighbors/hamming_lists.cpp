// SPDX-License-Identifier: Apache-2.0
#include "neighbors/hamming_lists.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>
#include <limits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "neighbors/found_row.hpp"
#include "neighbors/hamming_distance.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t block = 512;  // points whose distances are found at a time

using Best = TopK<std::int32_t, std::uint32_t, std::less<std::int32_t>>;

/// Finds the nearest points of lists, one list after another.
class Search {
  public:
    Search(MatrixView<const std::uint8_t> points, std::size_t places)
        : points_(points), items_(places), best_(items_) {}

    void begin() { best_.clear(); }

    void look_into(std::span<const std::uint32_t> list, const std::uint8_t* query) {
        for (std::size_t first = 0; first < list.size(); first += block) {
            const auto part = list.subspan(first, std::min(block, list.size() - first));
            distances_of_(query, points_, part.data(), part.size(), distances_.data());
            push(part);
            poll_.did(part.size() * (points_.cols / 64 + 1));
        }
    }

    std::span<const Best::Item> nearest() { return best_.sorted(); }

  private:
    void push(std::span<const std::uint32_t> part) {
        std::int32_t limit = farthest();
        for (std::size_t i = 0; i < part.size(); ++i) {
            if (distances_[i] > limit) continue;
            best_.push(distances_[i], part[i]);
            limit = farthest();
        }
    }

    /// No point that is farther can be among the nearest.
    std::int32_t farthest() const {
        return best_.full() ? best_.worst().score : std::numeric_limits<std::int32_t>::max();
    }

    MatrixView<const std::uint8_t> points_;
    std::vector<Best::Item> items_;
    Best best_;
    RowDistances<std::uint8_t> distances_of_ = hamming_row_distances();
    std::array<std::int32_t, block> distances_{};
    InterruptPoll poll_;
};

}  // namespace

void hamming_neighbors_in_lists(MatrixView<const std::uint8_t> points, const PointLists& of_points,
                                MatrixView<const std::uint8_t> queries,
                                MatrixView<const std::int64_t> lists,
                                MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                                int threads) {
    assert(queries.cols == points.cols || queries.cols == lists.cols * points.cols);
    assert(ids.cols >= 1 && distances.cols == ids.cols && lists.rows == queries.rows);
    const std::size_t places = std::clamp<std::size_t>(points.rows, 1, ids.cols);
    const std::size_t step = queries.cols == points.cols ? 0 : points.cols;
    parallel_for(queries.rows, 4, threads, [&](std::size_t begin, std::size_t end) {
        Search search(points, places);
        for (std::size_t i = begin; i < end; ++i) {
            search.begin();
            for (std::size_t j = 0; j < lists.cols; ++j) {
                const auto list = static_cast<std::size_t>(lists.row(i)[j]);
                const auto first = static_cast<std::size_t>(of_points.starts[list]);
                const auto last = static_cast<std::size_t>(of_points.starts[list + 1]);
                search.look_into(of_points.points.subspan(first, last - first),
                                 queries.row(i) + j * step);
            }
            FoundRow<std::int32_t>{distances.row(i), ids.row(i), ids.cols}.write(search.nearest());
        }
    });
}

}  // namespace trouvaille
