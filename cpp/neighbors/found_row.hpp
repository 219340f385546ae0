// SPDX-License-Identifier: Apache-2.0
#pragma once

// How searches write what they found. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/topk.hpp"
#include "neighbors/exact_found.hpp"

namespace trouvaille {

/// The places of one query.
template <class D>
struct FoundRow {
    D* distances;
    std::int64_t* ids;
    std::size_t k;

    /// Marks all from `begin` on as having no point.
    void end_at(std::size_t begin) const {
        std::fill(distances + begin, distances + k, exact::farthest<D>);
        std::fill(ids + begin, ids + k, -1);
    }

    /// Fills the first with at most k points, in their order, and marks the others.
    void write(std::span<const Ranked<D, std::uint32_t>> nearest) const {
        for (std::size_t i = 0; i < nearest.size(); ++i) {
            distances[i] = nearest[i].score;
            ids[i] = std::int64_t{nearest[i].id};
        }
        end_at(nearest.size());
    }
};

}  // namespace trouvaille
