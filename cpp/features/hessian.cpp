// SPDX-License-Identifier: Apache-2.0
#include "features/hessian.hpp"

#include "core/cpu.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille {
namespace {

// Derivatives are differences of neighbours, in the octave's pixels.
template <class V>
ALWAYS_INLINE V determinant(V xx, V yy, V four_xy, float sigma) {
    const float scale = sigma * sigma;
    const V xy = four_xy * 0.25F;
    return (scale * scale) * (xx * yy - xy * xy);
}

float pixels_sigma(const Layer& layer) {
    return layer.sigma / layer.step;
}

struct Determinant {
    static constexpr bool minima = true;

    template <std::size_t N>
    ALWAYS_INLINE static void row(Octave octave, std::size_t r, std::size_t y, float* to) {
        const Layer& layer = octave[r];
        const float sigma = pixels_sigma(layer);
        const std::size_t width = layer.image.width;
        const float *up = layer.image.row(y - 1), *at = layer.image.row(y),
                    *down = layer.image.row(y + 1);
        for (std::size_t x = 0; x < width; x += N) {
            const Floats<N> middle = load<N>(at + x), twice = middle + middle;
            const Floats<N> xx = load<N>(at + x - 1) + load<N>(at + x + 1) - twice;
            const Floats<N> yy = load<N>(up + x) + load<N>(down + x) - twice;
            const Floats<N> xy = (load<N>(up + x - 1) - load<N>(up + x + 1)) +
                                 (load<N>(down + x + 1) - load<N>(down + x - 1));
            store(to + x, determinant(xx, yy, xy, sigma));
        }
    }

    static float value(Octave octave, std::size_t r, std::size_t x, std::size_t y) {
        const Layer& layer = octave[r];
        const float *up = layer.image.row(y - 1) + x, *at = layer.image.row(y) + x,
                    *down = layer.image.row(y + 1) + x;
        const float twice = *at + *at;
        return determinant(at[-1] + at[1] - twice, *up + *down - twice,
                           (up[-1] - up[1]) + (down[1] - down[-1]), pixels_sigma(layer));
    }
};

void scan_scalar(Octave octave, std::size_t begin, std::size_t end, const ExtremaOptions& options,
                 Keypoints& found) {
    extrema::scan<Determinant, 4>(octave, begin, end, options, found);
}
#if TROUVAILLE_X86
TARGET_AVX2 void scan_avx2(Octave octave, std::size_t begin, std::size_t end,
                           const ExtremaOptions& options, Keypoints& found) {
    extrema::scan<Determinant, 8>(octave, begin, end, options, found);
}
TARGET_AVX512 void scan_avx512(Octave octave, std::size_t begin, std::size_t end,
                               const ExtremaOptions& options, Keypoints& found) {
    extrema::scan<Determinant, 16>(octave, begin, end, options, found);
}
constexpr extrema::Scan variants[isa_count] = {scan_scalar, scan_avx2, scan_avx512};
#else
constexpr extrema::Scan variants[isa_count] = {scan_scalar, nullptr, nullptr};
#endif

}  // namespace

Keypoints detect_hessian(const ScaleSpace& space, const ExtremaOptions& options, int threads) {
    return extrema::find(space, options, pick(variants), threads);
}

}  // namespace trouvaille
