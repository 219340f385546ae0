// SPDX-License-Identifier: Apache-2.0
#pragma once

// The work of a separable blur over some rows, for kernels that blur what they have just computed.

#include <algorithm>
#include <cstddef>
#include <span>

#include "core/simd.hpp"
#include "features/image.hpp"

namespace trouvaille::strip {

constexpr std::size_t unroll = 4;  // vectors summed at once, which hides an addition's latency
constexpr std::size_t margin = 16 * unroll;  // values that a whole step may read past a row

/// Some rows to blur. Their vertical sums should fit the second-level cache.
struct BlurStrip {
    std::span<const float> taps;  ///< as of `blur` in gaussian.hpp
    const float* const* rows;  ///< rows[y], -radius <= y < height + radius: mirrored by the caller
    std::size_t width, height;
    float* to;  ///< rows of to_stride values, all of them written: a multiple of 16
    std::size_t to_stride;
    float* sums;  ///< scratch of sums_size(height, to_stride, taps)
};

/// Values from one row of sums to the next, with room on both sides.
inline std::size_t sums_stride(std::size_t to_stride, std::span<const float> taps) {
    return to_stride + 2 * (taps.size() - 1 + margin);
}

inline std::size_t sums_size(std::size_t height, std::size_t to_stride,
                             std::span<const float> taps) {
    return height * sums_stride(to_stride, taps);
}

// N * unroll columns of one row: taps over `rows[-k]` and `rows[k]`, or over a row's neighbours.
template <std::size_t N, class At>
ALWAYS_INLINE void sum(std::span<const float> taps, float* to, At at) {
    Floats<N> sums[unroll];
    for (std::size_t u = 0; u < unroll; ++u) sums[u] = taps[0] * load<N>(at(0) + u * N);
    for (std::size_t k = 1; k < taps.size(); ++k) {
        const auto shift = static_cast<std::ptrdiff_t>(k);
        const float *before = at(-shift), *after = at(shift);
        for (std::size_t u = 0; u < unroll; ++u)
            sums[u] += taps[k] * (load<N>(before + u * N) + load<N>(after + u * N));
    }
    for (std::size_t u = 0; u < unroll; ++u) store(to + u * N, sums[u]);
}

template <std::size_t N>
ALWAYS_INLINE void blur(const BlurStrip& s) {
    const std::size_t width = s.width, radius = s.taps.size() - 1;
    const std::size_t stride = sums_stride(s.to_stride, s.taps);
    float* const sums = s.sums + radius + margin;
    // Column by column of four vectors: the rows of one column are read again for the next row.
    std::size_t x = 0;
    for (; x + N * unroll <= width; x += N * unroll)
        for (std::size_t y = 0; y < s.height; ++y)
            sum<N>(s.taps, sums + y * stride + x, [&](std::ptrdiff_t k) {
                return s.rows[static_cast<std::ptrdiff_t>(y) + k] + x;
            });
    for (std::size_t y = 0; y < s.height; ++y) {
        float* row = sums + y * stride;
        for (std::size_t rest = x; rest < width; ++rest) {
            float total = s.taps[0] * s.rows[y][rest];
            for (std::size_t k = 1; k <= radius; ++k) {
                const auto at = static_cast<std::ptrdiff_t>(y),
                           shift = static_cast<std::ptrdiff_t>(k);
                total += s.taps[k] * (s.rows[at - shift][rest] + s.rows[at + shift][rest]);
            }
            row[rest] = total;
        }
        for (std::size_t k = 1; k <= radius; ++k) {
            const auto shift = static_cast<std::ptrdiff_t>(k);
            row[-shift] = row[mirrored(-shift, width)];
            row[width + k - 1] =
                row[mirrored(static_cast<std::ptrdiff_t>(width - 1) + shift, width)];
        }
        std::fill(row + width + radius, row + s.to_stride + margin + radius, 0.0F);
        float* to = s.to + y * s.to_stride;
        std::size_t column = 0;
        for (; column + N * unroll <= s.to_stride; column += N * unroll)
            sum<N>(s.taps, to + column, [&](std::ptrdiff_t k) { return row + column + k; });
        // The rest of the row, less than a step: the step is taken aside.
        if (column < s.to_stride) {
            float step[N * unroll];
            sum<N>(s.taps, step, [&](std::ptrdiff_t k) { return row + column + k; });
            std::copy(step, step + (s.to_stride - column), to + column);
        }
    }
}

}  // namespace trouvaille::strip
