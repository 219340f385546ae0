// SPDX-License-Identifier: Apache-2.0
#include "features/gaussian.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "features/blur_strip.hpp"

namespace trouvaille {
namespace {

// Rows of a strip: its vertical sums stay in the second-level cache until they are summed
// horizontally, and a column of four vectors, with its margins, in the first.
constexpr std::size_t strip_rows = 32;
void blur_scalar(const strip::BlurStrip& s) {
    strip::blur<4>(s);
}
#if TROUVAILLE_X86
TARGET_AVX2 void blur_avx2(const strip::BlurStrip& s) {
    strip::blur<8>(s);
}
TARGET_AVX512 void blur_avx512(const strip::BlurStrip& s) {
    strip::blur<16>(s);
}
constexpr void (*variants[isa_count])(const strip::BlurStrip&) = {blur_scalar, blur_avx2,
                                                                  blur_avx512};
#else
constexpr void (*variants[isa_count])(const strip::BlurStrip&) = {blur_scalar, nullptr, nullptr};
#endif

}  // namespace

std::vector<float> gaussian_taps(double sigma) {
    // A spectrum cut at the sampling limit rings: half of the last of the alternating taps is
    // nearly the sum of those left out.
    constexpr std::size_t least_radius = 6;
    constexpr double rings_below = 1.3;
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
        if (k == radius && sigma < rings_below) weights[k] /= 2;
        total += k == 0 ? weights[k] : 2 * weights[k];
    }
    std::vector<float> taps(radius + 1);
    for (std::size_t k = 0; k <= radius; ++k) taps[k] = static_cast<float>(weights[k] / total);
    return taps;
}

void blur(ImageView<const float> from, ImageView<float> to, std::span<const float> taps,
          int threads) {
    const auto blur_strip = pick(variants);
    const std::size_t radius = taps.size() - 1;
    parallel_for(from.height, strip_rows, threads, [&](std::size_t begin, std::size_t end) {
        thread_local std::vector<float> sums;
        thread_local std::vector<const float*> rows;
        sums.resize(std::max(sums.size(), strip::sums_size(strip_rows, to.stride, taps)));
        rows.resize(strip_rows + 2 * radius);
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = from.row(mirrored(
                static_cast<std::ptrdiff_t>(begin + i) - static_cast<std::ptrdiff_t>(radius),
                from.height));
        blur_strip({taps, rows.data() + radius, from.width, end - begin, to.row(begin), to.stride,
                    sums.data()});
    });
}

}  // namespace trouvaille
