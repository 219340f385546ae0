// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "neighbors/lsh.hpp"
#include "neighbors/lsh_probes.hpp"
#include "neighbors/lsh_scan.hpp"

namespace trouvaille::lsh {

/// The points of a bucket: places of a table's order.
struct Bucket {
    std::size_t table, begin, end;
};

/// The buckets to look into, in order, but for those that are empty.
///
/// They are found well before they are given, so that the places of the directory, and the sketches
/// of the next few, are on their way from memory meanwhile.
template <class T>
class Buckets {
  public:
    void start(const LSH<T>& lsh, const float* values, std::uint64_t most_probes) {
        probes_.start(lsh.functions, lsh.tables(), values);
        left_ = most_probes;
        taken_ = fetched_ = found_ = 0;
    }

    /// False when there are no more.
    bool next(const LSH<T>& lsh, Bucket& bucket) {
        while (found_ - taken_ < fetch_ahead && left_ > 0) find_some(lsh);
        if (taken_ == found_) return false;
        while (fetched_ < std::min(found_, taken_ + fetch_ahead)) prefetch(lsh, at(fetched_++));
        bucket = at(taken_++);
        return true;
    }

  private:
    static constexpr std::size_t fetch_ahead = 4, together = 16, room = 32, line = 64;
    static_assert(fetch_ahead + together <= room);

    Bucket& at(std::size_t i) { return ring_[i % room]; }

    void find_some(const LSH<T>& lsh) {
        std::array<Probe, together> probes;
        const std::size_t most = std::min<std::uint64_t>(together, left_);
        const int bits = static_cast<int>(std::bit_width(lsh.slots.cols - 1)) - 1;
        std::size_t n = 0;
        for (; n < most && probes_.next(probes[n]); ++n)
            __builtin_prefetch(lsh.slots.row(probes[n].table) + lsh_place(probes[n].key, bits));
        left_ = n < together ? 0 : left_ - n;
        for (std::size_t i = 0; i < n; ++i) {
            const Bucket bucket = look_up(lsh, probes[i], bits);
            if (bucket.begin != bucket.end) at(found_++) = bucket;
        }
    }

    static Bucket look_up(const LSH<T>& lsh, const Probe& probe, int bits) {
        const LSHSlot* slots = lsh.slots.row(probe.table);
        const std::size_t mask = lsh.slots.cols - 2;
        std::size_t i = lsh_place(probe.key, bits);
        while (slots[i].begin != slots[i + 1].begin && slots[i].key != probe.key)
            i = (i + 1) & mask;
        return {probe.table, slots[i].begin, slots[i + 1].begin};
    }

    static void prefetch(const LSH<T>& lsh, const Bucket& bucket) {
        constexpr std::size_t most = 4'096;  // bytes: the CPU sees what follows by itself
        const std::size_t each = lsh.functions.sketch_bits / 8;
        const std::uint8_t* panels = lsh.panels.row(bucket.table);
        const std::size_t begin = panel_bytes(bucket.begin - bucket.begin % panel, each);
        const std::size_t end = std::min(panel_bytes(bucket.end, each), begin + most);
        for (std::size_t byte = begin; byte < end; byte += line) __builtin_prefetch(panels + byte);
    }

    Probes probes_;
    std::uint64_t left_ = 0;  // probes
    std::array<Bucket, room> ring_;
    std::size_t taken_ = 0, fetched_ = 0, found_ = 0;
};

}  // namespace trouvaille::lsh
