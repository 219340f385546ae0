// SPDX-License-Identifier: Apache-2.0
#pragma once

// The other direction of a search between bytes: while each query finds its nearest rows, each row
// finds its nearest query, from the same scores. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <span>

#include "core/simd.hpp"
#include "neighbors/panels.hpp"

namespace trouvaille::exact {

/// For a search in one direction: takes nothing, and costs nothing.
struct NoReverse {
    struct Block {
        static constexpr bool wants_scores = false;
        template <class Kernel>
        explicit Block(const Panels<Kernel>&) {}
        template <class Kernel, class Score, class Judge>
        void show(const Score*, const Judge*, std::size_t, std::size_t, std::size_t) {}
    };
    template <class Kernel>
    void merge(const Panels<Kernel>&, const Block&, std::size_t) {}
};

/// The nearest query of each row of the database, the smaller number first among equals. Before any
/// query is shown: id -1, and the largest distance.
class NearestQueries {
  public:
    NearestQueries(std::span<std::int32_t> distances, std::span<std::int64_t> ids)
        : distances_(distances), ids_(ids) {
        std::fill(distances.begin(), distances.end(), std::numeric_limits<std::int32_t>::max());
        std::fill(ids.begin(), ids.end(), -1);
    }

    /// Of each row of a slice, the nearest query of one block.
    class Block {
      public:
        static constexpr bool wants_scores = true;

        template <class Kernel>
        explicit Block(const Panels<Kernel>& panels)
            : keys_(panels.count() * Kernel::panel, std::numeric_limits<std::int32_t>::max()),
              queries_(keys_.size()) {}

        /// Shows the scores of queries [first, first + n) of the block to the rows of panel p. Call
        /// with ascending queries: the first of several equals stays.
        ///
        /// Distances of one row differ by c - 2 s (see exact_bytes.cpp): at least -1 and below
        /// 2^31, though its terms may wrap.
        template <class Kernel, class Judge>
        ALWAYS_INLINE void show(const std::int32_t* scores, const Judge* judges, std::size_t first,
                                std::size_t n, std::size_t p) {
            constexpr std::size_t N = Kernel::vector;
            using Words = typename VectorOf<std::uint32_t, N>::type;
            for (std::size_t j = 0; j < Kernel::panel; j += N) {
                std::int32_t* keys = &keys_[p * Kernel::panel + j];
                std::int32_t* queries = &queries_[p * Kernel::panel + j];
                Ints<N> nearest, query;
                std::memcpy(&nearest, keys, sizeof nearest);
                std::memcpy(&query, queries, sizeof query);
                for (std::size_t r = 0; r < n; ++r) {
                    Words score;
                    std::memcpy(&score, scores + r * Kernel::panel + j, sizeof score);
                    const auto constant = static_cast<std::uint32_t>(judges[r].constant());
                    const auto key = (Ints<N>)(constant - (score + score));
                    // Rows beyond the last have any key: there the difference may wrap.
                    const auto closer = where_negative<N>((Ints<N>)((Words)key - (Words)nearest));
                    nearest = min(key, nearest);
                    const Ints<N> number = Ints<N>{} + static_cast<std::int32_t>(first + r);
                    query = (number & closer) | (query & ~closer);
                }
                std::memcpy(keys, &nearest, sizeof nearest);
                std::memcpy(queries, &query, sizeof query);
            }
        }

      private:
        friend NearestQueries;
        AlignedVector<std::int32_t> keys_, queries_;
    };

    /// Takes what a block whose first query is number `first` found. Blocks may come in any order,
    /// from several threads.
    template <class Kernel>
    void merge(const Panels<Kernel>& panels, const Block& block, std::size_t first) {
        const std::lock_guard lock(mutex_);
        for (std::size_t j = 0; j < panels.rows.rows; ++j) {
            std::int32_t& distance = distances_[panels.first + j];
            std::int64_t& id = ids_[panels.first + j];
            const std::int32_t found = block.keys_[j] + (panels.norms[j] & 1);
            const std::int64_t query = static_cast<std::int64_t>(first) + block.queries_[j];
            if (found > distance || (found == distance && id != -1 && id < query)) continue;
            distance = found;
            id = query;
        }
    }

  private:
    std::mutex mutex_;
    std::span<std::int32_t> distances_;
    std::span<std::int64_t> ids_;
};

}  // namespace trouvaille::exact
