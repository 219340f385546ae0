// SPDX-License-Identifier: Apache-2.0
#include "geometry/inliers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

namespace trouvaille {
namespace {

// Rounded up to float32; `for_each_near` leaves out what is beyond.
float rounded_up(double limit) {
    return std::nextafter(static_cast<float>(limit), std::numeric_limits<float>::infinity());
}

}  // namespace

void InlierFinder::near(const Correspondences& c, const Affine& transform, double limit,
                        std::vector<WeightedPair>& pairs) {
    measure(c, transform, limit);
    collect(c, limit, pairs);
}

void InlierFinder::near(const Correspondences& c, const Matrix3& transform, double limit,
                        std::vector<WeightedPair>& pairs) {
    measure(c, transform, limit);
    collect(c, limit, pairs);
}

std::vector<Inlier> InlierFinder::inliers(const CandidateMatches& matches, const Affine& transform,
                                          double threshold) {
    measure(matches.pairs, transform, threshold * threshold);
    return choose(matches, threshold * threshold);
}

std::vector<Inlier> InlierFinder::inliers(const CandidateMatches& matches, const Matrix3& transform,
                                          double threshold) {
    measure(matches.pairs, transform, threshold * threshold);
    return choose(matches, threshold * threshold);
}

void InlierFinder::measure(const Correspondences& c, const Affine& transform, double limit) {
    make_room(c);
    kernels_.residuals(c, transform, rounded_up(limit), squares_.data(), agreements_.data(),
                       near_.data());
}

void InlierFinder::measure(const Correspondences& c, const Matrix3& transform, double limit) {
    make_room(c);
    kernels_.projective_residuals(c, transform, rounded_up(limit), squares_.data(),
                                  agreements_.data(), near_.data());
}

void InlierFinder::make_room(const Correspondences& c) {
    poll_.did(c.size());
    squares_.resize(c.blocks() * Correspondences::block);
    agreements_.resize(squares_.size());
    near_.resize(squares_.size());
}

// Calls found(k, 1 - squares_[k] / limit) for each of n measured matches that is within the limit
// and whose frame agrees.
template <class Found>
void InlierFinder::for_each_near(std::size_t n, double limit, Found found) const {
    constexpr std::size_t together = 8;
    static_assert(Correspondences::block % together == 0);
    for (std::size_t begin = 0; begin < n; begin += together) {
        std::uint64_t any;
        std::memcpy(&any, near_.data() + begin, sizeof any);
        if (any == 0) continue;
        for (std::size_t k = begin; k < begin + together; ++k)
            if (near_[k] != 0 && squares_[k] <= limit) found(k, 1 - squares_[k] / limit);
    }
}

void InlierFinder::collect(const Correspondences& c, double limit,
                           std::vector<WeightedPair>& pairs) const {
    pairs.clear();
    for_each_near(c.size(), limit, [&](std::size_t k, double near) {
        if (near > 0) pairs.push_back({c.query(k), c.candidate(k), near * agreements_[k]});
    });
}

std::vector<Inlier> InlierFinder::choose(const CandidateMatches& matches, double limit) {
    found_.clear();
    for_each_near(matches.size(), limit, [this](std::size_t k, double near) {
        found_.push_back({squares_[k], near * agreements_[k], k});
    });
    const auto query_used = [&](const Inlier& inlier) -> std::uint8_t& {
        return query_used_[static_cast<std::size_t>(matches.query[inlier.match])];
    };
    const auto candidate_used = [&](const Inlier& inlier) -> std::uint8_t& {
        return candidate_used_[static_cast<std::size_t>(matches.candidate[inlier.match])];
    };
    // Matches that are one to one need no choice.
    bool shared = false;
    for (const Inlier& inlier : found_) {
        shared |= (query_used(inlier) | candidate_used(inlier)) != 0;
        query_used(inlier) = candidate_used(inlier) = 1;
    }
    for (const Inlier& inlier : found_) query_used(inlier) = candidate_used(inlier) = 0;
    poll_.did(found_.size());
    if (!shared) return found_;
    std::sort(found_.begin(), found_.end(), [this](const Inlier& a, const Inlier& b) {
        poll_.did(1);
        return std::tie(a.square, a.match) < std::tie(b.square, b.match);
    });
    std::vector<Inlier> chosen;
    chosen.reserve(found_.size());
    for (const Inlier& inlier : found_) {
        poll_.did(1);
        if (query_used(inlier) != 0 || candidate_used(inlier) != 0) continue;
        query_used(inlier) = candidate_used(inlier) = 1;
        chosen.push_back(inlier);
    }
    for (const Inlier& inlier : chosen) {
        poll_.did(1);
        query_used(inlier) = candidate_used(inlier) = 0;
    }
    return chosen;
}

}  // namespace trouvaille
