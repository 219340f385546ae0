// SPDX-License-Identifier: Apache-2.0
#pragma once

// What one posting of a query's word adds to its document's sum, for each kernel: a functor over N
// lanes, instantiated for each instruction set. Sums are 64-bit fixed point: a contribution is a
// float64 cut to a whole number of units, and whole numbers add up to the same sum in any order.
// Every operation is one IEEE operation and none is contracted, so all instruction sets agree.
//
// One that `is_costly` is computed for the postings alone, never for documents that lack one.
//
//     x       h of the stored value, float32
//     factor  of the document, float64
//
// A kernel gives 0 for x = 0: a posting that is not there may be computed, too.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille {

template <std::size_t N>
using Doubles = typename VectorOf<double, N>::type;
template <std::size_t N>
using Longs = typename VectorOf<std::int64_t, N>::type;

template <std::size_t N>
ALWAYS_INLINE Doubles<N> to_doubles(Floats<N> v) {
    return __builtin_convertvector(v, Doubles<N>);
}

/// Towards zero. |v| < 2^63.
template <std::size_t N>
ALWAYS_INLINE Longs<N> to_longs(Doubles<N> v) {
    return __builtin_convertvector(v, Longs<N>);
}

template <std::size_t N>
ALWAYS_INLINE Doubles<N> abs(Doubles<N> v) {
    Longs<N> bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    bits &= 0x7FFF'FFFF'FFFF'FFFF;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}

/// c x, where c = q_w g_w in units.
struct DotKernel {
    static constexpr bool uses_factor = false, is_costly = false;
    double c;

    // In float32, which is twice as fast.
    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Floats<N> x, Doubles<N>) const {
        return __builtin_convertvector(x * static_cast<float>(c), Longs<N>);
    }

    std::int64_t of_constant(float x) const {
        return static_cast<std::int64_t>(static_cast<double>(x) * c);
    }
};

/// c x / (x + K), where K > 0 is the document's factor. The quotient comes first, so that it may be
/// known beforehand for x = 1, which most counts are.
struct Bm25Kernel {
    static constexpr bool uses_factor = true, is_costly = true;
    double c;

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Floats<N> value, Doubles<N> factor) const {
        const Doubles<N> x = to_doubles<N>(value);
        return of_share<N>(x / (x + factor));
    }

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> of_share(Doubles<N> share) const {
        return to_longs<N>(share * c);
    }
};

/// Kernels of a share of c, x / (x + factor).
template <class Kernel>
concept OfShares = requires(const Kernel& kernel) { kernel.template of_share<4>(Doubles<4>{}); };

/// d = g x r; r is 1 where no norm is asked for.
template <bool with_factor, std::size_t N>
ALWAYS_INLINE Doubles<N> document_value(Floats<N> value, double weight, Doubles<N> factor) {
    const Doubles<N> d = to_doubles<N>(value) * weight;
    if constexpr (with_factor) return d * factor;
    return d;
}

/// min(q, d) in units, d = g x r.
template <bool with_factor>
struct MinimumKernel {
    static constexpr bool uses_factor = with_factor, is_costly = false;
    double query, weight, units;

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Floats<N> value, Doubles<N> factor) const {
        const Doubles<N> d = document_value<with_factor, N>(value, weight, factor);
        const Doubles<N> q = Doubles<N>{} + query;
        return to_longs<N>((d < q ? d : q) * units);
    }
};

/// |x|^p in units.
struct PowerOne {
    double units;
    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Doubles<N> x) const {
        return to_longs<N>(abs<N>(x) * units);
    }
};

struct PowerTwo {
    double units;
    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Doubles<N> x) const {
        return to_longs<N>(x * x * units);
    }
};

/// |x|^(halves / 2) for a few halves, in float32, by square roots and products: relative error
/// below 2^-21.
struct PowerHalves {
    double units;
    int halves;

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Doubles<N> x) const {
        const Floats<N> once = __builtin_convertvector(abs<N>(x), Floats<N>);
        Floats<N> product = halves % 2 == 1 ? sqrt<N>(once) : splat<N>(1.0F);
        for (int i = halves / 2; i > 0; --i) product *= once;
        return to_longs<N>(to_doubles<N>(product) * units);
    }
};

/// Any p up to 8: 2^(p log2 |x|) in float32, relative error below 2^-20.
struct PowerAny {
    static constexpr double largest_p = 8;
    static constexpr double largest_exponent = 100;  // of a power of two that a result may be

    double units;
    float p_whole, p_high, p_low;  // p_high has 8 bits of p: times an exponent it is exact

