// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/target.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// A histogram of n bytes as RootSIFT has it: 512 times the roots of its shares, to the nearest, at
/// most 255; in float32. Zeros stay zeros.
ALWAYS_INLINE void root_shares(const std::uint8_t* x, std::size_t n, std::uint8_t* out) {
    std::uint32_t total = 0;
    for (std::size_t d = 0; d < n; ++d) total += x[d];
    const float scale = total > 0 ? 1 / static_cast<float>(total) : 0;
#pragma GCC ivdep
    for (std::size_t d = 0; d < n; ++d) {
        const float root = 512 * __builtin_sqrtf(static_cast<float>(x[d]) * scale) + 0.5F;
        out[d] = static_cast<std::uint8_t>(static_cast<std::int32_t>(std::min(root, 255.0F)));
    }
}

/// A histogram of n floats as the roots of its shares; in float64, rounded once. Zeros stay zeros.
ALWAYS_INLINE void root_shares(const float* x, std::size_t n, float* out) {
    constexpr std::size_t lanes = 8;  // in this order on every instruction set
    double totals[lanes] = {};
    std::size_t d = 0;
    for (; d + lanes <= n; d += lanes)
        for (std::size_t l = 0; l < lanes; ++l) totals[l] += static_cast<double>(x[d + l]);
    for (; d < n; ++d) totals[0] += static_cast<double>(x[d]);
    double total = 0;
    for (const double part : totals) total += part;
    if (total == 0) total = 1;
#pragma GCC ivdep
    for (d = 0; d < n; ++d)
        out[d] = static_cast<float>(__builtin_sqrt(static_cast<double>(x[d]) / total));
}

/// The rows of x as `root_shares` has them: their Euclidean distances are Hellinger's.
///
/// Requires that no number is negative, and `out` of the shape of x, up to 2^24 columns. The same
/// bits on every instruction set. Parallel over rows; throws Interrupted.
template <class T>
void hellinger_roots(MatrixView<const T> x, MatrixView<T> out, int threads);

}  // namespace trouvaille
