// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

enum class TransformModel : std::uint8_t { similarity, affine, homography };

struct VerifyOptions {
    TransformModel model = TransformModel::affine;
    double residual_threshold = 8;  ///< pixels of the candidate; positive
    std::size_t min_inliers = 4;    ///< at different places; at least 1
};

/// One query and its shortlist. Frames are rows a11 a12 x a21 a22 y, finite. Candidate i owns the
/// rows frame_offsets[i] to frame_offsets[i + 1] of candidate_frames, and the same of matches;
/// a match is (row of query_frames, row of candidate_frames counted from the candidate's first).
/// Offsets begin with 0, do not decrease, and end with the number of rows; indices are in range.
struct Shortlist {
    MatrixView<const float> query_frames, candidate_frames;
    std::span<const std::int64_t> frame_offsets;
    MatrixView<const std::int32_t> matches;
    std::span<const std::int64_t> match_offsets;
    std::span<const double> weights;  ///< one a match, finite and not negative; or empty: all 1

    std::size_t candidates() const { return match_offsets.size() - 1; }
};

struct Verification {
    std::span<std::int64_t> n_inliers;
    std::span<double> scores;       ///< sums of the inliers' weights
    MatrixView<double> transforms;  ///< a row of nine: query to candidate, homogeneous, the last 1
    std::span<bool> inliers;        ///< one a match
    MatrixView<double> boxes;  ///< x1 y1 x2 y2: the ellipses of the inliers' query frames, mapped
};

/// Which candidates show the query, where, and which matches say so.
///
/// For each candidate, from its matches (p, q) with B = A_candidate A_query^-1:
/// 1. Two matches support each other if the segment between their centres turns and scales as both
///    frames say (ConsistencyKernels::pairs; baselines under 2 thresholds are not judged).
/// 2. The 64 pairs with the most common supporters propose the similarity through their centres;
///    with a common supporter, unless the model is a similarity, the affine map through three
///    centres (64 at the most); the 16 matches that are in such pairs propose their own B, while no
///    better one is known. Centres are accurate where noisy frames are not: a frame 12 degrees off
///    misplaces what is 200 pixels away by 40. Proposing ends when the best explains, within two
///    thresholds, two thirds of the supporters that the next has. Proposals are ranked by what they
///    explain within eight thresholds and within two (ConsistencyKernels::score).
/// 3. The best six are refined by iterated least squares while the threshold shrinks from eight to
///    one; affine only where its inliers determine it and it explains them significantly better
///    than a similarity.
/// 4. The one whose inliers gain most wins (an affine one by half a match), is fitted to all its
///    inliers, and reported if there are min_inliers that are more than the threshold apart from
///    each other, in both photos (counted greedily): a corner that is detected many times says no
///    more than once.
/// 5. If the model is a homography, that result is refined once more, as a homography by least
///    squares (homography_fit.hpp) while the threshold shrinks from eight to one. It replaces the
///    result if its inliers, five at least, determine it, explain it significantly better than
///    their affine map (F-test at 1 in 100), gain half a match more, and lie before its horizon.
/// An inlier lies within the threshold after mapping, in pixels of the candidate, its frame agrees
/// with the transform (ConsistencyKernels::residuals), and each query and each candidate feature
/// is in one inlier only, that of the smallest residual. Matches of singular or mirrored frames
/// are never inliers. Transforms that mirror, scale by more than 20 or tilt by more than 8 are not
/// considered: for a homography, at none of its inliers. A candidate without min_inliers has 0
/// inliers, score 0, and NaN.
///
/// Of more than 128 matches, the 64 of the greatest weight make the proposals (equal ones in a
/// fixed pseudorandom order), which is enough where 12 of all, and min_inliers at different places,
/// come to be inliers; else the 1,024 of the greatest weight, and 180 of them where more than
/// 16,384 pairs support each other, as they do where 150 matches agree; the result is refined with
/// all, and all are counted. So time is quadratic up to 1,024 matches and linear beyond.
///
/// Results depend on nothing but the candidate's own matches, in their order: not on other
/// candidates, `threads` or the instruction set.
/// Throws Interrupted (core/interrupt.hpp), also from within a candidate.
/// Residuals are float32: exact to 0.001 pixels at coordinates below 10,000.
///
/// Philbin, Chum, Isard, Sivic, Zisserman. Object retrieval with large vocabularies and fast
/// spatial matching. CVPR 2007. Chum, Matas, Kittler. Locally optimized RANSAC. DAGM 2003.
/// Common supporters: Chen, Sun, Yang, Tao. SC2-PCR: a second order spatial compatibility. CVPR
/// 2022.
void verify(const Shortlist& shortlist, const VerifyOptions& options, const Verification& out,
            int threads);

}  // namespace trouvaille