    PowerAny(double p, double units_)
        : units(units_),
          p_whole(static_cast<float>(p)),
          p_high(high_part(p)),
          p_low(static_cast<float>(p - static_cast<double>(p_high))) {}

    static float high_part(double p) {
        int exponent;
        const double mantissa = std::frexp(p, &exponent);
        return static_cast<float>(std::ldexp(std::floor(std::ldexp(mantissa, 8)), exponent - 8));
    }

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Doubles<N> x) const {
        return to_longs<N>(to_doubles<N>(power<N>(narrowed<N>(abs<N>(x)))) * units);
    }

    template <std::size_t N>
    ALWAYS_INLINE static Floats<N> narrowed(Doubles<N> x) {
        return __builtin_convertvector(x, Floats<N>);
    }

    // x = 2^e m, m from 2^-1/2 to 2^1/2. log2 m by an odd series in s = (m - 1) / (m + 1); then
    // p e + p log2 m is split into a whole number and a rest, the large part exactly.
    template <std::size_t N>
    ALWAYS_INLINE Floats<N> power(Floats<N> x) const {
        constexpr std::int32_t root_half = 0x3F3504F3;  // the bits of 2^-1/2
        const Ints<N> all = bits<N>(x);
        const Ints<N> e = (all - root_half) >> 23;
        const Floats<N> m = from_bits<N>(all - (e << 23));
        const Floats<N> s = (m - 1.0F) / (m + 1.0F);
        const Floats<N> t = s * s;
        Floats<N> log2m = t * 0.41219858F + 0.57707802F;  // 2 log2(e) / 7, 5, 3, 1
        log2m = log2m * t + 0.96179669F;
        log2m = log2m * t + 2.88539008F;
        log2m = log2m * s;
        const Floats<N> exponent = to_floats<N>(e);
        const Floats<N> large = exponent * p_high;
        const Ints<N> whole_large = to_ints<N>(large);
        const Floats<N> rest =
            (large - to_floats<N>(whole_large)) + exponent * p_low + log2m * p_high + log2m * p_low;
        const Ints<N> whole_rest = to_ints<N>(rest + 1024.5F) - 1024;
        return scaled<N>(exp2_near_zero<N>(rest - to_floats<N>(whole_rest)),
                         whole_large + whole_rest, all);
    }

    // 2^f for f from -1/2 to 1/2: the series of e^(f ln 2).
    template <std::size_t N>
    ALWAYS_INLINE static Floats<N> exp2_near_zero(Floats<N> f) {
        Floats<N> y = f * 1.5403530e-4F + 1.3333558e-3F;
        y = y * f + 9.6181291e-3F;
        y = y * f + 5.5504109e-2F;
        y = y * f + 0.24022651F;
        y = y * f + 0.69314718F;
        return y * f + 1.0F;
    }

    // y 2^e, e below 127; 0 where that, or x, is below float32's normal numbers, as x = 0 is.
    template <std::size_t N>
    ALWAYS_INLINE static Floats<N> scaled(Floats<N> y, Ints<N> e, Ints<N> bits_of_x) {
        const Ints<N> exponent = e + 127;
        const Ints<N> too_small =
            where_negative<N>(exponent - 1) | where_negative<N>(bits_of_x - 0x0080'0000);
        return from_bits<N>(bits<N>(y * from_bits<N>(exponent << 23)) & ~too_small);
    }
};

/// F(q - d) - F(q) - F(d), d = g x r: with the sums of F(q) over the query's words and of F(d) over
/// the document's, in the same units, all documents' sums of |q - d|^p come out without
/// cancellation, since F(q) and F(d) are the same whole numbers there.
template <class Power, bool with_factor>
struct LpKernel {
    static constexpr bool uses_factor = with_factor, is_costly = true;
    double query, weight;
    std::int64_t power_of_query;
    Power power;

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Floats<N> value, Doubles<N> factor) const {
        const Doubles<N> d = document_value<with_factor, N>(value, weight, factor);
        return power.template operator()<N>(d - query) - power.template operator()<N>(d) -
               power_of_query;
    }
};

/// F(d) alone: sums to a document's norm.
template <class Power, bool with_factor>
struct NormKernel {
    static constexpr bool uses_factor = with_factor, is_costly = true;
    double weight;
    Power power;

    template <std::size_t N>
    ALWAYS_INLINE Longs<N> operator()(Floats<N> value, Doubles<N> factor) const {
        const Doubles<N> d = document_value<with_factor, N>(value, weight, factor);
        return power.template operator()<N>(d);
    }
};

}  // namespace trouvaille
