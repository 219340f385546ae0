// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// Corners: maxima over space of the Harris measure at several scales,
///
///     det M - 0.04 (trace M)^2,   M = sigma_D^2 g(sigma) * (gradient gradient^T of L(sigma_D)),
///
/// where the Laplacian of L(sigma) is an extremum over scale: Harris-Laplace (Mikolajczyk and
/// Schmid, IJCV 2004), thinned as in features/laplace.hpp. Scales are a third of an octave apart,
/// from that of the second layer of octave number `first_octave` of the space; sigma_D = 0.79 sigma
/// is that of the layer below. Position and scale are refined by quadratics.
///
/// Frames are isotropic, upright and of scale sigma; responses are the measure, in gray levels to
/// the fourth power, above `threshold` (> 0). In order of octave and rows. The same bits on
/// every instruction set and for any number of threads.
Keypoints detect_harris(const ScaleSpace& space, std::size_t first_octave, float threshold,
                        int threads);

}  // namespace trouvaille
