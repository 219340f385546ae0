// SPDX-License-Identifier: Apache-2.0
#include "geometry/propose.hpp"

#include <algorithm>
#include <bit>

namespace trouvaille {
namespace {

constexpr std::size_t max_pairs = 64, max_triples = 64, max_singles = 16;
constexpr float coarse_factor = 8, fine_factor = 2;

}  // namespace

std::optional<std::span<const Proposal>> Proposer::propose(const Correspondences& matches,
                                                           std::size_t max_edges) {
    matches_ = &matches;
    const float min_baseline = 2 * static_cast<float>(options_.residual_threshold);
    if (!graph_.build(matches, min_baseline, max_edges)) return std::nullopt;
    proposals_.clear();
    best_fine_ = 0;
    propose_pairs();
    propose_singles();
    return proposals_;
}

void Proposer::propose_pairs() {
    std::size_t triples = options_.model == TransformModel::similarity ? 0 : max_triples;
    const Correspondences& c = *matches_;
    for (const std::uint32_t e : graph_.best_edges(options_.min_inliers > 2 ? 3 : 2, max_pairs)) {
        const Edge edge = graph_.edge(e);
        const std::uint32_t supporters = graph_.supporters(e);
        if (settled(supporters)) break;
        propose(similarity_through(c.query(edge.first), c.candidate(edge.first),
                                   c.query(edge.second), c.candidate(edge.second)),
                edge, supporters);
        // Three matches are always explained by an affine map: a fourth must be there to tell.
        if (supporters >= 4 && !settled(supporters))
            triples -= propose_triples(edge, supporters, triples);
    }
}

// Affine maps through the centres of an edge and of a later common supporter; `limit` at the most.
std::size_t Proposer::propose_triples(Edge edge, std::uint32_t supporters, std::size_t limit) {
    const auto pair = [this](std::size_t k) -> WeightedPair {
        return {matches_->query(k), matches_->candidate(k), 1};
    };
    std::size_t proposed = 0;
    for (std::size_t w = edge.second / 64; w < graph_.words(); ++w) {
        std::uint64_t bits = graph_.common_word(edge, w);
        if (w == edge.second / 64) bits &= ~std::uint64_t{0} << (edge.second % 64);
        for (; bits != 0 && proposed < limit; bits &= bits - 1, ++proposed) {
            const auto third = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
            const WeightedPair three[] = {pair(edge.first), pair(edge.second), pair(third)};
            const Moments moments = Moments::of(three);
            const auto affine = fit_affine(moments);
            if (affine && determines_affine(moments, affine->transform.determinant(),
                                            options_.residual_threshold))
                propose(affine->transform, edge, supporters);
        }
    }
    return proposed;
}

void Proposer::propose_singles() {
    if (settled(graph_.most_supporters())) return;
    for (const std::uint32_t i :
         graph_.best_matches(options_.min_inliers > 1 ? 2 : 1, max_singles)) {
        const std::uint32_t supporters = graph_.match_supporters(i);
        if (settled(supporters)) break;
        Affine t = matches_->local(i);
        if (options_.model == TransformModel::similarity)
            t = nearest_similarity(t, matches_->query(i));
        propose(t, {i, i}, supporters);
    }
}

// True if the best proposal explains so much (in its frames' noise, 0.84 a match is to be expected)
// that one with this many supporters has little to add.
bool Proposer::settled(std::uint32_t supporters) const {
    return 3 * best_fine_ >= 2 * score_unit * supporters;
}

// Keeps a proposal that gains more than one match could, if more than two are needed.
void Proposer::propose(const Affine& transform, Edge made_from, std::uint32_t supporters) {
    if (!is_plausible(transform, max_scale, max_tilt)) return;
    const auto threshold = static_cast<float>(options_.residual_threshold);
    const Score score =
        kernels_.score(*matches_, transform, coarse_factor * threshold, fine_factor * threshold);
    if (score.coarse <= (options_.min_inliers > 2 ? score_unit : 0)) return;
    proposals_.push_back({transform, made_from, supporters, score.coarse + score.fine});
    best_fine_ = std::max(best_fine_, score.fine);
}

}  // namespace trouvaille
