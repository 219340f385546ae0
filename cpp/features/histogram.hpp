// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/simd.hpp"

namespace trouvaille {

namespace histogram_detail {

// sum of f(value), in an order that does not depend on the instruction set.
template <std::size_t n, class F>
ALWAYS_INLINE float sum_of(const float* values, F f) {
    static_assert(n % 16 == 0);
    float sums[16] = {};
    for (std::size_t i = 0; i < n; i += 16)
        for (std::size_t l = 0; l < 16; ++l) sums[l] += f(values[i + l]);
    for (std::size_t half = 8; half > 0; half /= 2)
        for (std::size_t l = 0; l < half; ++l) sums[l] += sums[l + half];
    return sums[0];
}

}  // namespace histogram_detail

/// Makes a descriptor of a histogram (Lowe 2004): values above 0.2 of its length are cut off there,
/// so that a strong edge does not outweigh the rest, and it is 512 times the values of unit length,
/// or with `root` the square roots of their shares (Arandjelovic and Zisserman 2012), rounded, at
/// most 255. Zeros remain zeros. Changes `values`.
template <std::size_t n>
ALWAYS_INLINE void histogram_to_bytes(float* values, bool root, std::uint8_t* to) {
    using histogram_detail::sum_of;
    constexpr float most = 0.2F;
    const auto square = [](float v) { return v * v; };
    const float limit = most * std::sqrt(sum_of<n>(values, square));
    for (std::size_t i = 0; i < n; ++i) values[i] = std::min(values[i], limit);
    const float total =
        root ? sum_of<n>(values, [](float v) { return v; }) : std::sqrt(sum_of<n>(values, square));
    const float scale = total > 0 ? 1 / total : 0;
    for (std::size_t i = 0; i < n; ++i) {
        const float share = values[i] * scale;
        const float value = 512 * (root ? std::sqrt(share) : share) + 0.5F;
        to[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(std::min(value, 255.0F)));
    }
}

}  // namespace trouvaille
