// SPDX-License-Identifier: Apache-2.0
#pragma once

// How floats are packed; see panels.hpp. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/float_keys.hpp"
#include "neighbors/panels.hpp"

namespace trouvaille::exact {

template <std::size_t half, std::size_t N, std::size_t... L>
ALWAYS_INLINE void swap_halves(Floats<N>& a, Floats<N>& b, std::index_sequence<L...>) {
    const Floats<N> first = __builtin_shufflevector(a, b, ((L & half) == 0 ? L : L - half + N)...);
    const Floats<N> second = __builtin_shufflevector(a, b, ((L & half) == 0 ? L + half : L + N)...);
    a = first;
    b = second;
}

/// Lane i of v[j] and lane j of v[i] change places, for all i and j.
template <std::size_t N, std::size_t half = N / 2>
ALWAYS_INLINE void transpose(Floats<N> (&v)[N]) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < N; ++i)
        if ((i & half) == 0) swap_halves<half, N>(v[i], v[i + half], std::make_index_sequence<N>{});
    if constexpr (half > 1) transpose<N, half / 2>(v);
}

/// pack_panel, in squares of as many rows and dimensions as a vector has lanes.
template <class Kernel>
ALWAYS_INLINE void pack_floats(Panels<Kernel>& panels, std::size_t p) {
    using Vectors = typename Kernel::Vectors;
    constexpr std::size_t N = Vectors::lanes;
    using Doubles = typename VectorOf<double, N>::type;
    const std::size_t begin = p * Kernel::panel, dims = panels.rows.cols;
    const std::size_t whole = dims / N * N;
    if (panels.rows.rows - begin < Kernel::panel) return pack_panel(panels, p);
    for (std::size_t first = 0; first < Kernel::panel; first += N) {
        float* out = panels.panel(p) + first;
        Doubles norms{};
        for (std::size_t d = 0; d < whole; d += N, out += N * Kernel::panel) {
            Floats<N> square[N];
#pragma GCC unroll 16
            for (std::size_t j = 0; j < N; ++j) {
                const auto* row = panels.rows.row(begin + first + j) + d;
                __builtin_prefetch(row + N * dims);  // of the next N rows
                square[j] = load_floats<Vectors>(row);
            }
            transpose<N>(square);
#pragma GCC unroll 16
            for (std::size_t s = 0; s < N; ++s) {
                store(out + s * Kernel::panel, square[s]);
                const auto x = __builtin_convertvector(square[s], Doubles);
                norms += x * x;
            }
        }
        for (std::size_t j = 0; j < N; ++j) {
            double norm = norms[j];
            const auto* row = panels.rows.row(begin + first + j);
            for (std::size_t d = whole; d < dims; ++d) {
                const float x = widened(row[d]);
                out[(d - whole) * Kernel::panel + j] = x;
                norm += double{x} * double{x};
            }
            panels.norms[begin + first + j] = norm;
            panels.offsets[begin + first + j] = Kernel::offset(norm);
        }
    }
}

}  // namespace trouvaille::exact
