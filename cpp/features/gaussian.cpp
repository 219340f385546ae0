// SPDX-License-Identifier: Apache-2.0
#include "features/gaussian.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille {
namespace {

// Rows of a strip: its vertical sums stay in the second-level cache until they are summed
// horizontally, and a column of four vectors, with its margins, in the first.
constexpr std::size_t strip_rows = 32;
constexpr std::size_t unroll = 4;  // vectors summed at once, which hides an addition's latency
constexpr std::size_t margin = 16 * unroll;  // values that a whole step may read past a row

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

struct Strip {
    ImageView<const float> from;
    ImageView<float> to;
    std::span<const float> taps;
    std::size_t begin, end;  // rows
    const float** rows;      // rows[y - begin] is row y of `from`, from -radius to strip + radius
    float* sums;             // of strip_rows rows, `sums_stride` apart, with a margin on both sides
    std::size_t sums_stride;
};

template <std::size_t N>
ALWAYS_INLINE void blur_strip(const Strip& s) {
    const std::size_t width = s.from.width, radius = s.taps.size() - 1;
    // Column by column of four vectors: the rows of one column are read again for the next row.
    std::size_t x = 0;
    for (; x + N * unroll <= width; x += N * unroll)
        for (std::size_t y = 0; y < s.end - s.begin; ++y)
            sum<N>(s.taps, s.sums + y * s.sums_stride + x, [&](std::ptrdiff_t k) {
                return s.rows[static_cast<std::ptrdiff_t>(y) + k] + x;
            });
    for (std::size_t y = 0; y < s.end - s.begin; ++y) {
        float* row = s.sums + y * s.sums_stride;
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
        std::fill(row + width + radius, row + s.to.stride + margin + radius, 0.0F);
        float* to = s.to.row(s.begin + y);
        std::size_t column = 0;
        for (; column + N * unroll <= s.to.stride; column += N * unroll)
            sum<N>(s.taps, to + column, [&](std::ptrdiff_t k) { return row + column + k; });
        // The rest of the row, less than a step: the step is taken aside.
        if (column < s.to.stride) {
            float step[N * unroll];
            sum<N>(s.taps, step, [&](std::ptrdiff_t k) { return row + column + k; });
            std::copy(step, step + (s.to.stride - column), to + column);
        }
    }
}

void blur_scalar(const Strip& s) {
    blur_strip<4>(s);
}
#if TROUVAILLE_X86
TARGET_AVX2 void blur_avx2(const Strip& s) {
    blur_strip<8>(s);
}
TARGET_AVX512 void blur_avx512(const Strip& s) {
    blur_strip<16>(s);
}
constexpr void (*variants[isa_count])(const Strip&) = {blur_scalar, blur_avx2, blur_avx512};
#else
constexpr void (*variants[isa_count])(const Strip&) = {blur_scalar, nullptr, nullptr};
#endif

}  // namespace

std::vector<float> gaussian_taps(double sigma) {
    constexpr std::size_t least_radius = 6;  // where the spectrum's cut at the limit rings
    constexpr int steps = 256;
    const std::size_t radius =
        std::max(least_radius, static_cast<std::size_t>(std::ceil(3.5 * sigma)));
    // The inverse Fourier transform of the spectrum, by the trapezoidal rule.
    std::vector<double> weights(radius + 1);
    double total = 0;
    for (std::size_t k = 0; k <= radius; ++k) {
        for (int i = 0; i <= steps; ++i) {
            const double w = std::numbers::pi * i / steps;
            weights[k] += (i == 0 || i == steps ? 0.5 : 1) * std::exp(-w * w * sigma * sigma / 2) *
                          std::cos(w * static_cast<double>(k));
        }
        total += k == 0 ? weights[k] : 2 * weights[k];
    }
    std::vector<float> taps(radius + 1);
    for (std::size_t k = 0; k <= radius; ++k) taps[k] = static_cast<float>(weights[k] / total);
    return taps;
}

void blur(ImageView<const float> from, ImageView<float> to, std::span<const float> taps,
          int threads) {
    const auto strip = pick(variants);
    const std::size_t radius = taps.size() - 1;
    parallel_for(from.height, strip_rows, threads, [&](std::size_t begin, std::size_t end) {
        const std::size_t sums_stride = to.stride + 2 * (radius + margin);
        thread_local std::vector<float> sums;
        thread_local std::vector<const float*> rows;
        sums.resize(std::max(sums.size(), strip_rows * sums_stride));
        rows.resize(strip_rows + 2 * radius);
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = from.row(mirrored(
                static_cast<std::ptrdiff_t>(begin + i) - static_cast<std::ptrdiff_t>(radius),
                from.height));
        strip({from, to, taps, begin, end, rows.data() + radius, sums.data() + radius + margin,
               sums_stride});
    });
}

}  // namespace trouvaille
