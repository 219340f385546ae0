// SPDX-License-Identifier: Apache-2.0
#include "neighbors/hamming_scan.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/hamming_best.hpp"
#include "neighbors/hamming_few.hpp"
#include "neighbors/hamming_kernels.hpp"

namespace trouvaille {
namespace {

using exact::AlignedVector;
using exact::ceil_div;
using namespace hamming;

/// Points of a slice, packed.
struct Slice {
    std::size_t steps;     // words of a code
    std::size_t capacity;  // rows, in whole panels
    std::uint32_t first;   // the number of its first row
    std::size_t rows = 0;  // how many
    AlignedVector<Word> words;

    std::size_t panels() const { return ceil_div(rows, panel_rows); }
    const Word* panel(std::size_t p) const { return words.data() + p * panel_rows * steps; }
};

/// Queries that pass a slice together, `steps` words each.
template <class Collector>
struct Block {
    const Word* queries;
    std::size_t n;
    Collector* collectors;  // one a query
};

/// Shows every query of `block` every row of `slice`.
template <class Kernel, std::size_t Steps, class Collector>
ALWAYS_INLINE void scan_block(const Slice& slice, Alive alive, const Block<Collector>& block) {
    std::vector<std::int32_t> thresholds(block.n);
    for (std::size_t i = 0; i < block.n; ++i) thresholds[i] = block.collectors[i].threshold();
    alignas(64) std::int32_t distances[panel_rows];
    InterruptPoll poll;
    for (std::size_t p = 0; p < slice.panels(); ++p) {
        poll.did(block.n * slice.steps);
        const auto begin = static_cast<std::uint32_t>(p * panel_rows);
        const std::size_t n = std::min(panel_rows, slice.rows - begin);
        const Word present = n == panel_rows ? ~Word{0} : (Word{1} << n) - 1;
        for (std::size_t i = 0; i < block.n; ++i) {
            const Word passing =
                Kernel::template nearer<Steps>(slice.panel(p), block.queries + i * slice.steps,
                                               slice.steps, thresholds[i], distances);
            if (passing == 0) continue;
            offer(passing & present, distances, slice.first + begin, alive, block.collectors[i]);
            thresholds[i] = block.collectors[i].threshold();
        }
    }
}

/// The same, with the steps of the codes that are most common known to the compiler.
template <class Kernel, class Collector>
ALWAYS_INLINE void scan_any(const Slice& slice, Alive alive, const Block<Collector>& block) {
    switch (slice.steps) {
        case 2:
            return scan_block<Kernel, 2>(slice, alive, block);
        case 4:
            return scan_block<Kernel, 4>(slice, alive, block);
        case 8:
            return scan_block<Kernel, 8>(slice, alive, block);
        default:
            return scan_block<Kernel, 0>(slice, alive, block);
    }
}

template <class Collector>
void scan_scalar(const Slice& slice, Alive alive, const Block<Collector>& block) {
    scan_block<Scalar, 0>(slice, alive, block);
}

#if TROUVAILLE_X86
template <class Collector>
TARGET_AVX2 void scan_avx2(const Slice& slice, Alive alive, const Block<Collector>& block) {
    scan_block<Avx2, 0>(slice, alive, block);
}

template <class Collector>
TARGET_AVX512_POPCNT void scan_avx512(const Slice& slice, Alive alive,
                                      const Block<Collector>& block) {
    scan_any<Avx512>(slice, alive, block);
}

template <class Collector>
auto chosen_scan() {
    const bool counts = __builtin_cpu_supports("avx512vpopcntdq");
    const decltype(&scan_scalar<Collector>) variants[isa_count] = {
        scan_scalar<Collector>, scan_avx2<Collector>,
        counts ? scan_avx512<Collector> : scan_avx2<Collector>};
    return pick(variants);
}
#else
template <class Collector>
auto chosen_scan() {
    return &scan_scalar<Collector>;
}
#endif

AlignedVector<Word> packed_queries(MatrixView<const std::uint8_t> queries, std::size_t steps) {
    AlignedVector<Word> words(checked_mul(queries.rows, steps, "queries * words"));
    for (std::size_t i = 0; i < queries.rows; ++i)
        std::memcpy(words.data() + i * steps, queries.row(i), queries.cols);
    return words;
}

/// An empty slice for about `bytes` of points.
Slice make_slice(MatrixView<const std::uint8_t> points, std::size_t bytes) {
    const std::size_t steps = words_of(points.cols);
    const std::size_t panel_bytes = panel_rows * steps * sizeof(Word) + 1;
    const std::size_t panels =
        std::clamp(bytes / panel_bytes, std::size_t{1}, ceil_div(points.rows, panel_rows));
    return {steps, panels * panel_rows, 0, 0, AlignedVector<Word>(panels * panel_rows * steps)};
}

/// Packs panels [begin, end) of the slice.
void pack(MatrixView<const std::uint8_t> points, Slice& slice, std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
        const std::size_t row = p * panel_rows;
        const std::size_t n = std::min(panel_rows, slice.rows - row);
        pack_panel({points, slice.first + row, n}, slice.words.data() + row * slice.steps);
    }
}

template <class Collector>
struct Scan {
    MatrixView<const std::uint8_t> points;
    const AlignedVector<Word>& queries;
    Alive alive;
    std::span<Collector> collectors;  // one a query
    int threads;
    decltype(&scan_scalar<Collector>) scan_slice = chosen_scan<Collector>();
};

// None of these sizes changes a result.
constexpr std::size_t block_queries = 64;  // a block on a slice: about 1 ms
constexpr std::size_t slice_bytes = 1 << 20;

/// A slice is packed, then shown to all queries: a chunk of parallel_for is a block of them.
template <class Collector>
void scan_by_slices(const Scan<Collector>& scan) {
    Slice slice = make_slice(scan.points, slice_bytes);
    const std::size_t n = scan.collectors.size();
    const std::size_t workers = static_cast<std::size_t>(std::max(scan.threads, 1));
    const std::size_t blocks = ceil_div(ceil_div(n, block_queries), workers) * workers;
    for (std::size_t first = 0; first < scan.points.rows; first += slice.capacity) {
        slice.first = static_cast<std::uint32_t>(first);
        slice.rows = std::min(slice.capacity, scan.points.rows - first);
        parallel_for(slice.panels(), 64, scan.threads, [&](std::size_t begin, std::size_t end) {
            pack(scan.points, slice, begin, end);
        });
        parallel_for(n, ceil_div(n, blocks), scan.threads, [&](std::size_t begin, std::size_t end) {
            scan.scan_slice(
                slice, scan.alive,
                {scan.queries.data() + begin * slice.steps, end - begin, &scan.collectors[begin]});
        });
    }
}

/// Shows each query, and its collector, every row of `points`, in ascending order.
template <class Collector>
void scan(MatrixView<const std::uint8_t> points, MatrixView<const std::uint8_t> queries,
          Alive alive, std::span<Collector> collectors, int threads) {
    if (points.rows == 0 || queries.rows == 0) return;
    threads = std::max(threads, 1);
    if (const auto few = chosen_few_scan<Collector>();
        queries.rows <= few.most_queries(points.cols))
        return scan_few(few, {points, queries, alive}, collectors, threads);
    const AlignedVector<Word> words = packed_queries(queries, words_of(points.cols));
    scan_by_slices(Scan<Collector>{points, words, alive, collectors, threads});
}

/// Queries whose selections fit memory together, at least one; the points are packed once for them.
std::size_t wave_queries(std::size_t places, std::size_t bits) {
    constexpr std::size_t memory = std::size_t{1} << 26;
    return memory / (4 * (bits + 1) + 3 * sizeof(HammingNeighbor) * (places + 32)) + 1;
}

/// `items`, which are in ascending order of rows, by distance.
void sort_by_distance(std::vector<HammingNeighbor>& items) {
    InterruptPoll poll;
    std::stable_sort(items.begin(), items.end(), [&poll](const auto& a, const auto& b) {
        poll.did(1);
        return a.score < b.score;
    });
}

}  // namespace

