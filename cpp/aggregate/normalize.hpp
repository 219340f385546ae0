// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace trouvaille {

/// What is done to the vector of a photo, in this order. A vector of zeros stays one.
///
/// Jegou, Chum. Negative evidences and co-occurences in image retrieval: the benefit of PCA and
/// whitening. ECCV 2012. Arandjelovic, Zisserman. All about VLAD. CVPR 2013.
struct Normalization {
    double power = 1;       ///< each number's magnitude is raised to it, and the sign kept
    std::size_t block = 0;  ///< so many numbers in a row get length 1; 0: nothing is done
    bool unit = true;       ///< the whole gets length 1
};

/// Writes v.size() numbers to `out`, and leaves `v` undefined. Float64 in one order, rounded once
/// (to the largest float32 where a number is larger); the same bits on every instruction set, as
/// far as libm's pow is for powers other than 1 and 1/2.
using Normalize = void (*)(std::span<double> v, const Normalization& how, float* out);

/// The one for the active instruction set: chosen once a call of a kernel.
Normalize normalizer();

}  // namespace trouvaille
