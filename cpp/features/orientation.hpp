// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

struct OrientationOptions {
    std::size_t max_orientations = 4;  ///< a frame
    float min_peak = 0.8F;             ///< a further direction's share of the strongest one's peak
};

/// Frames turned to their dominant gradients, and which frame each was made from.
struct Oriented {
    std::vector<Frame> frames;
    std::vector<std::uint32_t> sources;
};

/// Turns each frame so that its x axis points along a dominant gradient of its
/// surroundings (Lowe 2004): peaks of the histogram of 36 directions of gradients, weighed by a
/// Gaussian of 1.5 times its scale, smoothed, and interpolated. The strongest peak comes first; of
/// equal peaks, that of the smaller angle. Without a gradient a frame stays as it is. In the order
/// of the frames. Requires finite frames; of entries above 1e18 a turned one may be infinite. The
/// same bits on every instruction set and for any number of threads.
Oriented orient(const ScaleSpace& space, std::span<const Frame> frames,
                const OrientationOptions& options, int threads);

}  // namespace trouvaille
