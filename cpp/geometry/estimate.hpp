// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/view.hpp"
#include "geometry/matrix3.hpp"

namespace trouvaille {

enum class GeometricModel : std::uint8_t { similarity, affine, homography, fundamental };
inline constexpr std::string_view model_names[] = {"similarity", "affine", "homography",
                                                   "fundamental"};

enum class EstimateScoring : std::uint8_t { msac, magsac };

struct EstimateOptions {
    GeometricModel model = GeometricModel::homography;
    EstimateScoring scoring = EstimateScoring::msac;
    double residual_threshold = 3;      ///< pixels of the second photo; positive, at least 1e-9
    std::uint64_t max_trials = 10'000;  ///< at least 1
    double confidence = 0.999;          ///< in (0, 1)
    std::uint64_t seed = 0;
};

struct Estimate {
    Matrix3 model;  ///< NaN where nothing was found
    std::size_t n_inliers = 0;
    double score = 0;  ///< the sum of the inliers' gains, each from 0 to 1
    std::uint64_t trials = 0;
    std::string reason;  ///< why nothing was found; empty if it was
};

/// The model that explains most matches: rows of `first` and `second` are points x y, or local
/// affine frames a11 a12 x a21 a22 y, as many in both, finite and below 1e18. `quality` is empty
/// or has a number a match, the better the higher; `inliers` has a place a match.
///
/// A match is an inlier if its residual is at most the threshold: the distance in the second photo,
/// or for the fundamental matrix Sampson's. A model is reported only if it explains more than by
/// chance random points would be explained by the best of all trials (an a contrario test), or all.
/// Deterministic: a function of its arguments alone, the same bits on every instruction set.
/// Throws Interrupted (core/interrupt.hpp).
///
/// Fischler, Bolles. Random sample consensus. CACM 1981. Barath, Noskova, Ivashechkin, Matas.
/// MAGSAC++, a fast, reliable and accurate robust estimator. CVPR 2020. Moisan, Stival. A
/// probabilistic criterion to detect rigid point matches between two images. IJCV 2004.
Estimate estimate(MatrixView<const double> first, MatrixView<const double> second,
                  std::span<const double> quality, const EstimateOptions& options,
                  std::span<bool> inliers);

}  // namespace trouvaille
