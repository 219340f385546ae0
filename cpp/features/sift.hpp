// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

struct SiftOptions {
    float magnification = 3;  ///< side of one of the 4 x 4 cells, in units of the frame's axes
    bool root = true;         ///< RootSIFT; else SIFT
};

inline constexpr std::size_t sift_dimensions = 128;

/// The SIFT descriptor of each frame (Lowe 2004), affine or not: row i describes frames[i].
///
/// The photo is sampled in the frame's plane, from the layer of its scale, at 32 x 32 places a
/// sixth of a cell apart. Their gradients, weighed by a Gaussian of two cells, are shared between
/// the two nearest of 8 directions and the four nearest of 4 x 4 cells. The histogram is
/// normalised, cut off at 0.2 and normalised again; SIFT is 512 times that, RootSIFT (Arandjelovic
/// and Zisserman 2012) 512 times the square root of its shares, rounded, at most 255. The order is
/// OpenCV's: cells by row and column of the frame's plane (y, then x), in each the directions
/// anticlockwise as seen, from the frame's x axis. A frame without a gradient gives zeros.
///
/// Requires finite frames, and descriptors of frames.size() rows and `sift_dimensions` columns. The
/// same bits on every instruction set and for any number of threads.
void describe_sift(const ScaleSpace& space, std::span<const Frame> frames,
                   const SiftOptions& options, MatrixView<std::uint8_t> descriptors, int threads);

}  // namespace trouvaille
