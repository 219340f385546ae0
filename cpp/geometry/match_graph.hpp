// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "geometry/consistency.hpp"

namespace trouvaille {

/// Which matches of a candidate support each other (ConsistencyKernels::pairs): an undirected graph
/// with an edge for each such pair. Memory is kept from one candidate to the next.
class MatchGraph {
  public:
    /// Quadratic in the number of matches. False, and no graph, if there are more edges than that.
    bool build(const Correspondences& c, float min_baseline, std::size_t max_edges);

    /// An edge's supporters: the matches that both ends support, and the two. All that agree with
    /// each other, the ends among them, are at most so many.
    std::uint32_t supporters(std::size_t edge) const { return common_[edge] + 2; }
    std::size_t words() const { return words_; }
    /// Bits 64 w to 64 w + 63 of the common supporters of an edge's ends.
    std::uint64_t common_word(Edge e, std::size_t w) const {
        return rows_[e.first * words_ + w] & rows_[e.second * words_ + w];
    }
    Edge edge(std::size_t e) const { return edges_[e]; }
    /// The most that any edge has; 1 if there is none.
    std::uint32_t most_supporters() const { return most_; }

    /// The `limit` edges with the most supporters, most first, and the first first among equals;
    /// none that has fewer than `least`. Valid until the next call of this or the next.
    std::span<const std::uint32_t> best_edges(std::uint32_t least, std::size_t limit);
    /// The same of matches: a match has the supporters of that edge of its which has the most.
    std::span<const std::uint32_t> best_matches(std::uint32_t least, std::size_t limit);
    /// Those of a match. Requires a call of best_matches.
    std::uint32_t match_supporters(std::size_t match) const { return of_match_[match]; }

  private:
    void list_edges(std::size_t n);
    std::span<const std::uint32_t> rank(std::span<const std::uint32_t> counts, std::uint32_t least,
                                        std::size_t limit);

    std::size_t words_ = 0;
    std::uint32_t most_ = 1;
    std::vector<std::uint64_t> rows_;  // symmetric: bit j of row i, words_ words a row
    std::vector<Edge> edges_;          // first < second, in order
    std::vector<std::uint32_t> common_, of_match_, places_, ranked_;
};

}  // namespace trouvaille