void hamming_neighbors(MatrixView<const std::uint8_t> points,
                       MatrixView<const std::uint8_t> queries, Alive alive,
                       MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                       int threads) {
    assert(queries.cols == points.cols && points.cols <= max_code_bytes);
    assert(distances.rows == queries.rows && ids.rows == queries.rows);
    assert(distances.cols == ids.cols);
    static_cast<void>(checked_cast<std::uint32_t>(points.rows, "the number of points"));
    const std::size_t k = ids.cols, places = std::min(k, points.rows), bits = 8 * points.cols;
    const std::size_t wave = std::min(wave_queries(places, bits), queries.rows);
    std::fill_n(distances.data, queries.rows * k, std::numeric_limits<std::int32_t>::max());
    std::fill_n(ids.data, queries.rows * k, -1);
    if (places == 0) return;
    std::vector<CountedBest> best(wave, CountedBest(places, bits));
    for (std::size_t first = 0; first < queries.rows; first += wave) {
        const std::size_t n = std::min(wave, queries.rows - first);
        for (CountedBest& own : best) own.clear();
        scan(points, queries.slice(first, first + n), alive, std::span(best).first(n), threads);
        parallel_for(n, (std::size_t{1} << 14) / places + 1, threads,
                     [&](std::size_t begin, std::size_t end) {
                         for (std::size_t i = begin; i < end; ++i)
                             best[i].write(distances.row(first + i), ids.row(first + i));
                     });
    }
}

void hamming_neighbors_within(MatrixView<const std::uint8_t> points,
                              MatrixView<const std::uint8_t> queries, std::int32_t radius,
                              Alive alive, std::span<std::vector<HammingNeighbor>> found,
                              int threads) {
    assert(queries.cols == points.cols && points.cols <= max_code_bytes);
    assert(found.size() == queries.rows);
    static_cast<void>(checked_cast<std::uint32_t>(points.rows, "the number of points"));
    const auto bits = static_cast<std::int32_t>(8 * points.cols);
    std::vector<AllWithin> within(queries.rows, AllWithin(std::min(radius, bits)));
    scan(points, queries, alive, std::span(within), threads);
    parallel_for(found.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            found[i] = std::move(within[i].items);
            sort_by_distance(found[i]);
        }
    });
}

}  // namespace trouvaille
