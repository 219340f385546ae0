// SPDX-License-Identifier: Apache-2.0
#pragma once

// A scan for few queries: rows are read once, where they lie. Private to neighbors/.

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/prefetch.hpp"
#include "core/view.hpp"
#include "neighbors/differing_bits.hpp"
#include "neighbors/hamming_best.hpp"
#include "neighbors/hamming_in_place.hpp"

namespace trouvaille::hamming {

inline constexpr std::size_t most_few_queries = 32;

/// Points, and what they are compared with.
struct FewJob {
    MatrixView<const std::uint8_t> points, queries;
    Alive alive;
};

/// Rows [begin, end), fewer than a group of them.
template <class Collector>
ALWAYS_INLINE void scan_last_rows(const FewJob& job, std::size_t begin, std::size_t end,
                                  Collector* collectors) {
    for (std::size_t row = begin; row < end; ++row) {
        if (!has_bit(job.alive, row)) continue;
        for (std::size_t i = 0; i < job.queries.rows; ++i) {
            const std::int32_t distance = differing_bits<CountedByInstruction>(
                job.points.row(row), job.queries.row(i), job.points.cols);
            if (distance < collectors[i].threshold())
                collectors[i].push(distance, static_cast<std::uint32_t>(row));
        }
    }
}

/// Shows every query, and its collector, rows [begin, end). Requires begin of whole groups.
template <class Kernel, std::size_t Bytes, class Collector>
ALWAYS_INLINE void scan_groups(const FewJob& job, std::size_t begin, std::size_t end,
                               Collector* collectors) {
    using in_place::Group;
    using in_place::group_rows;
    constexpr std::size_t ahead = 8192;  // bytes: measured to hide how late memory answers
    const std::size_t n = job.queries.rows, bytes = job.points.cols;
    std::array<std::int32_t, most_few_queries> thresholds;
    for (std::size_t i = 0; i < n; ++i) thresholds[i] = collectors[i].threshold();
    alignas(64) std::int32_t distances[group_rows];
    InterruptPoll poll;
    for (; begin + group_rows <= end; begin += group_rows) {
        poll.did(n * bytes);
        const Group present = job.alive.empty() ? ~Group{0} : job.alive[begin / group_rows];
        if (present == 0) continue;
        const std::uint8_t* rows = job.points.row(begin);
        if ((end - begin - group_rows) * bytes >= ahead) prefetch(rows + ahead, group_rows * bytes);
        for (std::size_t i = 0; i < n; ++i) {
            const Group passing = Kernel::template nearer<Bytes>(rows, job.queries.row(i), bytes,
                                                                 thresholds[i], distances);
            if ((passing & present) == 0) continue;
            offer(passing & present, distances, static_cast<std::uint32_t>(begin), {},
                  collectors[i]);
            thresholds[i] = collectors[i].threshold();
        }
    }
    scan_last_rows(job, begin, end, collectors);
}

/// The same, with the lengths of the codes that are most common known to the compiler: those of
/// which `knows_length` is true.
template <class Kernel, class Collector>
ALWAYS_INLINE void scan_few_any(const FewJob& job, std::size_t begin, std::size_t end,
                                Collector* collectors) {
    switch (job.points.cols) {
        case 4:
            return scan_groups<Kernel, 4>(job, begin, end, collectors);
        case 8:
            return scan_groups<Kernel, 8>(job, begin, end, collectors);
        case 16:
            return scan_groups<Kernel, 16>(job, begin, end, collectors);
        case 32:
            return scan_groups<Kernel, 32>(job, begin, end, collectors);
        case 64:
            return scan_groups<Kernel, 64>(job, begin, end, collectors);
        case 128:
            return scan_groups<Kernel, 128>(job, begin, end, collectors);
        default:
            return scan_groups<Kernel, 0>(job, begin, end, collectors);
    }
}

constexpr bool knows_length(std::size_t bytes) {
    return std::has_single_bit(bytes) && bytes >= 4 && bytes <= 128;
}

template <class Collector>
void scan_few_scalar(const FewJob& job, std::size_t begin, std::size_t end, Collector* collectors) {
    scan_few_any<in_place::Scalar>(job, begin, end, collectors);
}

/// A scan, and up to how many queries it was measured to be faster than packing the points.
template <class Collector>
struct FewScan {
    decltype(&scan_few_scalar<Collector>) rows;
    std::size_t queries;  // of a length that the compiler knows

    std::size_t most_queries(std::size_t bytes) const { return knows_length(bytes) ? queries : 3; }
};

#if TROUVAILLE_X86
template <class Collector>
TARGET_AVX2 void scan_few_avx2(const FewJob& job, std::size_t begin, std::size_t end,
                               Collector* collectors) {
    scan_few_any<in_place::Avx2>(job, begin, end, collectors);
}

template <class Collector>
TARGET_AVX512_POPCNT void scan_few_avx512(const FewJob& job, std::size_t begin, std::size_t end,
                                          Collector* collectors) {
    scan_few_any<in_place::Avx512>(job, begin, end, collectors);
}

template <class Collector>
FewScan<Collector> chosen_few_scan() {
    const FewScan<Collector> scalar{scan_few_scalar<Collector>, 8};
    const FewScan<Collector> avx2{scan_few_avx2<Collector>, 8};
    const FewScan<Collector> avx512{scan_few_avx512<Collector>, most_few_queries};
    const bool counts = __builtin_cpu_supports("avx512vpopcntdq");
    const FewScan<Collector> variants[isa_count] = {scalar, avx2, counts ? avx512 : avx2};
    return pick(variants);
}
#else
template <class Collector>
FewScan<Collector> chosen_few_scan() {
    return {scan_few_scalar<Collector>, 8};
}
#endif

/// Shows each query, and its collector, every point, in ascending order. Each thread has rows of
/// its own. Requires at most most_few_queries.
template <class Collector>
void scan_few(const FewScan<Collector>& scan, const FewJob& job, std::span<Collector> collectors,
              int threads) {
    constexpr std::size_t least_work = std::size_t{1} << 19;  // bytes compared: several us
    assert(job.queries.rows <= most_few_queries && collectors.size() == job.queries.rows);
    const std::size_t n = job.points.rows, workers = static_cast<std::size_t>(threads);
    const std::size_t least_rows = least_work / (job.queries.rows * job.points.cols + 1) + 1;
    const std::size_t share = std::max(exact::ceil_div(n, workers), least_rows);
    const std::size_t grain = exact::ceil_div(share, in_place::group_rows) * in_place::group_rows;
    if (n <= grain) return scan.rows(job, 0, n, collectors.data());
    std::vector<std::vector<Collector>> found(exact::ceil_div(n, grain));
    for (auto& part : found)
        for (const Collector& own : collectors) part.push_back(own.another());
    parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end) {
        scan.rows(job, begin, end, found[begin / grain].data());
    });
    for (const auto& part : found)
        for (std::size_t i = 0; i < part.size(); ++i) collectors[i].take(part[i]);
}

}  // namespace trouvaille::hamming
