// SPDX-License-Identifier: Apache-2.0
#include "features/hessian.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/cpu.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "features/laplace.hpp"

namespace trouvaille {
namespace {

using laplace::Chunk;

constexpr std::size_t chunk_rows = 32;
constexpr std::size_t pad = 16;  // values that a vector may pass a row's width by, and more

// One row of the determinant, derivatives being differences of neighbours.
template <std::size_t N>
ALWAYS_INLINE void determinant_row(const Layer& layer, std::size_t y, float* to) {
    const ImageView<const float>& image = layer.image;
    const float scale = (layer.sigma / layer.step) * (layer.sigma / layer.step);
    const float *up = image.row(y - 1), *at = image.row(y), *down = image.row(y + 1);
    for (std::size_t x = 0; x < image.width; x += N) {
        const Floats<N> middle = load<N>(at + x), twice = middle + middle;
        const Floats<N> xx = load<N>(at + x - 1) + load<N>(at + x + 1) - twice;
        const Floats<N> yy = load<N>(up + x) + load<N>(down + x) - twice;
        const Floats<N> xy = 0.25F * ((load<N>(up + x - 1) - load<N>(up + x + 1)) +
                                      (load<N>(down + x + 1) - load<N>(down + x - 1)));
        store(to + x, (scale * scale) * (xx * yy - xy * xy));
    }
}

template <std::size_t N>
ALWAYS_INLINE void scan(const Chunk& chunk, Keypoints& found) {
    thread_local std::vector<float> buffer;
    thread_local std::vector<std::int8_t> marks;
    const std::size_t stride = chunk.octave[0].image.stride, k = chunk.level + 1;
    buffer.resize(std::max(buffer.size(), 3 * stride + 2 * pad));
    marks.resize(std::max(marks.size(), stride + pad));
    const auto row = [&](std::size_t y) { return buffer.data() + pad + y % 3 * stride; };
    const auto fill = [&](std::size_t y) __attribute__((always_inline)) {
        determinant_row<N>(chunk.octave[k], y, row(y));
    };
    fill(chunk.begin - 1);
    fill(chunk.begin);
    for (std::size_t y = chunk.begin; y < chunk.end; ++y) {
        fill(y + 1);
        laplace::scan_row<N>(chunk.octave, k, y, {row(y - 1), row(y), row(y + 1)}, chunk.threshold,
                             marks.data(), found);
    }
}

using Scan = void (*)(const Chunk&, Keypoints&);

void scan_scalar(const Chunk& chunk, Keypoints& found) {
    scan<4>(chunk, found);
}
#if TROUVAILLE_X86
TARGET_AVX2 void scan_avx2(const Chunk& chunk, Keypoints& found) {
    scan<8>(chunk, found);
}
TARGET_AVX512 void scan_avx512(const Chunk& chunk, Keypoints& found) {
    scan<16>(chunk, found);
}
constexpr Scan variants[isa_count] = {scan_scalar, scan_avx2, scan_avx512};
#else
constexpr Scan variants[isa_count] = {scan_scalar, nullptr, nullptr};
#endif

}  // namespace

Keypoints detect_hessian(const ScaleSpace& space, std::size_t first_octave, float threshold,
                         int threads) {
    return laplace::find(space, first_octave, chunk_rows, threshold, threads, pick(variants));
}

}  // namespace trouvaille
