// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// Binary residuals: of each photo its words, ascending, with signatures. Bit j of one is whether
/// component j of a sum of differences, descriptor minus word, is above 0.
struct Residuals {
    std::vector<std::int64_t> offsets;  // those of photo p are [offsets[p], offsets[p + 1])
    std::vector<std::uint32_t> words;
    std::vector<std::uint8_t> signatures;  // ceil(dims / 8) bytes each
};

/// Signatures of the descriptors of photos, photo p having rows [offsets[p], offsets[p + 1]) of x.
/// Each descriptor lies in the words that its row of `nearest` names. With `aggregated`, a photo
/// has one signature of a word, of the sum over all its descriptors there (Tolias, Avrithis, Jegou:
/// To aggregate or not to aggregate, ICCV 2013); otherwise one of each, in their order.
///
/// Sums of bytes are exact, others of doubles in the order of the descriptors: so they are the same
/// bits for any number of threads. Requires x and words of the same columns, numbers of words
/// in `nearest`, and as many rows of it as x has. Throws Interrupted (core/interrupt.hpp).
template <class T>
Residuals binary_residuals(MatrixView<const T> x, MatrixView<const T> words,
                           MatrixView<const std::int64_t> nearest,
                           std::span<const std::int64_t> offsets, bool aggregated, int threads);

}  // namespace trouvaille
