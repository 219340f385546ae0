// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who is whose nearest, between a query and one candidate. Private to geometry/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "geometry/match.hpp"

namespace trouvaille {

/// The nearest feature so far; the smaller number among equals, in whatever order they are offered.
class Nearest {
  public:
    void offer(std::int32_t distance, std::uint32_t feature) {
        key_ = std::min(key_, static_cast<std::uint64_t>(distance) << 32 | feature);
    }
    bool exists() const { return key_ != none; }
    std::int32_t distance() const { return static_cast<std::int32_t>(key_ >> 32); }
    std::uint32_t feature() const { return static_cast<std::uint32_t>(key_); }

  private:
    static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t key_ = none;
};

/// Of each feature of the query the nearest of the candidate, and the other way round.
struct NearestOfBoth {
    std::vector<Nearest> of_query, of_candidate;

    void clear(std::size_t queries, std::size_t features) {
        of_query.assign(queries, {});
        of_candidate.assign(features, {});
    }

    void offer(std::uint32_t q, std::uint32_t c, std::int32_t distance) {
        of_query[q].offer(distance, c);
        of_candidate[c].offer(distance, q);
    }

    /// The mutual nearest whose distance is at most bound(q), in the order of the query's features.
    template <class Bound>
    Matches::Part mutual(Bound bound) const {
        Matches::Part result;
        for (std::uint32_t q = 0; q < of_query.size(); ++q) {
            const Nearest& nearest = of_query[q];
            if (!nearest.exists() || nearest.distance() > bound(q)) continue;
            if (of_candidate[nearest.feature()].feature() != q) continue;
            result.pairs.push_back(
                {static_cast<std::int32_t>(q), static_cast<std::int32_t>(nearest.feature())});
            result.values.push_back(nearest.distance());
        }
        return result;
    }
};

/// Keeps the nearest `most`, in their order.
inline void keep_nearest(Matches::Part& matches, std::size_t most) {
    if (matches.pairs.size() <= most) return;
    std::vector<std::size_t> order(matches.pairs.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(order.begin(), middle, order.end(), [&](std::size_t a, std::size_t b) {
        return matches.values[a] != matches.values[b] ? matches.values[a] < matches.values[b]
                                                      : a < b;
    });
    std::sort(order.begin(), middle);
    for (std::size_t i = 0; i < most; ++i) {  // order[i] >= i: nothing is read after it is written
        matches.pairs[i] = matches.pairs[order[i]];
        matches.values[i] = matches.values[order[i]];
    }
    matches.pairs.resize(most);
    matches.values.resize(most);
}

}  // namespace trouvaille
