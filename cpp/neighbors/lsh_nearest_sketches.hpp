// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "neighbors/lsh_scan.hpp"

namespace trouvaille::lsh {

/// The points of the least costs, at least `wanted` of them if there are so many: all whose cost is
/// at most the least one that this allows. So it does not matter in which order they come.
class NearestSketches {
  public:
    /// `points` is how many there are if one may come twice, else 0.
    void start(std::uint64_t wanted, std::size_t points) {
        forget_seen();
        found_.clear();
        counts_.fill(0);
        wanted_ = wanted;
        within_ = 0;
        limit_ = most_cost;
        watch_ = points > 0;
        if (seen_.size() < (points + 63) / 64) seen_.resize((points + 63) / 64);
    }

    /// What costs more is not among them.
    std::uint8_t limit() const { return limit_; }

    void push(const Sketched& point) {
        if (point.cost > limit_ || (watch_ && !see(point.place))) return;
        found_.push_back(point);
        ++counts_[point.cost];
        ++within_;
        while (within_ - counts_[limit_] >= wanted_) within_ -= counts_[limit_--];
    }

    /// How many there are; more only if they were wanted.
    std::uint64_t size() const { return within_; }

    /// Appends their places.
    void take(std::vector<std::uint32_t>& places) const {
        for (const Sketched& point : found_)
            if (point.cost <= limit_) places.push_back(point.place);
    }

  private:
    bool see(std::uint32_t place) {
        std::uint64_t& word = seen_[place / 64];
        const std::uint64_t bit = std::uint64_t{1} << place % 64;
        if ((word & bit) != 0) return false;
        word |= bit;
        return true;
    }
    void forget_seen() {
        if (watch_)
            for (const Sketched& point : found_) seen_[point.place / 64] = 0;
    }

    std::vector<Sketched> found_;
    std::vector<std::uint64_t> seen_;  // a bit a place; of those in found_ between two calls
    std::array<std::uint64_t, most_cost + 1> counts_{};
    std::uint64_t wanted_ = 1, within_ = 0;
    bool watch_ = false;
    std::uint8_t limit_ = most_cost;
};

}  // namespace trouvaille::lsh
