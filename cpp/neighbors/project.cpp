// SPDX-License-Identifier: Apache-2.0
#include "neighbors/project.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/size.hpp"
#include "neighbors/panels.hpp"

namespace trouvaille {
namespace {

using exact::AlignedVector;
using exact::ceil_div;

constexpr std::size_t tile_rows = 4;
constexpr std::size_t panel = 64;  // columns side by side
constexpr std::size_t block_rows = 64;
constexpr std::size_t few_rows = 16;  // so few that a copy of the weights does not pay

/// Panels of columns: column j of row d is at (j / panel * dims + d) * panel + j % panel.
struct Weights {
    std::size_t dims, cols;
    AlignedVector<float> values, offsets;  // columns beyond the last are zero

    std::size_t panels() const { return ceil_div(cols, panel); }
};

Weights packed(MatrixView<const float> weights, std::span<const float> offsets) {
    Weights out{weights.rows, weights.cols, {}, {}};
    const std::size_t width = out.panels() * panel;
    out.values.resize(checked_mul(weights.rows, width, "rows * columns of weights"));
    out.offsets.resize(width);
    std::copy(offsets.begin(), offsets.end(), out.offsets.begin());
    for (std::size_t d = 0; d < weights.rows; ++d)
        for (std::size_t j = 0; j < weights.cols; ++j)
            out.values[(j / panel * weights.rows + d) * panel + j % panel] = weights.row(d)[j];
    return out;
}

/// Rows of `x` as floats, row r at to + r * x.cols; rows from x.rows to a multiple of tile_rows are
/// zero.
template <class T>
ALWAYS_INLINE void widen(MatrixView<const T> x, float* to) {
    const std::size_t n = x.rows * x.cols;
    for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<float>(x.data[i]);
    std::fill(to + n, to + ceil_div(x.rows, tile_rows) * tile_rows * x.cols, 0.0F);
}

/// A register tile: tile_rows rows and Vectors * N columns of a panel.
template <std::size_t N, std::size_t Vectors>
ALWAYS_INLINE void multiply(const float* rows, std::size_t dims, const float* weights,
                            const float* offsets, float (*out)[panel]) {
    Floats<N> sums[tile_rows][Vectors];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < tile_rows; ++r)
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = -load<N>(offsets + v * N);
    for (std::size_t d = 0; d < dims; ++d) {
        Floats<N> w[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) w[v] = load<N>(weights + d * panel + v * N);
#pragma GCC unroll 4
        for (std::size_t r = 0; r < tile_rows; ++r) {
            const Floats<N> x = splat<N>(rows[r * dims + d]);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = sums[r][v] + x * w[v];
        }
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < tile_rows; ++r)
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) store(out[r] + v * N, sums[r][v]);
}

/// The same tile, or as many vectors of it as hold the first n columns.
template <std::size_t N, std::size_t Vectors>
ALWAYS_INLINE void multiply_first(std::size_t n, const float* rows, std::size_t dims,
                                  const float* weights, const float* offsets, float (*out)[panel]) {
    if constexpr (Vectors > 1)
        if (n <= N * Vectors / 2)
            return multiply_first<N, Vectors / 2>(n, rows, dims, weights, offsets, out);
    multiply<N, Vectors>(rows, dims, weights, offsets, out);
}

template <std::size_t N, std::size_t Vectors, class T>
ALWAYS_INLINE void project_block(MatrixView<const T> x, const Weights& weights,
                                 MatrixView<float> out) {
    AlignedVector<float> rows(ceil_div(x.rows, tile_rows) * tile_rows * x.cols);
    widen(x, rows.data());
    alignas(64) float values[tile_rows][panel];
    for (std::size_t p = 0; p < weights.panels(); ++p) {
        const float* columns = weights.values.data() + p * weights.dims * panel;
        const std::size_t n = std::min(panel, weights.cols - p * panel);
        for (std::size_t first = 0; first < x.rows; first += tile_rows) {
            for (std::size_t c = 0; c < n; c += N * Vectors)
                multiply_first<N, Vectors>(n - c, rows.data() + first * x.cols, x.cols, columns + c,
                                           weights.offsets.data() + p * panel + c,
                                           reinterpret_cast<float (*)[panel]>(&values[0][c]));
            for (std::size_t r = 0; r < std::min(tile_rows, x.rows - first); ++r)
                std::copy_n(values[r], n, out.row(first + r) + p * panel);
        }
    }
}

// ---- few rows ----

