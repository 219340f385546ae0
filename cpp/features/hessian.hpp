// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// Blobs: maxima over space, at several scales, of the determinant of the Hessian,
///
///     sigma^4 (Lxx Lyy - Lxy^2)   of the photo L smoothed by sigma,
///
/// where its trace, the Laplacian, is an extremum over scale: Hessian-Laplace (Mikolajczyk and
/// Schmid, IJCV 2004), thinned as in features/laplace.hpp. Scales are a third of an octave apart,
/// from that of the second layer of octave number `first_octave` of the space. Position and scale
/// are refined by quadratics.
///
/// Frames are isotropic, upright and of scale sigma; responses are the determinant, in squared gray
/// levels, above `threshold` (> 0). In order of octave and rows. The same bits on every
/// instruction set and for any number of threads.
Keypoints detect_hessian(const ScaleSpace& space, std::size_t first_octave, float threshold,
                         int threads);

}  // namespace trouvaille
