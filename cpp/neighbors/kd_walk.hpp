// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/prefetch.hpp"
#include "neighbors/kd_forest.hpp"
#include "neighbors/kd_panels.hpp"

namespace trouvaille::kd {

/// The cells of a forest not yet entered, nearest first.
///
/// A cell's distance from the query is the sum over the axes of the square of how far it lies off,
/// in steps of the codes: that of its parent, less what the parent lies off on the axis of the
/// split, plus what it does (Arya and Mount. Algorithms for fast vector quantization. DCC 1993).
/// The parent's part is found by going back over the turns away from the query that led to it.
///
/// No cell is nearer than the one it was part of, so the nearest only grows, and a row of stacks
/// serves as the queue (Dial, CACM 12 (11), 1969). A stack holds distances that differ by less than
/// a sixteenth; of those, the last to come is the first to leave.
class Frontier {
  public:
    void start(std::span<const std::uint32_t> roots) {
        cells_.resize(1);
        filled_ = {};
        tops_.resize(stacks);
        for (std::size_t t = roots.size(); t-- > 0;)
            push({0, roots[t], 0, 0, 0, static_cast<std::uint32_t>(t)});
    }

    /// False where no cell is left that may be as near as `limit`. Else `next` may be called.
    bool find(std::int32_t limit) {
        for (std::size_t w = 0; w < filled_.size(); ++w) {
            if (filled_[w] == 0) continue;
            lowest_ = 64 * w + static_cast<std::size_t>(std::countr_zero(filled_[w]));
            return least_of(lowest_) <= limit;
        }
        return false;
    }

    struct Leaf {
        std::uint32_t tree;
        KDNode node;
    };

    /// Takes the cell that `find` found and goes down in it to the query's side, keeping the
    /// others.
    Leaf next(std::span<const KDNode> nodes, const Code& query) {
        const std::uint32_t taken = tops_[lowest_];
        const Cell cell = cells_[taken];
        if ((tops_[lowest_] = cell.below) == 0)
            filled_[lowest_ / 64] &= ~(std::uint64_t{1} << lowest_ % 64);
        std::uint32_t at = cell.node;
        while (nodes[at].count == 0) {
            const KDNode& node = nodes[at];
            const std::int32_t off = query[node.axis] - node.threshold;
            const std::uint32_t left = at + 1, right = at + node.next;
            const std::int32_t before = off_on(node.axis, taken);
            push({cell.distance - before * before + off * off, off < 0 ? right : left, taken,
                  static_cast<std::int16_t>(off), node.axis, cell.tree});
            at = off < 0 ? left : right;
        }
        return {cell.tree, nodes[at]};
    }

  private:
    /// Cells are kept after they are taken: those cut off later refer to them.
    struct Cell {
        std::int32_t distance;
        std::uint32_t node, parent;
        std::int16_t off;
        std::uint8_t axis;
        std::uint32_t tree, below = 0;
    };
    // The first bits of the distance as a float: its exponent and four bits more.
    static constexpr std::uint32_t shift = 19, zero = std::bit_cast<std::uint32_t>(1.0F) >> shift;
    static constexpr std::size_t stacks = 384;  // 16 for each power of two of up to 2^24
    static std::size_t stack_of(std::int32_t distance) {
        return (std::bit_cast<std::uint32_t>(static_cast<float>(distance + 1)) >> shift) - zero;
    }

    static std::int32_t least_of(std::size_t stack) {
        const std::uint32_t bits = (static_cast<std::uint32_t>(stack) + zero) << shift;
        return static_cast<std::int32_t>(std::bit_cast<float>(bits)) - 1;
    }

    void push(Cell cell) {
        const std::size_t stack = stack_of(cell.distance);
        std::uint64_t& filled = filled_[stack / 64];
        const std::uint64_t bit = std::uint64_t{1} << stack % 64;
        cell.below = (filled & bit) != 0 ? tops_[stack] : 0;
        filled |= bit;
        tops_[stack] = static_cast<std::uint32_t>(cells_.size());
        cells_.push_back(cell);
    }
    std::int32_t off_on(std::uint8_t axis, std::uint32_t cell) const {
        for (; cell != 0; cell = cells_[cell].parent)
            if (cells_[cell].axis == axis) return cells_[cell].off;
        return 0;
    }

    std::vector<Cell> cells_;
    std::vector<std::uint32_t> tops_;
    std::array<std::uint64_t, stacks / 64> filled_{};
    std::size_t lowest_ = 0;
};

/// Which places a query has seen: only where there are several trees.
class Seen {
  public:
    void start(std::size_t points) {
        for (const std::uint32_t word : touched_) words_[word] = 0;
        touched_.clear();
        words_.resize((points + 63) / 64);
    }
    /// True the first time.
    bool add(std::uint32_t place) {
        std::uint64_t& word = words_[place / 64];
        if (word == 0) touched_.push_back(place / 64);
        const std::uint64_t bit = std::uint64_t{1} << place % 64;
        const bool first = (word & bit) == 0;
        word |= bit;
        return first;
    }

