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
#include <utility>

#include "core/target.hpp"

namespace trouvaille {

template <class T, std::size_t N>
struct VectorOf {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <std::size_t N>
using Floats = typename VectorOf<float, N>::type;
template <std::size_t N>
using Ints = typename VectorOf<std::int32_t, N>::type;

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

// GCC chooses the type of a comparison's result where it parses it, in a template not yet meant for
// AVX-512, whose masks are of another kind: it would then compare lane by lane. So a condition is
// the sign of a difference: differences of finite floats are zero only for equals, and then +0.
// `min` and `max` are one instruction each, and exempt.

/// The bits of `v`, negative where v is (or is -0).
template <std::size_t N>
ALWAYS_INLINE Ints<N> bits(Floats<N> v) {
    Ints<N> same;
    std::memcpy(&same, &v, sizeof same);
    return same;
}

template <std::size_t N>
ALWAYS_INLINE Floats<N> from_bits(Ints<N> v) {
    Floats<N> same;
    std::memcpy(&same, &v, sizeof same);
    return same;
}

/// All bits of a lane where `condition` is negative, none elsewhere.
template <std::size_t N>
ALWAYS_INLINE Ints<N> where_negative(Ints<N> condition) {
    return condition >> 31;
}

/// `a` where `mask` has all bits, `b` where it has none.
template <std::size_t N>
ALWAYS_INLINE Floats<N> select(Ints<N> mask, Floats<N> a, Floats<N> b) {
    return from_bits<N>((bits<N>(a) & mask) | (bits<N>(b) & ~mask));
}

template <std::size_t N>
ALWAYS_INLINE Floats<N> abs(Floats<N> v) {
    return from_bits<N>(bits<N>(v) & 0x7FFFFFFF);
}

/// One instruction only in files compiled with -fno-math-errno (see CMakeLists.txt).
template <std::size_t N>
ALWAYS_INLINE Floats<N> sqrt(Floats<N> v) {
    for (std::size_t l = 0; l < N; ++l) v[l] = __builtin_sqrtf(v[l]);
    return v;
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

namespace simd_detail {

// Of each group of 2 * half lanes of `a` and of `b`: its first half plus its second, those of `a`
// before those of `b`.
template <std::size_t half, std::size_t N, std::size_t... L>
ALWAYS_INLINE Floats<N> fold(Floats<N> a, Floats<N> b, std::index_sequence<L...>) {
    const Floats<N> first = __builtin_shufflevector(
        a, b, (L / (2 * half) * (2 * half) + L % half + (L % (2 * half) < half ? 0 : N))...);
    const Floats<N> second = __builtin_shufflevector(
        a, b, (L / (2 * half) * (2 * half) + L % half + half + (L % (2 * half) < half ? 0 : N))...);
    return first + second;
}

template <std::size_t N, std::size_t half>
ALWAYS_INLINE void fold_all(Floats<N>* v) {
    for (std::size_t i = 0; i < half; ++i)
        v[i] = fold<half, N>(v[i], v[i + half], std::make_index_sequence<N>{});
    if constexpr (half > 1) fold_all<N, half / 2>(v);
}

}  // namespace simd_detail

/// Lane l is the sum over the lanes of v[l], the second half of them added to the first, and so on:
/// the order of a sum that does not depend on N, if wider ones are halved the same way before. `v`
/// is overwritten.
template <std::size_t N>
ALWAYS_INLINE Floats<N> sums_of_lanes(Floats<N> (&v)[N]) {
    simd_detail::fold_all<N, N / 2>(v);
    return v[0];
}

}  // namespace trouvaille
