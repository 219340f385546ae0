// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/cpu.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/lsh_functions.hpp"
#include "neighbors/lsh_rows.hpp"

namespace trouvaille {
namespace {

constexpr float farthest = 0x1p20F;

/// y of R rows, which are in float and less the center, in vectors of N.
template <std::size_t N, std::size_t R>
ALWAYS_INLINE void values_of_rows(const HashFunctions& functions, const float* rows,
                                  MatrixView<float> values) {
    constexpr std::size_t vectors = HashFunctions::lanes / N, step = vectors < 4 ? vectors : 4;
    const std::size_t dims = functions.dims(), columns = functions.offsets.size();
    for (std::size_t f = 0; f < columns; f += step * N) {
        Floats<N> y[R][step] = {};
        for (std::size_t d = 0; d < dims; ++d) {
            const float* direction = functions.directions.row(d) + f;
            for (std::size_t r = 0; r < R; ++r)
                for (std::size_t v = 0; v < step; ++v)
                    y[r][v] += splat<N>(rows[r * dims + d]) * load<N>(direction + v * N);
        }
        for (std::size_t r = 0; r < R; ++r)
            for (std::size_t v = 0; v < step; ++v) {
                const Floats<N> off = y[r][v] - load<N>(&functions.offsets[f + v * N]);
                for (std::size_t l = 0; l < N; ++l)
                    values.row(r)[f + v * N + l] =
                        std::max(-farthest, std::min(farthest, off[l]));  // NaN becomes farthest
            }
    }
}

template <std::size_t N, class T>
ALWAYS_INLINE void values_of(const HashFunctions& functions, MatrixView<const T> points,
                             MatrixView<float> values) {
    constexpr std::size_t together = 4;
    const std::size_t dims = functions.dims();
    static thread_local std::vector<float> rows;
    rows.resize(together * dims);
    for (std::size_t i = 0; i < points.rows; i += together) {
        const std::size_t n = std::min(together, points.rows - i);
        for (std::size_t r = 0; r < n; ++r) {
            const std::span row(rows.data() + r * dims, dims);
            lsh::widen(points.row(i + r), row, functions.packed_bits);
            for (std::size_t d = 0; d < dims; ++d) row[d] -= functions.center[d];
        }
        if (n == together)
            values_of_rows<N, together>(functions, rows.data(), values.slice(i, i + n));
        else
            for (std::size_t r = 0; r < n; ++r)
                values_of_rows<N, 1>(functions, rows.data() + r * dims, values.slice(i + r, i + n));
    }
}

template <class T>
void values_scalar(const HashFunctions& functions, MatrixView<const T> points,
                   MatrixView<float> values) {
    values_of<4>(functions, points, values);
}
#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void values_avx2(const HashFunctions& functions, MatrixView<const T> points,
                             MatrixView<float> values) {
    values_of<8>(functions, points, values);
}
template <class T>
TARGET_AVX512 void values_avx512(const HashFunctions& functions, MatrixView<const T> points,
                                 MatrixView<float> values) {
    values_of<16>(functions, points, values);
}
template <class T>
constexpr decltype(&values_scalar<T>) kernels[isa_count] = {values_scalar<T>, values_avx2<T>,
                                                            values_avx512<T>};
#else
template <class T>
constexpr decltype(&values_scalar<T>) kernels[isa_count] = {values_scalar<T>, values_scalar<T>,
                                                            values_scalar<T>};
#endif

}  // namespace

template <class T>
void hash_values(const HashFunctions& functions, MatrixView<const T> points,
                 MatrixView<float> values) {
    pick(kernels<T>)(functions, points, values);
}

template void hash_values(const HashFunctions&, MatrixView<const std::uint8_t>, MatrixView<float>);
template void hash_values(const HashFunctions&, MatrixView<const float>, MatrixView<float>);

}  // namespace trouvaille
