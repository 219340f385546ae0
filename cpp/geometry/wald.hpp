// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace trouvaille {

/// Wald's sequential test: after m matches, a hypothesis with fewer than slope m - offset inliers
/// is given up.
struct Rejection {
    float slope = 0, offset = 0;

    bool operator()(std::int32_t inliers, std::size_t m) const {
        return static_cast<float>(inliers) < slope * static_cast<float>(m) - offset;
    }
};

/// The test between a model that explains a match with the chance `good` and one that explains it
/// with the chance `bad`, at the odds that cost least time, where making a hypothesis costs as much
/// as `solving` residuals.
///
/// Matas, Chum. Randomized RANSAC with sequential probability ratio test. ICCV 2005.
struct WaldTest {
    Rejection rejected;
    double passing = 1;  ///< how often a good model is not given up, at least

    static WaldTest between(double good, double bad, double solving) {
        const double per_inlier = std::log(good / bad);
        const double per_outlier = std::log((1 - bad) / (1 - good));
        const double information = (1 - bad) * per_outlier - bad * per_inlier;  // a match, of a bad
        double odds = solving * information + 1;
        for (int i = 0; i < 3; ++i) odds = solving * information + 1 + std::log(odds);
        const double both = per_inlier + per_outlier;
        return {{static_cast<float>(per_outlier / both), static_cast<float>(std::log(odds) / both)},
                1 - 1 / odds};
    }
};

}  // namespace trouvaille
