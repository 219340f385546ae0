// SPDX-License-Identifier: Apache-2.0
#include "features/dog.hpp"

namespace trouvaille {
namespace {

struct DifferenceOfGaussians {
    static constexpr bool minima = true;

    template <std::size_t N>
    ALWAYS_INLINE static void row(Octave octave, std::size_t r, std::size_t y, float* to) {
        const float *fine = octave[r].image.row(y), *coarse = octave[r + 1].image.row(y);
        for (std::size_t x = 0; x < octave[r].image.stride; x += N)
            store(to + x, load<N>(coarse + x) - load<N>(fine + x));
    }

    static float value(Octave octave, std::size_t r, std::size_t x, std::size_t y) {
        return octave[r + 1].image.at(x, y) - octave[r].image.at(x, y);
    }
};

using D = DifferenceOfGaussians;

void scan_scalar(Octave o, std::size_t begin, std::size_t end, const ExtremaOptions& options,
                 Keypoints& found) {
    extrema::scan<D, 4>(o, begin, end, options, found);
}
#if TROUVAILLE_X86
TARGET_AVX2 void scan_avx2(Octave o, std::size_t begin, std::size_t end,
                           const ExtremaOptions& options, Keypoints& found) {
    extrema::scan<D, 8>(o, begin, end, options, found);
}
TARGET_AVX512 void scan_avx512(Octave o, std::size_t begin, std::size_t end,
                               const ExtremaOptions& options, Keypoints& found) {
    extrema::scan<D, 16>(o, begin, end, options, found);
}
constexpr extrema::Scan variants[isa_count] = {scan_scalar, scan_avx2, scan_avx512};
#else
constexpr extrema::Scan variants[isa_count] = {scan_scalar, nullptr, nullptr};
#endif

}  // namespace

Keypoints detect_dog(const ScaleSpace& space, const ExtremaOptions& options, int threads) {
    return extrema::find(space, options, pick(variants), threads);
}

}  // namespace trouvaille
