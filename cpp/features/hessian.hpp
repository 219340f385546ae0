// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "features/extrema.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// Blobs and saddles: extrema over space and scale of the determinant of the Hessian,
///
///     sigma^4 (Lxx Lyy - Lxy^2),
///
/// of the photo L smoothed by sigma (Lindeberg, IJCV 1998; Mikolajczyk and Schmid, IJCV 2004),
/// maxima being dark and bright blobs, minima saddles. Position and scale are refined.
///
/// Frames are isotropic, upright and of scale sigma; responses are magnitudes of the determinant in
/// squared gray levels. In order of octave and row. The same bits on every instruction set and for
/// any number of threads.
Keypoints detect_hessian(const ScaleSpace& space, const ExtremaOptions& options, int threads);

}  // namespace trouvaille
