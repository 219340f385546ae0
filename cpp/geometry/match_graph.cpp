// SPDX-License-Identifier: Apache-2.0
#include "geometry/match_graph.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace trouvaille {

bool MatchGraph::build(const Correspondences& c, float min_baseline, std::size_t max_edges) {
    const ConsistencyKernels& kernels = consistency_kernels();
    words_ = (c.size() + 63) / 64;
    rows_.assign(c.size() * words_, 0);
    const std::size_t count = kernels.pairs(c, min_baseline, words_, rows_.data());
    if (count > max_edges) return false;
    edges_.resize(count);
    list_edges(c.size());
    common_.resize(edges_.size());
    most_ = edges_.empty() ? 1 : kernels.common(rows_.data(), words_, edges_, common_.data()) + 2;
    of_match_.resize(c.size());
    return true;
}

// Fills edges_, which has their number, from the bits j > i of rows_, and mirrors these. Most words
// are empty and few have two bits: so the first is taken without asking, and counted if it is one.
void MatchGraph::list_edges(std::size_t n) {
    const std::size_t count = edges_.size();
    edges_.resize(count + 1);
    Edge* edge = edges_.data();
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t w = i / 64; w < words_; ++w) {
            std::uint64_t bits = rows_[i * words_ + w];
            do {
                const std::size_t j = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
                *edge = {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j)};
                edge += bits != 0;
                bits &= bits - 1;
            } while (bits != 0);
        }
    edges_.resize(count);
    for (const auto& [i, j] : edges_) rows_[j * words_ + i / 64] |= std::uint64_t{1} << (i % 64);
}

std::span<const std::uint32_t> MatchGraph::best_edges(std::uint32_t least, std::size_t limit) {
    return rank(common_, std::max(least, 2U) - 2, limit);
}

std::span<const std::uint32_t> MatchGraph::best_matches(std::uint32_t least, std::size_t limit) {
    std::fill(of_match_.begin(), of_match_.end(), 1);
    for (std::size_t e = 0; e < edges_.size(); ++e)
        for (const std::uint32_t end : {edges_[e].first, edges_[e].second})
            of_match_[end] = std::max(of_match_[end], supporters(e));
    return rank(of_match_, least, limit);
}

// Sorts by counting: no count is above most_.
std::span<const std::uint32_t> MatchGraph::rank(std::span<const std::uint32_t> counts,
                                                std::uint32_t least, std::size_t limit) {
    places_.assign(most_ + 1, 0);
    for (const std::uint32_t count : counts) ++places_[count];
    std::uint32_t before = 0;  // how many have more
    std::size_t enough = 0;    // how many have `least`
    for (std::uint32_t count = most_ + 1; count-- > 0;) {
        before += std::exchange(places_[count], before);
        if (count == least) enough = before;
    }
    ranked_.resize(counts.size());
    for (std::uint32_t k = 0; k < counts.size(); ++k) ranked_[places_[counts[k]]++] = k;
    return std::span(ranked_).first(std::min(enough, limit));
}

}  // namespace trouvaille
