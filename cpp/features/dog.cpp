// SPDX-License-Identifier: Apache-2.0
#include "features/dog.hpp"

namespace trouvaille {
namespace {

struct DifferenceOfGaussians {
    static constexpr bool minima = true;

    template <std::size_t N>
    ALWAYS_INLINE static Floats<N> values(Octave octave, std::size_t r, std::size_t x,
                                          std::size_t y) {
        return load<N>(octave[r + 1].image.row(y) + x) - load<N>(octave[r].image.row(y) + x);
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
