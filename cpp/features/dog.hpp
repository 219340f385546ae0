// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// What counts as an extremum.
struct DogOptions {
    float threshold;       ///< of the interpolated difference's magnitude, in gray levels
    float max_edge_ratio;  ///< of the principal curvatures of the difference; above lies an edge
};

/// Blobs: the extrema over space and scale of the difference of Gaussians (Lowe 2004), in gray
/// levels, refined to a fraction of a pixel and of a scale. Frames are upright and isotropic, their
/// scale the sigma of the finer Gaussian. In an order of the photo's alone; the same bits on every
/// instruction set and for any number of threads.
Keypoints detect_dog(const ScaleSpace& space, const DogOptions& options, int threads);

}  // namespace trouvaille