/// Vectors * N columns from `column` on of one row.
template <std::size_t N, std::size_t Vectors, class T>
ALWAYS_INLINE void multiply_row(const T* x, MatrixView<const float> weights, const float* offsets,
                                std::size_t column, float* out) {
    Floats<N> sums[Vectors];
    for (std::size_t v = 0; v < Vectors; ++v) sums[v] = -load<N>(offsets + column + v * N);
    for (std::size_t d = 0; d < weights.rows; ++d) {
        const Floats<N> value = splat<N>(static_cast<float>(x[d]));
        const float* w = weights.row(d) + column;
        for (std::size_t v = 0; v < Vectors; ++v) sums[v] = sums[v] + value * load<N>(w + v * N);
    }
    for (std::size_t v = 0; v < Vectors; ++v) store(out + column + v * N, sums[v]);
}

/// The weights where they are. The last vector of a row may lie over the one before.
template <std::size_t N, std::size_t Vectors, class T>
ALWAYS_INLINE void project_rows(MatrixView<const T> x, MatrixView<const float> weights,
                                const float* offsets, MatrixView<float> out) {
    const std::size_t cols = weights.cols;
    for (std::size_t i = 0; i < x.rows; ++i) {
        std::size_t c = 0;
        for (; c + N * Vectors <= cols; c += N * Vectors)
            multiply_row<N, Vectors>(x.row(i), weights, offsets, c, out.row(i));
        for (; c < cols && cols >= N; c += N)
            multiply_row<N, 1>(x.row(i), weights, offsets, std::min(c, cols - N), out.row(i));
        for (; c < cols; ++c) {
            float sum = -offsets[c];
            for (std::size_t d = 0; d < weights.rows; ++d)
                sum += static_cast<float>(x.row(i)[d]) * weights.row(d)[c];
            out.row(i)[c] = sum;
        }
    }
}

// ---- instruction sets ----

template <class T>
struct Projection {
    void (*block)(MatrixView<const T>, const Weights&, MatrixView<float>);
    void (*rows)(MatrixView<const T>, MatrixView<const float>, const float*, MatrixView<float>);
};

template <class T>
void block_scalar(MatrixView<const T> x, const Weights& weights, MatrixView<float> out) {
    project_block<4, 2>(x, weights, out);
}
template <class T>
void rows_scalar(MatrixView<const T> x, MatrixView<const float> weights, const float* offsets,
                 MatrixView<float> out) {
    project_rows<4, 4>(x, weights, offsets, out);
}

#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void block_avx2(MatrixView<const T> x, const Weights& weights, MatrixView<float> out) {
    project_block<8, 2>(x, weights, out);
}
template <class T>
TARGET_AVX2 void rows_avx2(MatrixView<const T> x, MatrixView<const float> weights,
                           const float* offsets, MatrixView<float> out) {
    project_rows<8, 4>(x, weights, offsets, out);
}

template <class T>
TARGET_AVX512 void block_avx512(MatrixView<const T> x, const Weights& weights,
                                MatrixView<float> out) {
    project_block<16, 4>(x, weights, out);
}
template <class T>
TARGET_AVX512 void rows_avx512(MatrixView<const T> x, MatrixView<const float> weights,
                               const float* offsets, MatrixView<float> out) {
    project_rows<16, 4>(x, weights, offsets, out);
}

template <class T>
constexpr Projection<T> variants[isa_count] = {{block_scalar<T>, rows_scalar<T>},
                                               {block_avx2<T>, rows_avx2<T>},
                                               {block_avx512<T>, rows_avx512<T>}};
#else
template <class T>
constexpr Projection<T> variants[isa_count] = {{block_scalar<T>, rows_scalar<T>},
                                               {block_scalar<T>, rows_scalar<T>},
                                               {block_scalar<T>, rows_scalar<T>}};
#endif

}  // namespace

template <class T>
void project(MatrixView<const T> x, MatrixView<const float> weights, std::span<const float> offsets,
             MatrixView<float> out, int threads) {
    assert(weights.rows == x.cols && out.rows == x.rows);
    assert(weights.cols == out.cols && offsets.size() == out.cols);
    const Projection<T> variant = pick(variants<T>);
    if (x.rows <= few_rows) return variant.rows(x, weights, offsets.data(), out);
    const Weights columns = packed(weights, offsets);
    parallel_for(x.rows, block_rows, threads, [&](std::size_t begin, std::size_t end) {
        variant.block(x.slice(begin, end), columns, out.slice(begin, end));
    });
}

template void project(MatrixView<const std::uint8_t>, MatrixView<const float>,
                      std::span<const float>, MatrixView<float>, int);
template void project(MatrixView<const float>, MatrixView<const float>, std::span<const float>,
                      MatrixView<float>, int);

}  // namespace trouvaille
