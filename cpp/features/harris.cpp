// SPDX-License-Identifier: Apache-2.0
#include "features/harris.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "features/blur_strip.hpp"
#include "features/gaussian.hpp"
#include "features/laplace.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t chunk_rows = 32;
constexpr std::size_t layers_between = 1;  // sigma_D and sigma
constexpr float trace_weight = 0.04F;

using laplace::Chunk;
using Taps = std::array<std::vector<float>, ScaleSpace::intervals>;

// Scratch of one thread: rows of products of derivatives, the three of M blurred, and pointers.
struct Scratch {
    std::vector<float> products, moments, sums;
    std::vector<const float*> rows;
    std::vector<std::int8_t> marks;

    // For `height` rows of an image.
    void reserve(std::size_t height, ImageView<const float> image, std::span<const float> taps) {
        const std::size_t stride = image.stride, needed = height + 2 * (taps.size() - 1);
        const auto grow = [](auto& values, std::size_t n) {
            if (values.size() < n) values.resize(n);
        };
        grow(products, std::min(needed, image.height) * stride + pad);
        grow(moments, 3 * height * stride + 2 * pad);
        grow(sums, strip::sums_size(height, stride, taps));
        grow(rows, needed);
        grow(marks, stride + pad);
    }
    static constexpr std::size_t pad = 16;
};

enum Product { xx, xy, yy };

// One row of a product of derivatives, differences of the mirrored image's neighbours.
template <std::size_t N, Product product>
ALWAYS_INLINE void product_row(ImageView<const float> image, std::size_t y, float factor,
                               float* to) {
    const auto row = static_cast<std::ptrdiff_t>(y);
    const float *up = image.row(mirrored(row - 1, image.height)), *at = image.row(y),
                *down = image.row(mirrored(row + 1, image.height));
    // Nothing lies left of the first row.
    for (std::size_t x = product == yy ? 0 : 1; x < image.width; x += N) {
        Floats<N> dx{}, dy{};
        if constexpr (product != yy) dx = load<N>(at + x + 1) - load<N>(at + x - 1);
        if constexpr (product != xx) dy = load<N>(down + x) - load<N>(up + x);
        if constexpr (product == xx)
            store(to + x, factor * (dx * dx));
        else if constexpr (product == xy)
            store(to + x, factor * (dx * dy));
        else
            store(to + x, factor * (dy * dy));
    }
    if constexpr (product != yy) to[0] = to[image.width - 1] = 0;  // the mirror's dx
}

// Rows [begin, end) of a moment, one after another from `to`.
template <std::size_t N, Product product>
ALWAYS_INLINE void moment_rows(const Layer& layer, std::span<const float> taps, std::size_t begin,
                               std::size_t end, Scratch& scratch, float* to) {
    const ImageView<const float>& image = layer.image;
    const float sigma = layer.sigma / layer.step, factor = sigma * sigma * 0.25F;
    const std::size_t radius = taps.size() - 1;
    const std::size_t first = begin - std::min(begin, radius);
    const std::size_t last = std::min(end + radius, image.height);
    for (std::size_t y = first; y < last; ++y)
        product_row<N, product>(image, y, factor, &scratch.products[(y - first) * image.stride]);
    for (std::size_t i = 0; i < end - begin + 2 * radius; ++i) {
        const std::size_t y =
            mirrored(static_cast<std::ptrdiff_t>(begin + i) - static_cast<std::ptrdiff_t>(radius),
                     image.height);
        scratch.rows[i] = &scratch.products[(y - first) * image.stride];
    }
    strip::blur<N>({taps, scratch.rows.data() + radius, image.width, end - begin, to, image.stride,
                    scratch.sums.data()});
}

template <std::size_t N>
ALWAYS_INLINE void scan(const Chunk& chunk, std::span<const float> taps, Keypoints& found) {
    thread_local Scratch scratch;
    const Layer& layer = chunk.octave[chunk.level];  // of sigma_D
    const std::size_t stride = chunk.octave[0].image.stride;
    // A row more on both sides, for the neighbours.
    const std::size_t begin = chunk.begin - 1, end = chunk.end + 1, size = (end - begin) * stride;
    scratch.reserve(end - begin, layer.image, taps);
    float* const a = scratch.moments.data() + Scratch::pad;
    float *const b = a + size, *const c = b + size;
    moment_rows<N, xx>(layer, taps, begin, end, scratch, a);
    moment_rows<N, xy>(layer, taps, begin, end, scratch, b);
    moment_rows<N, yy>(layer, taps, begin, end, scratch, c);
    for (std::size_t i = 0; i < size; i += N) {
        const Floats<N> m11 = load<N>(a + i), m12 = load<N>(b + i), m22 = load<N>(c + i);
        const Floats<N> trace = m11 + m22;
        store(a + i, (m11 * m22 - m12 * m12) - trace_weight * (trace * trace));
    }
    for (std::size_t y = chunk.begin; y < chunk.end; ++y) {
        const float* row = a + (y - begin) * stride;
        laplace::scan_row<N>(chunk.octave, chunk.level + layers_between, y,
                             {row - stride, row, row + stride}, chunk.threshold,
                             scratch.marks.data(), found);
    }
}

using Scan = void (*)(const Chunk&, std::span<const float>, Keypoints&);

void scan_scalar(const Chunk& chunk, std::span<const float> taps, Keypoints& found) {
    scan<4>(chunk, taps, found);
}
#if TROUVAILLE_X86
TARGET_AVX2 void scan_avx2(const Chunk& chunk, std::span<const float> taps, Keypoints& found) {
    scan<8>(chunk, taps, found);
}
TARGET_AVX512 void scan_avx512(const Chunk& chunk, std::span<const float> taps, Keypoints& found) {
    scan<16>(chunk, taps, found);
}
constexpr Scan variants[isa_count] = {scan_scalar, scan_avx2, scan_avx512};
#else
constexpr Scan variants[isa_count] = {scan_scalar, nullptr, nullptr};
#endif

}  // namespace

Keypoints detect_harris(const ScaleSpace& space, std::size_t first_octave, float threshold,
                        int threads) {
    std::vector<Taps> taps(space.octaves());
    for (std::size_t o = 0; o < taps.size(); ++o)
        for (std::size_t level = 0; level < taps[o].size(); ++level) {
            const Layer& layer = space.octave(o)[level + layers_between];
            // The same in the pixels of every octave but one of the first two, which share a step.
            taps[o][level] = o < 2 ? gaussian_taps(layer.sigma / layer.step) : taps[1][level];
        }
    const auto scan = pick(variants);
    return laplace::find(space, first_octave, chunk_rows, threshold, threads,
                         [&](const Chunk& chunk, Keypoints& found) {
                             scan(chunk, taps[chunk.o][chunk.level], found);
                         });
}

}  // namespace trouvaille
