// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "geometry/consistency.hpp"
#include "geometry/fits.hpp"
#include "geometry/match_graph.hpp"
#include "geometry/transforms.hpp"
#include "geometry/verify.hpp"

namespace trouvaille {

/// Transforms that mirror, scale by more or tilt by more are not considered.
inline constexpr double max_scale = 20, max_tilt = 8;

/// Whether the spread of the points across their main direction, seen in the candidate (whose area
/// is `area` times the query's), is 2.5 thresholds: the root of the sum of squares. A match is
/// wrong by about a quarter of the threshold, so a shear is then known within 0.1.
inline bool determines_affine(const Moments& moments, double area, double threshold) {
    return scatter_across(moments) * area >= 6.25 * threshold * threshold;
}

/// A transform and the matches it was made from (the same twice if it was one).
struct Proposal {
    Affine transform;
    Edge made_from;
    std::uint32_t supporters;  ///< of the edge (MatchGraph), with itself
    std::int64_t score;
};

/// Step 2 of `verify`: the transforms that a candidate's matches propose. Memory is kept from one
/// candidate to the next.
class Proposer {
  public:
    explicit Proposer(const VerifyOptions& options) : options_(options) {}

    /// In the order in which they were made; none if more than `max_edges` pairs of matches support
    /// each other. Valid until the next call.
    std::optional<std::span<const Proposal>> propose(const Correspondences& matches,
                                                     std::size_t max_edges);

  private:
    void propose_pairs();
    std::size_t propose_triples(Edge edge, std::uint32_t supporters, std::size_t limit);
    void propose_singles();
    void propose(const Affine& transform, Edge made_from, std::uint32_t supporters);
    bool settled(std::uint32_t supporters) const;

    VerifyOptions options_;
    const ConsistencyKernels& kernels_ = consistency_kernels();
    const Correspondences* matches_ = nullptr;
    MatchGraph graph_;
    std::vector<Proposal> proposals_;
    std::int64_t best_fine_ = 0;
};

}  // namespace trouvaille
