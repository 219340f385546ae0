// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/simd.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// A square of samples around a feature, in the plane of its frame: sample (i, j) lies at
/// (j - c, i - c) * spacing, c = (side - 1) / 2, in units of the frame's axes.
template <std::size_t side>
struct Patch {
    static_assert(side % 16 == 0);
    alignas(64) float values[side][side];
};

/// Scratch of `sample`, for some rows: each sample's place in the image, its distance from the
/// pixel left of and above it, and that pixel and its right neighbour, in two rows.
template <std::size_t side>
struct PatchScratch {
    static constexpr std::size_t rows = 8, size = rows * side;
    static_assert(side % rows == 0);
    alignas(64) std::int32_t place[size];
    alignas(64) float right[size], down[size], above[2 * size], below[2 * size];
};

namespace patch_detail {

template <std::size_t N, std::size_t... I>
ALWAYS_INLINE Floats<N> every_second(const float* pairs, std::size_t offset,
                                     std::index_sequence<I...>) {
    const Floats<N> a = load<N>(pairs), b = load<N>(pairs + N);
    return offset == 0 ? __builtin_shufflevector(a, b, (2 * I)...)
                       : __builtin_shufflevector(a, b, (2 * I + 1)...);
}

}  // namespace patch_detail

/// Fills `patch` by bilinear interpolation in `layer`, whose border pixels go on for ever. Places
/// and weights are computed by vectors, but the pixels are fetched one by one: hardware gathers are
/// slower than scalar loads of two neighbours at once.
template <std::size_t N, std::size_t side>
ALWAYS_INLINE void sample(const Layer& layer, const Frame& frame, float spacing,
                          PatchScratch<side>& scratch, Patch<side>& patch) {
    const ImageView<const float>& image = layer.image;
    const float scale = spacing / layer.step, centre = static_cast<float>(side - 1) / 2;
    const float a11 = frame.a11 * scale, a12 = frame.a12 * scale, x0 = frame.x / layer.step;
    const float a21 = frame.a21 * scale, a22 = frame.a22 * scale, y0 = frame.y / layer.step;
    const Floats<N> right_border = splat<N>(static_cast<float>(image.width - 1));
    const Floats<N> lower_border = splat<N>(static_cast<float>(image.height - 1));
    const auto stride = static_cast<std::int32_t>(image.stride);
    constexpr std::make_index_sequence<N> order;
    using Scratch = PatchScratch<side>;
    for (std::size_t first = 0; first < side; first += Scratch::rows) {
        for (std::size_t i = 0; i < Scratch::rows; ++i) {
            const float v = static_cast<float>(first + i) - centre;
            const float row_x = a12 * v + x0, row_y = a22 * v + y0;
            for (std::size_t j = 0; j < side; j += N) {
                const Floats<N> u = ramp<N>() + (static_cast<float>(j) - centre);
                const Floats<N> x = min(max(a11 * u + row_x, Floats<N>{}), right_border);
                const Floats<N> y = min(max(a21 * u + row_y, Floats<N>{}), lower_border);
                const Ints<N> column = to_ints<N>(x), row = to_ints<N>(y);
                store(scratch.place + i * side + j, row * stride + column);
                store(scratch.right + i * side + j, x - to_floats<N>(column));
                store(scratch.down + i * side + j, y - to_floats<N>(row));
            }
        }
        for (std::size_t k = 0; k < Scratch::size; ++k) {
            const float* pixel = image.data + scratch.place[k];
            std::memcpy(scratch.above + 2 * k, pixel, 2 * sizeof(float));
            std::memcpy(scratch.below + 2 * k, pixel + stride, 2 * sizeof(float));
        }
        for (std::size_t k = 0; k < Scratch::size; k += N) {
            using patch_detail::every_second;
            const Floats<N> right = load<N>(scratch.right + k), down = load<N>(scratch.down + k);
            const Floats<N> a = every_second<N>(scratch.above + 2 * k, 0, order);
            const Floats<N> b = every_second<N>(scratch.above + 2 * k, 1, order);
            const Floats<N> c = every_second<N>(scratch.below + 2 * k, 0, order);
            const Floats<N> d = every_second<N>(scratch.below + 2 * k, 1, order);
            const Floats<N> upper = a + (b - a) * right, lower = c + (d - c) * right;
            store(&patch.values[first][0] + k, upper + (lower - upper) * down);
        }
    }
}

}  // namespace trouvaille
