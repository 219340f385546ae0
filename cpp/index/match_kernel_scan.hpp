// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a query's rows are compared with the lists of a block, and what their matches add up to.
// Private to index/.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/prefetch.hpp"
#include "index/match_kernel.hpp"
#include "neighbors/hamming_in_place.hpp"

namespace trouvaille::match_kernel {

using hamming::in_place::Group;
using hamming::in_place::group_rows;

/// A posting that a row of the query matches, and how much that counts.
struct Match {
    std::uint16_t photo;
    std::uint32_t row;  // of the query's
    double similarity;
};

/// What a row of a query matches, over all photos, in shares of the row's weight: two whole
/// numbers, of 2^-30 and of 2^-60, so that their sums do not depend on who comes first. They hold
/// 2^33 matches; each is rounded by 2^-61 of the weight at most.
struct Total {
    std::int64_t high = 0, low = 0;

    static constexpr double unit = 1.0 / (1 << 30);

    void add(double share) {
        const double scaled = share / unit, whole = std::floor(scaled);
        add_to(high, static_cast<std::int64_t>(whole));
        add_to(low, std::llrint((scaled - whole) / unit));
    }
    double share() const {
        return (static_cast<double>(high) + static_cast<double>(low) * unit) * unit;
    }

  private:
    static void add_to(std::int64_t& sum, std::int64_t number) {
        std::atomic_ref<std::int64_t>(sum).fetch_add(number, std::memory_order_relaxed);
    }
};

/// Memory of one thread, for a block of so many photos.
struct Scratch {
    Scratch(std::size_t photos, std::size_t bytes, bool bursty)
        : scores(photos), in_photo(bursty ? photos : 0), tail(group_rows * bytes) {}

