// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/target.hpp"

namespace trouvaille {

/// |a - b|^2 in float32: 16 partial sums, then their sum by halves. Its order is part of the
/// contract of every search, and no multiply-add is fused (-ffp-contract=off), so its bits are the
/// same on every instruction set. Relative error at most (dims / 16 + 8) * 2^-24.
ALWAYS_INLINE float squared_distance(const float* a, const float* b, std::size_t dims) {
    constexpr std::size_t lanes = 16;
    float sums[lanes] = {};
    std::size_t d = 0;
    for (; d + lanes <= dims; d += lanes)
        for (std::size_t j = 0; j < lanes; ++j) {
            const float difference = a[d + j] - b[d + j];
            sums[j] += difference * difference;
        }
    for (std::size_t j = 0; d + j < dims; ++j) {
        const float difference = a[d + j] - b[d + j];
        sums[j] += difference * difference;
    }
    float eight[8], four[4];
    for (std::size_t j = 0; j < 8; ++j) eight[j] = sums[j] + sums[j + 8];
    for (std::size_t j = 0; j < 4; ++j) four[j] = eight[j] + eight[j + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/// |a - b|^2, exact for up to 33,025 dimensions. Differences of 16 bits, so that the compiler
/// multiplies and adds pairs of them (vpmaddwd).
ALWAYS_INLINE std::int32_t squared_distance(const std::uint8_t* a, const std::uint8_t* b,
                                            std::size_t dims) {
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < dims; ++d) {
        const auto difference = static_cast<std::int16_t>(a[d] - b[d]);
        sum += difference * difference;
    }
    return sum;
}

}  // namespace trouvaille
