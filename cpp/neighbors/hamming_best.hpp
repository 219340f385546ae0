// SPDX-License-Identifier: Apache-2.0
#pragma once

// Selection by counting: distances between codes are small whole numbers. Private to neighbors/.

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/interrupt.hpp"
#include "core/target.hpp"
#include "neighbors/hamming_scan.hpp"

namespace trouvaille::hamming {

/// The k nearest of a stream of rows in ascending order, and how many there are at each distance.
///
/// Whatever is nearer than threshold() enters. The threshold is the k-th smallest distance so far:
/// a later row that is as far ranks behind. So at most k rows at each distance ever enter, and of
/// those up to the k-th smallest distance there are fewer than 2k.
class CountedBest {
  public:
    CountedBest(std::size_t k, std::size_t bits) : k_(k), counts_(bits + 1) { clear(); }

    void clear() {
        std::fill(counts_.begin(), counts_.end(), 0);
        items_.clear();
        last_ = counts_.size() - 1;
        within_ = 0;
    }

    std::int32_t threshold() const {
        return static_cast<std::int32_t>(within_ < k_ ? counts_.size() : last_);
    }

    /// Requires distance < threshold().
    void push(std::int32_t distance, std::uint32_t row) {
        assert(distance < threshold());
        ++counts_[static_cast<std::size_t>(distance)];
        ++within_;
        items_.push_back({distance, row});
        while (within_ - counts_[last_] >= k_) within_ -= counts_[last_--];
        if (items_.size() >= 3 * k_ + 64) drop_beyond_last();
    }

    CountedBest another() const { return CountedBest(k_, counts_.size() - 1); }

    /// Takes over what later rows gave.
    void take(const CountedBest& later) {
        for (const HammingNeighbor& item : later.items_)
            if (item.score < threshold()) push(item.score, item.id);
    }

    /// Writes the k nearest, nearest first, or as many as there are. Ends the stream.
    void write(std::int32_t* distances, std::int64_t* ids) {
        std::size_t place = 0;
        for (std::size_t d = 0; d <= last_; ++d) {  // counts become places
            const std::uint32_t count = counts_[d];
            counts_[d] = static_cast<std::uint32_t>(place);
            place += count;
        }
        InterruptPoll poll;
        for (const HammingNeighbor& item : items_) {
            poll.did(1);
            const auto d = static_cast<std::size_t>(item.score);
            if (d > last_ || counts_[d] >= k_) continue;
            distances[counts_[d]] = item.score;
            ids[counts_[d]++] = item.id;
        }
    }

  private:
    void drop_beyond_last() {
        const auto limit = static_cast<std::int32_t>(last_);
        std::erase_if(items_, [limit](const HammingNeighbor& item) { return item.score > limit; });
    }

    std::size_t k_;
    std::vector<std::uint32_t> counts_;   // items at each distance
    std::vector<HammingNeighbor> items_;  // in ascending order of rows; some may be beyond last_
    std::size_t last_ = 0;                // the least distance up to which there are k, or the most
    std::size_t within_ = 0;              // items up to last_
};

/// All rows of a stream that are within a radius.
class AllWithin {
  public:
    explicit AllWithin(std::int32_t radius) : threshold_(radius + 1) {}

    std::int32_t threshold() const { return threshold_; }
    void push(std::int32_t distance, std::uint32_t row) { items.push_back({distance, row}); }
    AllWithin another() const { return AllWithin(threshold_ - 1); }

    void take(const AllWithin& later) {
        items.insert(items.end(), later.items.begin(), later.items.end());
    }

    std::vector<HammingNeighbor> items;  // in ascending order of rows

  private:
    std::int32_t threshold_;
};

using Alive = std::span<const std::uint64_t>;  // a bit for each row, or none: all are

/// Shows a collector the rows of `passing`: bit j is row first + j, at distances[j].
template <class Collector>
ALWAYS_INLINE void offer(std::uint64_t passing, const std::int32_t* distances, std::uint32_t first,
                         Alive alive, Collector& collector) {
    for (; passing != 0; passing &= passing - 1) {
        const auto j = static_cast<std::uint32_t>(std::countr_zero(passing));
        const std::uint32_t row = first + j;
        if (!has_bit(alive, row)) continue;
        if (distances[j] < collector.threshold()) collector.push(distances[j], row);
    }
}

}  // namespace trouvaille::hamming