  private:
    std::vector<std::uint64_t> words_;
    std::vector<std::uint32_t> touched_;
};

/// One query on its way. `Found` takes what is compared: it has limit(), the greatest distance that
/// still counts, and push(distance, row).
template <class Kernel, class T, class Found>
class Walk {
  public:
    Found found;

    void start(const KDForest<T>& forest, const KDSearchOptions& options, const T* query) {
        query_ = query;
        coded_ = CodedQuery(forest.axes, query);
        frontier_.start(forest.roots);
        if (forest.roots.size() > 1) seen_.start(forest.points.rows);
        left_ = options.checks;
        leaf_.node.count = 0;
        candidates_ = 0;
    }

    /// Compares the candidates of the last leaf, finds those of the next, and looks for another
    /// leaf; asks for the memory of both. False at the end.
    ALWAYS_INLINE bool step(const KDForest<T>& forest, const KDSearchOptions& options) {
        compare(forest);
        scan(forest, options);
        if (!advance(forest, options) && candidates_ == 0) return false;
        return true;
    }

  private:
    ALWAYS_INLINE void compare(const KDForest<T>& forest) {
        for (std::size_t i = 0; i < candidates_; ++i) {
            const std::uint32_t place = places_[i];
            found.push(Kernel::compare(query_, forest.points.row(place), forest.points.cols),
                       forest.rows[place]);
        }
        candidates_ = 0;
        limit_ = coded_.limit(found.limit());
    }

    ALWAYS_INLINE void scan(const KDForest<T>& forest, const KDSearchOptions& options) {
        const std::size_t count = leaf_.node.count;
        if (count == 0) return;
        places_.resize(count + panel);
        if (leaf_.tree == 0) {
            const std::size_t begin = leaf_.node.next;
            candidates_ = Kernel::find({forest.panels.data(), forest.units(), begin, begin + count,
                                        coded_.code().data(), limit_},
                                       places_.data());
            if (forest.roots.size() > 1) count_seen(forest, options, begin, count);
            if (!options.alive.empty()) keep_alive(forest, options);
        } else {
            const std::uint32_t* order = forest.orders.row(leaf_.tree - 1) + leaf_.node.next;
            for (std::size_t i = 0; i < count; ++i)
                if (seen_.add(order[i])) places_[candidates_++] = order[i];
            if (!options.alive.empty()) keep_alive(forest, options);
            spend(candidates_);
        }
        for (std::size_t i = 0; i < candidates_; ++i) {
            prefetch(forest.points.row(places_[i]), forest.points.cols);
            prefetch(&forest.rows[places_[i]], 1);
        }
        leaf_.node.count = 0;
    }

    void keep_alive(const KDForest<T>& forest, const KDSearchOptions& options) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < candidates_; ++i) {
            places_[kept] = places_[i];
            kept += has_bit(options.alive, forest.rows[places_[i]]);
        }
        candidates_ = kept;
    }

    /// Keeps the candidates not seen before.
    void count_seen(const KDForest<T>& forest, const KDSearchOptions& options, std::size_t begin,
                    std::size_t count) {
        const bool all_alive = options.alive.empty();
        std::size_t kept = 0, fresh = 0, next = 0;
        for (std::size_t i = begin; i < begin + count; ++i) {
            const bool first = seen_.add(static_cast<std::uint32_t>(i));
            const bool candidate = next < candidates_ && places_[next] == i;
            next += candidate;
            fresh += first && (all_alive || has_bit(options.alive, forest.rows[i]));
            if (candidate && first) places_[kept++] = static_cast<std::uint32_t>(i);
        }
        candidates_ = kept;
        spend(fresh);
    }

    ALWAYS_INLINE bool advance(const KDForest<T>& forest, const KDSearchOptions& options) {
        if (left_ == 0 || !frontier_.find(limit_)) return false;
        leaf_ = frontier_.next(forest.nodes, coded_.code());
        const std::size_t begin = leaf_.node.next, count = leaf_.node.count;
        if (leaf_.tree == 0) {
            prefetch(&forest.panels[panel_byte(begin / panel * panel, 0, forest.units())],
                     panel_bytes(begin % panel + count, forest.units()));
            if (forest.roots.size() == 1) spend(alive_in(forest, options, begin, count));
        } else {
            prefetch(forest.orders.row(leaf_.tree - 1) + begin, count);
        }
        return true;
    }

    static std::size_t alive_in(const KDForest<T>& forest, const KDSearchOptions& options,
                                std::size_t begin, std::size_t count) {
        if (options.alive.empty()) return count;
        std::size_t alive = 0;
        for (std::size_t i = begin; i < begin + count; ++i)
            alive += has_bit(options.alive, forest.rows[i]);
        return alive;
    }

    void spend(std::size_t checks) { left_ -= std::min<std::uint64_t>(checks, left_); }

    const T* query_ = nullptr;
    CodedQuery coded_;
    Frontier frontier_;
    Seen seen_;
    Frontier::Leaf leaf_{};
    std::uint64_t left_ = 0;
    std::int32_t limit_ = 0;
    std::size_t candidates_ = 0;
    std::vector<std::uint32_t> places_;
};

}  // namespace trouvaille::kd
