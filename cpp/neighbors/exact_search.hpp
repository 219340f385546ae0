// SPDX-License-Identifier: Apache-2.0
#pragma once

// The search that exact_bytes.cpp and exact_floats.cpp instantiate once for each instruction set.
// Private to neighbors/.

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "core/topk.hpp"
#include "neighbors/panels.hpp"
#include "neighbors/reverse.hpp"

namespace trouvaille::exact {

// A Kernel is a struct of constants and static functions:
//   Input, Word, Query     an element of a row: as given, packed in a panel, packed in a group
//   Score, Norm, Distance  numbers; Judge: what decides for one query, below
//   unit                   elements of a row that one lane of one instruction multiplies
//   panel, lanes           rows in a panel, and how many of them lie side by side
//   group, query_lanes     queries in a register tile, and how many of them lie side by side
//   word(x), query(x), squared_norm(row, dims), offset(norm)
//   multiply(tile, scores) the register tile: scores[r * panel + j] for query r and row j, but
//                          only where it returns a bit set, or where tile.wants_scores: bit r says
//                          that a score of query r passes its threshold
//   pack, scan             pack_panel and scan_block, compiled for the instruction set
//   vector                 lanes of a register; for a search in both directions (reverse.hpp)
//
// A Judge(query, panels) knows one query and the panels it is about to meet, and gives
//   threshold(best)        the score that a row must pass to rank before the worst of `best`
//   offer(scores, p, panels, best)   to `best` what passes in panel p

template <class Distance>
using Best = TopK<Distance, std::uint32_t, std::less<Distance>>;

/// The first `n` rows of a panel of `Rows` whose score passes (a NaN on either side passes), in
/// order; how many. Looks at eight at a time: most fail.
template <std::size_t Rows, class Score>
ALWAYS_INLINE std::size_t passing_rows(const Score* scores, Score threshold, std::size_t n,
                                       std::uint32_t* rows) {
    static_assert(Rows % 8 == 0);
    std::uint8_t passes[Rows];
    for (std::size_t j = 0; j < Rows; ++j) passes[j] = !(scores[j] <= threshold);
    std::size_t passed = 0;
    for (std::size_t begin = 0; begin < n; begin += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, passes + begin, sizeof eight);
        if (eight == 0) continue;
        for (std::size_t j = begin; j < std::min(n, begin + 8); ++j) {
            rows[passed] = static_cast<std::uint32_t>(j);
            passed += passes[j];
        }
    }
    return passed;
}

/// The operands of one register tile.
template <class Kernel>
struct Tile {
    const typename Kernel::Word* words;        // a panel
    const typename Kernel::Score* offsets;     // of its rows
    const typename Kernel::Query* queries;     // a group
    const typename Kernel::Score* thresholds;  // of its queries
    std::size_t steps;
    bool wants_scores;
};

template <class Kernel>
struct Block {
    MatrixView<const typename Kernel::Input> queries;
    Best<typename Kernel::Distance>* best;  // one a query
};

/// Shows every query of `block` every row of `panels`. The panel stays in the first-level cache
/// while the queries, some tens of KiB, stream past it.
template <class Kernel, class Reverse>
ALWAYS_INLINE void scan_block(const Panels<Kernel>& panels, const Block<Kernel>& block,
                              Reverse& reverse) {
    using Score = typename Kernel::Score;
    const std::size_t n = block.queries.rows, groups = ceil_div(n, Kernel::group);
    const std::size_t group_size = Kernel::group * panels.row_size();

    AlignedVector<typename Kernel::Query> queries(groups * group_size);
    std::vector<Score> thresholds(groups * Kernel::group, std::numeric_limits<Score>::max());
    std::vector<typename Kernel::Judge> judges;
    judges.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        const auto* query = block.queries.row(i);
        interleave<Kernel::query_lanes, Kernel::unit>(query, block.queries.cols, i, queries.data(),
                                                      panels.row_size(), Kernel::query);
        judges.emplace_back(query, panels);
        thresholds[i] = judges[i].threshold(block.best[i]);
    }

    alignas(64) Score scores[Kernel::group * Kernel::panel];
    for (std::size_t p = 0; p < panels.count(); ++p) {
        if (p % 32 == 31) check_interrupt();  // rows of few columns: many panels, many offers
        const Score* offsets = &panels.offsets[p * Kernel::panel];
        for (std::size_t g = 0; g < groups; ++g) {
            const std::size_t first = g * Kernel::group;
            std::uint32_t hits =
                Kernel::multiply({panels.panel(p), offsets, queries.data() + g * group_size,
                                  &thresholds[first], panels.steps(), Reverse::wants_scores},
                                 scores);
            reverse.template show<Kernel>(scores, &judges[first], first,
                                          std::min(Kernel::group, n - first), p);
            for (; hits != 0; hits &= hits - 1) {
                const std::size_t r = static_cast<std::size_t>(std::countr_zero(hits));
                judges[first + r].offer(scores + r * Kernel::panel, p, panels,
                                        block.best[first + r]);
                thresholds[first + r] = judges[first + r].threshold(block.best[first + r]);
            }
        }
    }
}

