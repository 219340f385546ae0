// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/interrupt.hpp"
#include "geometry/consistency.hpp"
#include "geometry/fits.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {

/// The matches of one candidate whose frames are regular, and where they came from.
struct CandidateMatches {
    Correspondences pairs;
    std::vector<std::size_t> origin;             ///< the row of the match
    std::vector<std::int32_t> query, candidate;  ///< the features' numbers

    void reset(std::size_t capacity) {
        pairs.reset(capacity);
        origin.clear();
        query.clear();
        candidate.clear();
    }
    void push_from(const CandidateMatches& other, std::size_t k) {
        pairs.push_from(other.pairs, k);
        origin.push_back(other.origin[k]);
        query.push_back(other.query[k]);
        candidate.push_back(other.candidate[k]);
    }
    std::size_t size() const { return origin.size(); }
};

struct Inlier {
    float square;  ///< of its residual
    double gain;   ///< (1 - square / threshold^2) times the agreement of its frame
    std::size_t match;
};

/// Which matches a transform explains (ConsistencyKernels::residuals). Memory is kept from one call
/// to the next. Throws Interrupted (core/interrupt.hpp).
class InlierFinder {
  public:
    explicit InlierFinder(std::size_t query_features) : query_used_(query_features, 0) {}

    /// Before the matches of a candidate with so many.
    void expect(std::size_t candidate_features) {
        if (candidate_used_.size() < candidate_features)
            candidate_used_.resize(candidate_features, 0);
    }

    /// The matches with residuals below `limit` (of squares) whose frames agree, in order, weighted
    /// by (1 - square / limit) agreement.
    void near(const Correspondences& c, const Affine& transform, double limit,
              std::vector<WeightedPair>& pairs);
    void near(const Correspondences& c, const Matrix3& transform, double limit,
              std::vector<WeightedPair>& pairs);

    /// Those with residuals up to the threshold, but each query and each candidate feature in one
    /// only, that of the smallest residual. In no particular order.
    std::vector<Inlier> inliers(const CandidateMatches& matches, const Affine& transform,
                                double threshold);
    std::vector<Inlier> inliers(const CandidateMatches& matches, const Matrix3& transform,
                                double threshold);

  private:
    void measure(const Correspondences& c, const Affine& transform, double limit);
    void measure(const Correspondences& c, const Matrix3& transform, double limit);
    void make_room(const Correspondences& c);
    template <class Found>
    void for_each_near(std::size_t n, double limit, Found found) const;
    void collect(const Correspondences& c, double limit, std::vector<WeightedPair>& pairs) const;
    std::vector<Inlier> choose(const CandidateMatches& matches, double limit);

    const ConsistencyKernels& kernels_ = consistency_kernels();
    InterruptPoll poll_;
    std::vector<float> squares_, agreements_;
    std::vector<std::uint8_t> near_;
    std::vector<Inlier> found_;                              // before the one-to-one choice
    std::vector<std::uint8_t> query_used_, candidate_used_;  // all zero between uses
};

}  // namespace trouvaille
