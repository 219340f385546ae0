// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <vector>

namespace trouvaille {

/// A local affine frame, as a row-major 2x3 matrix: (u, v) of the feature's own plane lies at
/// (a11 u + a12 v + x, a21 u + a22 v + y) of the photo, in pixels.
struct Frame {
    float a11, a12, x, a21, a22, y;

    /// The geometric mean of its axes: sigma of the Gaussian it was found with. In double: products
    /// of floats are exact there, and none is infinite.
    float scale() const {
        const double area = double{a11} * a22 - double{a12} * a21;
        return static_cast<float>(std::sqrt(std::abs(area)));
    }
};

/// Where a detector found something: the upright, isotropic or affine frame, and how strongly.
struct Keypoint {
    Frame frame;
    float response;
};

using Keypoints = std::vector<Keypoint>;

}  // namespace trouvaille
