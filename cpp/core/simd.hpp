// SPDX-License-Identifier: Apache-2.0
#pragma once

// Short vectors of a width chosen by the caller: a kernel is one template on N, instantiated with 4
// lanes for the baseline (SSE2, NEON), 8 for AVX2 and 16 for AVX-512. Lanes are independent, each
// operation is one IEEE operation, and none is contracted: all widths give the same bits, as long
// as a kernel never sums over the lanes of one vector in an order that depends on N.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/target.hpp"

namespace trouvaille {

template <class T, std::size_t N>
struct VectorOf {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <std::size_t N>
using Floats = typename VectorOf<float, N>::type;
template <std::size_t N>
using Ints = typename VectorOf<std::int32_t, N>::type;  // a comparison gives -1 or 0 in each lane

template <std::size_t N>
ALWAYS_INLINE Floats<N> load(const float* from) {
    Floats<N> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class V, class T>
ALWAYS_INLINE void store(T* to, V v) {
    std::memcpy(to, &v, sizeof v);
}

template <std::size_t N>
ALWAYS_INLINE Floats<N> splat(float value) {
    return Floats<N>{} + value;
}

/// 0, 1, 2, ...
template <std::size_t N>
ALWAYS_INLINE Floats<N> ramp() {
    Floats<N> v;
    for (std::size_t l = 0; l < N; ++l) v[l] = static_cast<float>(l);
    return v;
}

template <class V>
ALWAYS_INLINE V min(V a, V b) {
    return a < b ? a : b;
}

template <class V>
ALWAYS_INLINE V max(V a, V b) {
    return a > b ? a : b;
}

template <class V>
ALWAYS_INLINE V abs(V a) {
    return a < 0 ? -a : a;
}

template <class V>
ALWAYS_INLINE V sqrt(V a) {
    for (std::size_t l = 0; l < sizeof(V) / sizeof(float); ++l) a[l] = __builtin_sqrtf(a[l]);
    return a;
}

/// Towards zero.
template <std::size_t N>
ALWAYS_INLINE Ints<N> to_ints(Floats<N> v) {
    return __builtin_convertvector(v, Ints<N>);
}

template <std::size_t N>
ALWAYS_INLINE Floats<N> to_floats(Ints<N> v) {
    return __builtin_convertvector(v, Floats<N>);
}

}  // namespace trouvaille
