// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

struct AffineShapeOptions {
    int max_iterations = 16;      ///< a shape that has not converged by then is given up
    float convergence = 0.1F;     ///< 1 - the ratio of the last step's axes
    float max_anisotropy = 6.0F;  ///< ratio of the region's axes beyond which it is given up
};

/// Why a region has no affine shape.
enum class ShapeOutcome : std::uint8_t {
    converged,
    unconverged,   ///< still changing after `max_iterations`
    elongated,     ///< an edge: more than `max_anisotropy`
    unstructured,  ///< a gradient of one direction only, or none
    outside,       ///< its center is, it has no scale or more than the photo, or is not finite
};

struct AffineShapes {
    std::vector<Frame> frames;  ///< as given where not converged
    std::vector<ShapeOutcome> outcomes;
};

/// The affine shape of each region, one outcome a keypoint, in their order: Baumberg's iteration
/// ("Reliable feature matching across widely separated views", CVPR 2000; Mikolajczyk and Schmid,
/// IJCV 2004), with the position and the scale of the detector left as they are.
///
/// Seen through the frame A that it seeks, a region has no preferred direction: the second moments
/// of its gradients, under a Gaussian window of 3.75 times its scale, are a multiple of the
/// identity. From the isotropic frame, A <- A L, with L L^T the inverse of the moments M measured
/// through A, scaled to a determinant of 1, until L's axes differ by less than `convergence`.
/// Gradients are taken in the layer of half the region's scale, whose border pixels go on for ever:
/// a region near the border keeps its shape.
///
/// Of the frames that make the same ellipse the one returned leaves the vertical vertical (a12 = 0,
/// a11 > 0, a22 > 0; Perdoch et al., CVPR 2009): L is a lower triangle, and so is A. Its scale is
/// the keypoint's.
///
/// Of a keypoint's frame only the center and the scale count. The same bits on every instruction
/// set and for any number of threads; within 0.2 % of the scale of the same steps in float64.
AffineShapes affine_shapes(const ScaleSpace& space, std::span<const Keypoint> keypoints,
                           const AffineShapeOptions& options, int threads);

}  // namespace trouvaille
