// SPDX-License-Identifier: Apache-2.0
#pragma once

// Eight doubles at a time on every instruction set: what is summed is the same partial sums in the
// same order, whether they lie in one register or in four. Private to aggregate/.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille::aggregate {

inline constexpr std::size_t lanes = 8;
using Doubles = VectorOf<double, lanes>::type;
using Longs = VectorOf<std::uint64_t, lanes>::type;

constexpr std::size_t whole_lanes(std::size_t n) {
    return (n + lanes - 1) / lanes * lanes;
}

ALWAYS_INLINE Doubles load_doubles(const double* from) {
    Doubles v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

/// The lanes, the second half of them on the first, and so on, by `join`.
template <class Join>
ALWAYS_INLINE double folded(Doubles v, Join join) {
    v = join(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = join(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
    return join(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6))[0];
}

ALWAYS_INLINE double sum(Doubles v) {
    return folded(v, [](Doubles a, Doubles b) { return a + b; });
}

ALWAYS_INLINE double largest(Doubles v) {
    return folded(v, [](Doubles a, Doubles b) { return max(a, b); });
}

/// Of n doubles: 32 partial sums, and the last numbers one by one.
ALWAYS_INLINE double squared_length(const double* v, std::size_t n) {
    Doubles sums[4] = {};
    std::size_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes)
#pragma GCC unroll 4
        for (std::size_t s = 0; s < 4; ++s) {
            const Doubles x = load_doubles(v + i + s * lanes);
            sums[s] += x * x;
        }
    double rest = 0;
    for (; i < n; ++i) rest += v[i] * v[i];
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

ALWAYS_INLINE Longs bits(Doubles v) {
    Longs same;
    std::memcpy(&same, &v, sizeof same);
    return same;
}

ALWAYS_INLINE Doubles from_bits(Longs v) {
    Doubles same;
    std::memcpy(&same, &v, sizeof same);
    return same;
}

/// e^x for x from -700 to 700, to 2^-51 of it; the same bits everywhere, which no libm promises.
/// With n the whole number nearest to x / log 2, it is 2^n e^r: the series up to r^13, |r| < 0.35.
ALWAYS_INLINE Doubles exponential(Doubles x) {
    // Adding it leaves no bits behind the point: the sum's last bits are n.
    constexpr double whole = 0x1.8p52;
    constexpr double log2_high = 0x1.62E42FEEp-1, log2_low = 0x1.A39EF35793C76p-33;
    const Doubles shifted = x * 0x1.71547652B82FEp0 + whole;
    const Doubles n = shifted - whole;
    const Doubles r = (x - n * log2_high) - n * log2_low;
    Doubles series = Doubles{} + 1.0 / 6227020800;
    constexpr double terms[] = {1.0 / 479001600,
                                1.0 / 39916800,
                                1.0 / 3628800,
                                1.0 / 362880,
                                1.0 / 40320,
                                1.0 / 5040,
                                1.0 / 720,
                                1.0 / 120,
                                1.0 / 24,
                                1.0 / 6,
                                1.0 / 2,
                                1.0,
                                1.0};
    for (const double term : terms) series = series * r + term;
    return from_bits(bits(series) + (bits(shifted) << 52));
}

/// The same in float32, to 2^-21 of it, for x from -80 to 80.
template <std::size_t N>
ALWAYS_INLINE Floats<N> exponential(Floats<N> x) {
    constexpr float whole = 0x1.8p23F, log2_high = 0x1.62E4p-1F, log2_low = 0x1.7F7D1Cp-20F;
    const Floats<N> shifted = x * 0x1.715476p0F + whole;
    const Floats<N> n = shifted - whole;
    const Floats<N> r = (x - n * log2_high) - n * log2_low;
    // Up to r^6, in few steps that wait for each other.
    const Floats<N> square = r * r;
    const Floats<N> first = (r + 1.0F) + square * (r * (1.0F / 6) + 0.5F);
    const Floats<N> last = (r * (1.0F / 120) + 1.0F / 24) + square * (1.0F / 720);
    Floats<N> series = first + square * square * last;
    using Words = typename VectorOf<std::uint32_t, N>::type;
    Words exponent, result;
    std::memcpy(&exponent, &shifted, sizeof exponent);
    std::memcpy(&result, &series, sizeof result);
    result += exponent << 23;
    std::memcpy(&series, &result, sizeof series);
    return series;
}

}  // namespace trouvaille::aggregate