template <class Distance>
inline constexpr Distance farthest =
    std::numeric_limits<Distance>::has_infinity ? std::numeric_limits<Distance>::infinity()
                                                : std::numeric_limits<Distance>::max();

/// The distances and ids of one finished query.
template <class Distance>
void write_row(Best<Distance>& best, Distance* distances, std::int64_t* ids, std::size_t k) {
    const auto sorted = best.sorted();
    for (std::size_t j = 0; j < sorted.size(); ++j) {
        distances[j] = sorted[j].score;
        ids[j] = sorted[j].id;
    }
    std::fill(distances + sorted.size(), distances + k, farthest<Distance>);
    std::fill(ids + sorted.size(), ids + k, -1);
}

// A slice of the database is packed, then shown to every query of a wave before the next one is
// packed: a chunk of parallel_for is one block of queries against one slice. These sizes make it
// about a millisecond where the machine is fast and 50 where it is slow, keep a block in the
// second-level cache and a packed slice near it, and bound the scratch memory. They never change
// a result.
inline constexpr std::size_t block_rows = 192, wave_rows = 64 * block_rows;
inline constexpr std::size_t slice_bytes = std::size_t{1} << 20;

/// Rows of a block: every thread gets as many blocks as any other, of whole groups.
template <class Kernel>
std::size_t balanced_block(std::size_t n, int threads) {
    const std::size_t workers = static_cast<std::size_t>(std::max(threads, 1));
    const std::size_t blocks = ceil_div(ceil_div(n, block_rows), workers) * workers;
    return ceil_div(ceil_div(n, blocks), Kernel::group) * Kernel::group;
}

template <class Kernel, class Reverse>
void search(MatrixView<const typename Kernel::Input> queries,
            MatrixView<const typename Kernel::Input> database,
            MatrixView<typename Kernel::Distance> distances, MatrixView<std::int64_t> ids,
            Reverse& reverse, int threads) {
    using Distance = typename Kernel::Distance;
    assert(queries.cols == database.cols);
    assert(distances.rows == queries.rows && ids.rows == queries.rows);
    assert(distances.cols == ids.cols);
    static_cast<void>(checked_cast<std::uint32_t>(database.rows, "the number of rows"));
    const std::size_t k = ids.cols, places = std::min(k, database.rows);
    if (places == 0) {
        std::fill_n(distances.data, queries.rows * k, farthest<Distance>);
        std::fill_n(ids.data, queries.rows * k, -1);
        return;
    }
    const std::size_t panel_bytes = Kernel::panel * ceil_div(database.cols, Kernel::unit) *
                                        Kernel::unit * sizeof(typename Kernel::Word) +
                                    1;
    const std::size_t slice_panels = std::clamp(slice_bytes / panel_bytes, std::size_t{1},
                                                ceil_div(database.rows, Kernel::panel) + 1);
    const std::size_t slice_rows = slice_panels * Kernel::panel;
    Panels<Kernel> panels(database.cols, slice_panels);

    std::vector<Ranked<Distance, std::uint32_t>> storage(
        checked_mul(std::min(queries.rows, wave_rows), places, "queries * k"));
    std::vector<Best<Distance>> best;
    for (std::size_t wave = 0; wave < queries.rows; wave += wave_rows) {
        const std::size_t n = std::min(wave_rows, queries.rows - wave);
        best.clear();
        for (std::size_t i = 0; i < n; ++i)
            best.emplace_back(std::span(storage).subspan(i * places, places));
        const std::size_t block = balanced_block<Kernel>(n, threads);
        for (std::size_t first = 0; first < database.rows; first += slice_rows) {
            panels.first = static_cast<std::uint32_t>(first);
            panels.rows = database.slice(first, std::min(database.rows, first + slice_rows));
            parallel_for(panels.count(), 64, threads, [&](std::size_t begin, std::size_t end) {
                for (std::size_t p = begin; p < end; ++p) Kernel::pack(panels, p);
            });
            panels.largest_norm = *std::max_element(panels.norms.begin(), panels.norms.end());
            parallel_for(n, block, threads, [&](std::size_t begin, std::size_t end) {
                typename Reverse::Block of_rows(panels);
                Kernel::scan(panels, {queries.slice(wave + begin, wave + end), &best[begin]},
                             of_rows);
                reverse.merge(panels, of_rows, wave + begin);
            });
        }
        parallel_for(n, (std::size_t{1} << 14) / k + 1, threads,
                     [&](std::size_t begin, std::size_t end) {
                         for (std::size_t i = begin; i < end; ++i)
                             write_row(best[i], distances.row(wave + i), ids.row(wave + i), k);
                     });
    }
}

}  // namespace trouvaille::exact
