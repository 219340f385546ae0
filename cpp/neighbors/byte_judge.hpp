// SPDX-License-Identifier: Apache-2.0
#pragma once

// What decides for a query of bytes; see exact_search.hpp. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/target.hpp"
#include "neighbors/exact_search.hpp"
#include "neighbors/metric.hpp"

namespace trouvaille::exact {

/// Decides by the keys (metric.hpp) of bytes, which follow from the scores exactly.
///
/// Where numbers are multiplied, words are stored less 128, so that they fit a signed byte. The
/// score of query q and row w, and their key, is
///   l2: s = q.(w - 128) - floor(|w|^2 / 2), |q|^2 - 2 q.w + |w|^2 = c - 2 s + odd,
///       c = |q|^2 - 256 sum(q), odd = |w|^2 mod 2;
///   inner product: s = q.(w - 128), -q.w = c - s, c = -128 sum(q);
///   l1: s = -sum |q - w|, and c - s, c = 0.
/// `norms` of the panels are |w|^2 for l2, otherwise 0.
template <class Kernel>
class ByteJudge {
  public:
    ByteJudge(const std::uint8_t* query, const Panels<Kernel>& panels) {
        for (std::size_t d = 0; d < panels.rows.cols; ++d) {
            const std::int32_t q = query[d];
            if (Kernel::metric == Metric::l2) constant_ += q * (q - 256);
            if (Kernel::metric == Metric::inner_product) constant_ -= 128 * q;
        }
    }

    std::int32_t constant() const { return constant_; }

    /// A row enters if c - s < worst; for l2 if c - 2 s + odd < worst, thus only if
    /// s > floor((c - worst) / 2).
    template <class Found>
    ALWAYS_INLINE std::int32_t threshold(const Found& found) const {
        if (!found.full()) return std::numeric_limits<std::int32_t>::min();
        const std::int64_t least = std::int64_t{constant_} - found.worst().score;
        constexpr std::int64_t lowest = std::numeric_limits<std::int32_t>::min();
        return static_cast<std::int32_t>(
            std::max(Kernel::metric == Metric::l2 ? least >> 1 : least, lowest));
    }

    template <class Found>
    ALWAYS_INLINE void offer(const std::int32_t* scores, std::size_t p,
                             const Panels<Kernel>& panels, Found& best) const {
        constexpr std::int64_t per_score = Kernel::metric == Metric::l2 ? 2 : 1;
        const std::int32_t* norms = &panels.norms[p * Kernel::panel];
        const auto first = panels.first + static_cast<std::uint32_t>(p * Kernel::panel);
        const auto push = [&](std::size_t j) {
            const std::int64_t key = constant_ - per_score * scores[j] + (norms[j] & 1);
            best.push(static_cast<std::int32_t>(key), first + static_cast<std::uint32_t>(j));
        };
        if (best.capacity() == 1) return push(nearest(scores, norms));
        if (best.capacity() == 2 && best.size() == 0) {  // without a threshold all would pass
            const std::size_t row = nearest(scores, norms);
            std::int32_t others[Kernel::panel];
            std::copy_n(scores, Kernel::panel, others);
            others[row] = std::numeric_limits<std::int32_t>::min();
            push(row);
            return push(nearest(others, norms));
        }
        std::uint32_t rows[Kernel::panel];
        const std::size_t passed =
            passing_rows<Kernel::panel>(scores, threshold(best), Kernel::panel, rows);
        for (std::size_t i = 0; i < passed; ++i) push(rows[i]);
    }

  private:
    /// The first of the nearest rows: with the highest score, and of those an even norm. Two loops
    /// that the compiler vectorises.
    ALWAYS_INLINE static std::size_t nearest(const std::int32_t* scores,
                                             const std::int32_t* norms) {
        constexpr std::int32_t rows = Kernel::panel;
        std::int32_t score = scores[0];
        for (std::int32_t j = 1; j < rows; ++j) score = std::max(score, scores[j]);
        std::int32_t order = 2 * rows;  // odd * rows + j
        for (std::int32_t j = 0; j < rows; ++j)
            order = std::min(order, scores[j] == score ? (norms[j] & 1) * rows + j : 2 * rows);
        return static_cast<std::size_t>(order % rows);
    }

    std::int32_t constant_ = 0;
};

}  // namespace trouvaille::exact
