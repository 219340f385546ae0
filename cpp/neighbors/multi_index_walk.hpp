// SPDX-License-Identifier: Apache-2.0
#pragma once

// One query's way through the tables of a multi-index; see multi_index.hpp. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/interrupt.hpp"
#include "core/target.hpp"
#include "core/topk.hpp"
#include "neighbors/differing_bits.hpp"
#include "neighbors/multi_index.hpp"
#include "neighbors/substrings.hpp"

namespace trouvaille::hamming {

/// What a walk costs, against what a scan by many queries costs: how many words of 32 bits a scan
/// compares while a value is looked up, or a point in a list compared. Measured where VPOPCNTD
/// exists; elsewhere scans are slower, and walks given up too early.
inline constexpr std::size_t cost_of_probe = 400, cost_of_point = 40;

/// How many values differ from one in `flips` of `length` bits; any number above `most` if it is.
inline std::size_t shell_size(std::size_t length, std::size_t flips, std::size_t most) {
    std::size_t size = 1;
    for (std::size_t i = 0; i < flips && size <= most; ++i) size = size * (length - i) / (i + 1);
    return size;
}

/// The next larger word of as many bits; Warren, "Hacker's Delight", 2-1. Requires word != 0.
ALWAYS_INLINE std::uint64_t next_of_as_many_bits(std::uint64_t word) {
    const std::uint64_t lowest = word & (~word + 1), ripple = word + lowest;
    return ((ripple ^ word) >> 2) / lowest | ripple;
}

// What a walk is for, a Goal, is a class with
//   limit()               points farther than this are not wanted
//   complete(radius)      are all points within `radius`, which are known, enough?
//   take(distance, row)   a point within the limit, each once

/// The k nearest.
struct NearestGoal {
    TopK<std::int32_t, std::uint32_t, std::less<std::int32_t>> best;

    std::int32_t limit() const {
        return best.full() ? best.worst().score : std::numeric_limits<std::int32_t>::max();
    }
    bool complete(std::size_t radius) const {
        return best.full() && static_cast<std::size_t>(best.worst().score) <= radius;
    }
    void take(std::int32_t distance, std::uint32_t row) { best.push(distance, row); }
};

/// All within a radius.
struct WithinGoal {
    std::int32_t radius;
    std::vector<HammingNeighbor>& found;

    std::int32_t limit() const { return radius; }
    bool complete(std::size_t known) const { return known >= static_cast<std::size_t>(radius); }
    void take(std::int32_t distance, std::uint32_t row) { found.push_back({distance, row}); }
};

template <class Goal>
class Walk {
  public:
    Walk(const MultiIndex& index, std::span<const Substring> substrings,
         std::span<const std::uint64_t> alive, const std::uint8_t* query, Goal& goal)
        : index_(index),
          substrings_(substrings),
          alive_(alive),
          query_(query),
          goal_(goal),
          cost_of_scan_(index.points.rows * ((index.points.cols + 3) / 4)) {}

    /// False if a scan is cheaper: what the goal has then is not all.
    ALWAYS_INLINE bool run() {
        const std::size_t m = substrings_.size();
        const std::size_t shells = m * (substrings_.back().length + 1);
        for (std::size_t shell = 0; shell < shells; ++shell) {
            if (!is_cheaper(shell)) return false;
            if (!probe(shell % m, shell / m)) return false;
            if (goal_.complete(shell)) return true;
        }
        return true;  // every value of every table was looked up
    }

  private:
    static constexpr std::size_t batch = 64;

    /// Will the walk from this shell to the last one that may be needed, by what is known and at
    /// the cost of probes so far, cost less than a scan?
    bool is_cheaper(std::size_t shell) const {
        if (cost_ > cost_of_scan_) return false;
        const std::size_t each = std::max(cost_of_probe, probes_ == 0 ? 0 : cost_ / probes_);
        const std::size_t most = (cost_of_scan_ - cost_) / each, m = substrings_.size();
        const auto limit = static_cast<std::size_t>(goal_.limit());
        const std::size_t last = limit <= 8 * index_.points.cols ? limit : shell;
        std::size_t probes = 0;
        for (; probes <= most; ++shell) {
            probes += shell_size(substrings_[shell % m].length, shell / m, most);
            if (shell >= last) break;
        }
        return probes <= most;
    }

    /// Looks up all values of substring t that differ from the query's in `flips` bits.
    ALWAYS_INLINE bool probe(std::size_t t, std::size_t flips) {
        const Substring& substring = substrings_[t];
        if (flips > substring.length) return true;
        table_ = t, flips_ = flips;
        const std::uint32_t* directory = index_.directories.data() + substring.directory;
        const std::uint32_t value = substring.of(query_);
        const std::uint64_t end = std::uint64_t{1} << substring.length;
        std::uint64_t difference = (std::uint64_t{1} << flips) - 1;
        for (bool more = true; more;) {
            std::size_t n = 0;
            while (more && n < batch) {
                const std::uint32_t* at =
                    directory + (value ^ static_cast<std::uint32_t>(difference));
                __builtin_prefetch(at);
                places_[n++] = at;
                more = flips != 0 && (difference = next_of_as_many_bits(difference)) < end;
            }
            cost_ += n * cost_of_probe;
            probes_ += n;
            poll_.did(n);
            if (!read_lists(n)) return false;
        }
        return true;
    }

    /// Compares with the query the points of the lists that begin at the first n places.
    ALWAYS_INLINE bool read_lists(std::size_t n) {
        const std::size_t bytes = index_.codes.cols;
        const std::uint8_t* codes = index_.codes.row(table_ * index_.rows.cols);
        for (std::size_t i = 0; i < n; ++i)
            if (places_[i][0] != places_[i][1]) __builtin_prefetch(codes + places_[i][0] * bytes);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t begin = places_[i][0], end = places_[i][1];
            cost_ += (end - begin) * cost_of_point;
            if (cost_ > cost_of_scan_) return false;
            poll_.did(end - begin);
            for (std::size_t at = begin; at < end; ++at) {
                const std::uint8_t* code = codes + at * bytes;
                const std::int32_t distance =
                    differing_bits<CountedByInstruction>(code, query_, bytes);
                if (distance <= goal_.limit()) offer(distance, code, index_.rows.row(table_)[at]);
            }
        }
        return true;
    }

    void offer(std::int32_t distance, const std::uint8_t* code, std::uint32_t row) {
        if (!has_bit(alive_, row)) return;
        if (is_first_meeting(code)) goal_.take(distance, row);
    }

    /// Was the point of this code not met in a shell before this one?
    bool is_first_meeting(const std::uint8_t* code) const {
        for (std::size_t t = 0; t < substrings_.size(); ++t) {
            const std::uint32_t difference = substrings_[t].of(code) ^ substrings_[t].of(query_);
            const auto bits = static_cast<std::size_t>(std::popcount(difference));
            if (bits < flips_ || (bits == flips_ && t < table_)) return false;
        }
        return true;
    }

    const MultiIndex& index_;
    std::span<const Substring> substrings_;
    std::span<const std::uint64_t> alive_;
    const std::uint8_t* query_;
    Goal& goal_;
    std::size_t cost_of_scan_, cost_ = 0, probes_ = 0;
    std::size_t table_ = 0, flips_ = 0;   // of the shell that is being probed
    const std::uint32_t* places_[batch];  // in the directory
    InterruptPoll poll_;
};

}  // namespace trouvaille::hamming
