// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "features/image.hpp"

namespace trouvaille {

/// A plane that kernels can run over in whole vectors has rows of this many values: a multiple of
/// 16, and an odd one, because rows a multiple of 4 KiB apart would share one set of the cache.
constexpr std::size_t padded_stride(std::size_t width) {
    return ((width + 15) / 16 | 1) * 16;
}

/// The middle and right half of a Gaussian, taps[0] + 2 (taps[1] + ...) = 1, cut off at 3.5 sigma
/// or at 6 pixels. Its spectrum is the Gaussian's up to the sampling limit: samples of a Gaussian
/// of 0.6 pixels would let twice as much of the highest frequencies pass, which a difference of two
/// takes for detail.
std::vector<float> gaussian_taps(double sigma);

/// to = from * g, g(x, y) = taps[|x|] taps[|y|], mirrored at the borders. Float32 sums, the same
/// bits on every instruction set and for any number of threads; within 1e-6 of the largest
/// magnitude in `from`. Requires equal sizes, to.stride = padded_stride(width), taps not empty, and
/// planes that do not overlap. All of `to`'s row is written, what lies beyond the width with finite
/// values.
void blur(ImageView<const float> from, ImageView<float> to, std::span<const float> taps,
          int threads);

}  // namespace trouvaille
