// SPDX-License-Identifier: Apache-2.0
#pragma once

// The comparison of queries with panels of points, which exact_bytes.cpp, exact_bytes_l1.cpp and
// exact_floats.cpp instantiate once for each instruction set. Private to neighbors/.

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/exact_found.hpp"
#include "neighbors/panels.hpp"
#include "neighbors/reverse.hpp"

namespace trouvaille::exact {

// A Kernel is a struct of constants and static functions:
//   Input, Word            an element of a point: as given, packed in a panel
//   QueryInput, Query      an element of a query: as given, packed in a group
//   Score, Norm, Key       numbers; Judge: what decides for one query, below
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
//   threshold(found)       the score that a row must pass to enter `found` (exact_found.hpp)
//   offer(scores, p, panels, found)   to `found` what passes in panel p

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

template <class Kernel, class Found>
struct Block {
    MatrixView<const typename Kernel::QueryInput> queries;
    Found* found;  // one a query
};

/// Shows every query of `block` every row of `panels`. The panel stays in the first-level cache
/// while the queries, some tens of KiB, stream past it.
template <class Kernel, class Found, class Reverse>
ALWAYS_INLINE void scan_block(const Panels<Kernel>& panels, const Block<Kernel, Found>& block,
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
        thresholds[i] = judges[i].threshold(block.found[i]);
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
            if (n - first < Kernel::group)  // what is beyond the last query may pass: 0 * inf
                hits &= (1U << (n - first)) - 1;
            reverse.template show<Kernel>(scores, &judges[first], first,
                                          std::min(Kernel::group, n - first), p);
            for (; hits != 0; hits &= hits - 1) {
                const std::size_t r = static_cast<std::size_t>(std::countr_zero(hits));
                judges[first + r].offer(scores + r * Kernel::panel, p, panels,
                                        block.found[first + r]);
                thresholds[first + r] = judges[first + r].threshold(block.found[first + r]);
            }
        }
    }
}

// A slice of the points is packed, then shown to every query before the next one is packed: a chunk
// of parallel_for is one block of queries against one slice. These sizes make it about a
// millisecond where the machine is fast and 50 where it is slow, keep a block in the second-level
// cache and a packed slice near it, and bound the scratch memory. They never change a result.
inline constexpr std::size_t block_rows = 192;
inline constexpr std::size_t slice_bytes = std::size_t{1} << 20;
inline constexpr std::size_t least_panels = 32;  // of long rows: queries are packed once a slice

/// Rows of a block: every thread gets as many blocks as any other, of whole groups.
template <class Kernel>
std::size_t balanced_block(std::size_t n, int threads) {
    const std::size_t workers = static_cast<std::size_t>(std::max(threads, 1));
    const std::size_t blocks = ceil_div(ceil_div(n, block_rows), workers) * workers;
    return ceil_div(ceil_div(n, blocks), Kernel::group) * Kernel::group;
}

/// Offers every point to found[i] of every query i. `reverse` is told their numbers from
/// `first_query` up.
template <class Kernel, class Found, class Reverse>
void scan_panels(MatrixView<const typename Kernel::QueryInput> queries,
                 MatrixView<const typename Kernel::Input> points, Found* found, Reverse& reverse,
                 std::size_t first_query, int threads) {
    const std::size_t panel_bytes = Kernel::panel * ceil_div(points.cols, Kernel::unit) *
                                        Kernel::unit * sizeof(typename Kernel::Word) +
                                    1;
    const std::size_t slice_panels = std::min(std::max(slice_bytes / panel_bytes, least_panels),
                                              ceil_div(points.rows, Kernel::panel) + 1);
    const std::size_t slice_rows = slice_panels * Kernel::panel;
    Panels<Kernel> panels(points.cols, slice_panels);
    const std::size_t block = balanced_block<Kernel>(queries.rows, threads);
    for (std::size_t first = 0; first < points.rows; first += slice_rows) {
        panels.first = static_cast<std::uint32_t>(first);
        panels.rows = points.slice(first, std::min(points.rows, first + slice_rows));
        parallel_for(panels.count(), 64, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t p = begin; p < end; ++p) Kernel::pack(panels, p);
        });
        panels.largest_norm = *std::max_element(panels.norms.begin(), panels.norms.end());
        parallel_for(queries.rows, block, threads, [&](std::size_t begin, std::size_t end) {
            typename Reverse::Block of_rows(panels);
            Kernel::scan(panels, Block<Kernel, Found>{queries.slice(begin, end), found + begin},
                         of_rows);
            reverse.merge(panels, of_rows, first_query + begin);
        });
    }
}

}  // namespace trouvaille::exact