    std::vector<double> scores, in_photo;
    std::vector<std::uint8_t> tail;  // rows at the end of the block, and whatever
    std::vector<PostingRange> lists;
    std::vector<Match> matches;
    InterruptPoll poll;
};

/// One query and one block.
struct Job {
    const MatchBlock& block;
    const MatchQueries& queries;
    const MatchKernel& kernel;
    std::size_t begin, end;   // rows of the query
    std::int32_t limit;       // distances from here on count nothing
    std::span<Total> totals;  // a row of all queries; none without inter
};

enum class Pass : std::uint8_t { totals, scores };

struct Scalar : hamming::in_place::Scalar {
    using Counted = hamming::in_place::Scalar;
};

#if TROUVAILLE_X86
struct Avx2 : hamming::in_place::Avx2 {
    using Counted = CountedByInstruction;
};

struct Avx512 : hamming::in_place::Avx512 {
    using Counted = CountedByInstruction;
};
#endif

/// The lists of all rows of the query: each is asked for some rows ahead.
inline void find_lists(const Job& job, Scratch& scratch) {
    scratch.lists.resize(job.end - job.begin);
    for (std::size_t i = job.begin; i < job.end; ++i)
        scratch.lists[i - job.begin] = job.block.postings.find(job.queries.words[i]);
}

ALWAYS_INLINE void prefetch_ahead(const Job& job, const Scratch& scratch, std::size_t i) {
    constexpr std::size_t ahead = 4, most_bytes = 1024;
    if (i + ahead >= scratch.lists.size()) return;
    const PostingRange list = scratch.lists[i + ahead];
    const Signatures& postings = job.block.postings;
    prefetch(postings.rows.row(list.begin), std::min(list.size() * postings.rows.cols, most_bytes));
    prefetch(postings.photos.data() + list.begin, std::min(list.size(), group_rows));
}

/// Calls matched(posting, distance) for each posting of a list nearer than the limit, in order.
template <class Kernel, std::size_t Bytes, class Matched>
ALWAYS_INLINE void scan_list(const MatrixView<const std::uint8_t>& rows, PostingRange list,
                             const std::uint8_t* query, std::int32_t limit, Scratch& scratch,
                             Matched matched) {
    constexpr std::size_t few = 12;       // rows that are sooner compared one by one
    constexpr std::size_t ahead = 4'096;  // bytes: measured to hide how late memory answers
    const std::size_t bytes = Bytes == 0 ? rows.cols : Bytes;
    alignas(64) std::int32_t distances[group_rows];
    while (list.size() >= few) {
        const std::size_t n = std::min(group_rows, list.size());
        scratch.poll.did(n * (bytes / 8 + 1));
        const std::uint8_t* at = rows.data + list.begin * bytes;
        if (list.size() * bytes >= ahead + group_rows * bytes)
            prefetch(at + ahead, group_rows * bytes);
        if (list.begin + group_rows > rows.rows) {  // a group would go beyond the end
            std::memcpy(scratch.tail.data(), at, (rows.rows - list.begin) * bytes);
            at = scratch.tail.data();
        }
        Group passing = Kernel::template nearer<Bytes>(at, query, bytes, limit, distances);
        if (n < group_rows) passing &= (Group{1} << n) - 1;
        for (; passing != 0; passing &= passing - 1) {
            const auto j = static_cast<std::size_t>(std::countr_zero(passing));
            matched(list.begin + j, distances[j]);
        }
        list.begin += n;
    }
    scratch.poll.did(list.size() + 1);
    for (; list.begin < list.end; ++list.begin) {
        const std::int32_t distance =
            differing_bits<typename Kernel::Counted>(rows.data + list.begin * bytes, query, bytes);
        if (distance < limit) matched(list.begin, distance);
    }
}

/// Adds what every match counts to the score of its photo.
template <class Kernel, std::size_t Bytes>
ALWAYS_INLINE void add_matches(const Job& job, Scratch& scratch) {
    const Signatures& postings = job.block.postings;
    const std::uint16_t* photos = postings.photos.data();
    double* scores = scratch.scores.data();
    for (std::size_t i = job.begin; i < job.end; ++i) {
        prefetch_ahead(job, scratch, i - job.begin);
        const double weight = job.queries.weights[i];
        const double* similarities = job.kernel.similarities.data();
        scan_list<Kernel, Bytes>(postings.rows, scratch.lists[i - job.begin],
                                 job.queries.signatures.row(i), job.limit, scratch,
                                 [&](std::size_t at, std::int32_t distance) {
                                     scores[photos[at]] += weight * similarities[distance];
                                 });
    }
}

/// What is left of a match that counts m among matches that count t together.
ALWAYS_INLINE double damped(double m, double t) {
    return m * std::sqrt(m / std::max(m, t));
}

inline void damp_within_photos(Scratch& scratch) {
    for (const Match& match : scratch.matches) scratch.in_photo[match.photo] += match.similarity;
    for (Match& match : scratch.matches)
        match.similarity = damped(match.similarity, scratch.in_photo[match.photo]);
    for (const Match& match : scratch.matches) scratch.in_photo[match.photo] = 0;
}

/// Matches of one feature of the query, which has rows [begin, end).
template <class Kernel, std::size_t Bytes>
ALWAYS_INLINE void collect_matches(const Job& job, std::size_t begin, std::size_t end,
                                   Scratch& scratch) {
    const Signatures& postings = job.block.postings;
    scratch.matches.clear();
    for (std::size_t i = begin; i < end; ++i) {
        prefetch_ahead(job, scratch, i - job.begin);
        scan_list<Kernel, Bytes>(
            postings.rows, scratch.lists[i - job.begin], job.queries.signatures.row(i), job.limit,
            scratch, [&](std::size_t at, std::int32_t distance) {
                const double similarity =
                    job.queries.weights[i] *
                    job.kernel.similarities[static_cast<std::size_t>(distance)];
                const std::uint16_t photo = postings.photos[at];
                if (similarity > 0 && has_bit(job.block.alive, photo))
                    scratch.matches.push_back(
                        {photo, static_cast<std::uint32_t>(i - job.begin), similarity});
            });
    }
}

/// The sum of all that a feature matches in any photo: of its rows, in their order.
inline double total_of(const Job& job, std::size_t begin, std::size_t end) {
    double total = 0;
    for (std::size_t i = begin; i < end; ++i)
        total += job.totals[i].share() * job.queries.weights[i];
    return total;
}

inline void add_to_totals(const Job& job, const Scratch& scratch) {
    for (const Match& match : scratch.matches) {
        const std::size_t row = job.begin + match.row;
        job.totals[row].add(match.similarity / job.queries.weights[row]);
    }
}

/// The same as `add_matches`, with burstiness; or the first pass of two, which finds the totals.
template <class Kernel, std::size_t Bytes>
ALWAYS_INLINE void add_bursty_matches(const Job& job, Pass pass, Scratch& scratch) {
    const auto& features = job.queries.features;
    for (std::size_t begin = job.begin, end = begin; begin < job.end; begin = end) {
        while (end < job.end && features[end] == features[begin]) ++end;
        collect_matches<Kernel, Bytes>(job, begin, end, scratch);
        if (job.kernel.intra) damp_within_photos(scratch);
        if (pass == Pass::totals) {
            add_to_totals(job, scratch);
            continue;
        }
        const double total = job.kernel.inter ? total_of(job, begin, end) : 0;
        for (const Match& match : scratch.matches)
            scratch.scores[match.photo] +=
                job.kernel.inter ? damped(match.similarity, total) : match.similarity;
    }
}

template <class Kernel, std::size_t Bytes>
ALWAYS_INLINE void run_with(const Job& job, Pass pass, Scratch& scratch) {
    if (job.kernel.intra || job.kernel.inter)
        add_bursty_matches<Kernel, Bytes>(job, pass, scratch);
    else
        add_matches<Kernel, Bytes>(job, scratch);
}

/// The commonest lengths of signatures are known to the compiler.
template <class Kernel>
ALWAYS_INLINE void run_any(const Job& job, Pass pass, Scratch& scratch) {
    find_lists(job, scratch);
    switch (job.queries.signatures.cols) {
        case 8:
            return run_with<Kernel, 8>(job, pass, scratch);
        case 16:
            return run_with<Kernel, 16>(job, pass, scratch);
        case 32:
            return run_with<Kernel, 32>(job, pass, scratch);
        default:
            return run_with<Kernel, 0>(job, pass, scratch);
    }
}

using Run = void (*)(const Job& job, Pass pass, Scratch& scratch);

inline void run_scalar(const Job& job, Pass pass, Scratch& scratch) {
    run_any<Scalar>(job, pass, scratch);
}

#if TROUVAILLE_X86
TARGET_AVX2 inline void run_avx2(const Job& job, Pass pass, Scratch& scratch) {
    run_any<Avx2>(job, pass, scratch);
}

TARGET_AVX512_POPCNT inline void run_avx512(const Job& job, Pass pass, Scratch& scratch) {
    run_any<Avx512>(job, pass, scratch);
}

inline Run chosen_run() {
    const bool counts = __builtin_cpu_supports("avx512vpopcntdq");
    const Run variants[isa_count] = {run_scalar, run_avx2, counts ? run_avx512 : run_avx2};
    return pick(variants);
}
#else
inline Run chosen_run() {
    return run_scalar;
}
#endif

}  // namespace trouvaille::match_kernel
