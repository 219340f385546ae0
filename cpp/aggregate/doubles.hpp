// SPDX-License-Identifier: Apache-2.0
#pragma once

// Eight doubles at a time on every instruction set: what is summed is the same partial sums in the
// same order, whether they lie in one register or in four. Private to aggregate/.

#include <cstddef>
#include <cstdint>

#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille::aggregate {

inline constexpr std::size_t lanes = 8;
using Doubles = VectorOf<double, lanes>::type;
using Longs = VectorOf<std::int64_t, lanes>::type;

constexpr std::size_t whole_lanes(std::size_t n) {
    return (n + lanes - 1) / lanes * lanes;
}

ALWAYS_INLINE Doubles load_doubles(const double* from) {
    Doubles v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

ALWAYS_INLINE double sum(Doubles v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/// Of n doubles, the last of them added one by one.
ALWAYS_INLINE double squared_length(const double* v, std::size_t n) {
    Doubles sums{};
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const Doubles x = load_doubles(v + i);
        sums += x * x;
    }
    double rest = 0;
    for (; i < n; ++i) rest += v[i] * v[i];
    return sum(sums) + rest;
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

}  // namespace trouvaille::aggregate
