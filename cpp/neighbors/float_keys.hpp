// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/metric.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {

// Vectors of floats for an instruction set: their `lanes`, how as many numbers of 16 bits are
// widened, and how fewer than 16 floats are filled up with zeros. These functions cannot be
// ALWAYS_INLINE within templates that are compiled for none, so they take no vectors, whose
// registers depend on the caller's instruction set; where it matters callers are [[gnu::flatten]],
// and nothing is stored.

ALWAYS_INLINE float widened(float x) {
    return x;
}

/// The float32 of the same value.
ALWAYS_INLINE float widened(Half x) {
    const auto bits = static_cast<std::uint32_t>(x);
    const std::uint32_t sign = (bits & 0x8000) << 16, rest = bits & 0x7FFF;
    if (rest < 0x400) {  // zero or subnormal: units of 2^-24
        const float value = static_cast<float>(rest) * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    // The exponent is biased by 127 instead of 15; infinity and NaN keep the greatest one.
    const std::uint32_t shifted =
        (rest << 13) + (rest < 0x7C00 ? (127u - 15u) << 23 : (255u - 31u) << 23);
    const std::uint32_t word = sign | shifted;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

struct ScalarFloats {
    static constexpr std::size_t lanes = 4;
    static void widen(const Half* p, float* wide) {
        for (std::size_t l = 0; l < lanes; ++l) wide[l] = widened(p[l]);
    }
    static void fill_up(const float* p, std::size_t n, float* sixteen) {
        for (std::size_t l = 0; l < 16; ++l) sixteen[l] = l < n ? p[l] : 0;
    }
};

#if TROUVAILLE_X86
struct Avx2Floats {
    static constexpr std::size_t lanes = 8;
    TARGET_AVX2 static void widen(const Half* p, float* wide) {
        const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        _mm256_storeu_ps(wide, _mm256_cvtph_ps(halves));
    }
    TARGET_AVX2 static void fill_up(const float* p, std::size_t n, float* sixteen) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for (int half = 0; half < 2; ++half) {
            const int rest = static_cast<int>(n) - 8 * half;
            const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(rest), lane);
            _mm256_storeu_ps(sixteen + 8 * half, _mm256_maskload_ps(p + 8 * half, mask));
        }
    }
};

struct Avx512Floats {
    static constexpr std::size_t lanes = 16;
    TARGET_AVX512 static void widen(const Half* p, float* wide) {
        const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        // Masked by all ones: GCC 12 warns of the plain one, whose ignored operand is
        // uninitialised.
        _mm512_storeu_ps(wide, _mm512_maskz_cvtph_ps(0xFFFF, halves));
    }
    TARGET_AVX512 static void fill_up(const float* p, std::size_t n, float* sixteen) {
        const auto mask = static_cast<__mmask16>((1u << n) - 1);
        _mm512_storeu_ps(sixteen, _mm512_maskz_loadu_ps(mask, p));
    }
};
#endif

template <class Vectors>
ALWAYS_INLINE Floats<Vectors::lanes> load_floats(const float* p) {
    return load<Vectors::lanes>(p);
}

template <class Vectors>
ALWAYS_INLINE Floats<Vectors::lanes> load_floats(const Half* p) {
    alignas(64) float wide[Vectors::lanes];
    Vectors::widen(p, wide);
    return load<Vectors::lanes>(wide);
}

/// Adds what 16 dimensions contribute to the 16 partial sums of a key.
template <class Vectors, Metric metric, class T>
ALWAYS_INLINE void add_terms(const float* query, const T* row,
                             Floats<Vectors::lanes> (&sums)[16 / Vectors::lanes]) {
    constexpr std::size_t N = Vectors::lanes;
#pragma GCC unroll 4
    for (std::size_t p = 0; p < 16 / N; ++p) {
        const auto a = load_floats<Vectors>(query + p * N), b = load_floats<Vectors>(row + p * N);
        if constexpr (metric == Metric::inner_product) {
            sums[p] += a * b;
        } else if constexpr (metric == Metric::l1) {
            sums[p] += abs<N>(a - b);
        } else {
            sums[p] += (a - b) * (a - b);
        }
    }
}

/// sums[r] holds, in `lanes` partial sums, what becomes the key of row r of `Rows`, which lie
/// `stride` numbers apart.
template <class Vectors, Metric metric, std::size_t Rows, class T>
ALWAYS_INLINE void partial_sums(const float* query, const T* rows, std::size_t stride,
                                std::size_t dims, Floats<Vectors::lanes>* sums) {
    constexpr std::size_t N = Vectors::lanes, parts = 16 / N;
    constexpr std::size_t ahead = 16;  // rows: the processor alone would read half as fast
    Floats<N> all[Rows][parts] = {};
    std::size_t d = 0;
    for (; d + 16 <= dims; d += 16)
#pragma GCC unroll 4
        for (std::size_t r = 0; r < Rows; ++r) {
            if constexpr (Rows > 1) __builtin_prefetch(rows + (r + ahead) * stride + d);
            add_terms<Vectors, metric>(query + d, rows + r * stride + d, all[r]);
        }
    if (d < dims) {  // the rest, filled up with zeros
        alignas(64) float last[16];
        Vectors::fill_up(query + d, dims - d, last);
        for (std::size_t r = 0; r < Rows; ++r) {
            alignas(64) T row[16] = {};
            if constexpr (std::is_same_v<T, float>)
                Vectors::fill_up(rows + r * stride + d, dims - d, row);
            else
                std::memcpy(row, rows + r * stride + d, (dims - d) * sizeof(T));
            add_terms<Vectors, metric>(last, row, all[r]);
        }
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < Rows; ++r) {
        for (std::size_t half = parts / 2; half > 0; half /= 2)
            for (std::size_t p = 0; p < half; ++p) all[r][p] += all[r][p + half];
        sums[r] = all[r][0];
    }
}

/// The key of a query and a row: the float32 sum of (q - w)^2, -q w or |q - w|, 16 partial sums of
/// which are added by halves. Their order is part of the contract of every search, and no
/// multiply-add is fused (-ffp-contract=off), so the bits are the same on every instruction set,
/// and the same for a float16 as for the float32 of its value. Relative error at most (dims / 16 +
/// 8) * 2^-24, of inner products relative to |q| |w|.
template <class Vectors, Metric metric, class T>
ALWAYS_INLINE float float_key(const float* query, const T* row, std::size_t dims) {
    constexpr std::size_t N = Vectors::lanes;
    Floats<N> sum;
    partial_sums<Vectors, metric, 1>(query, row, 0, dims, &sum);
    float lanes[N];
    store(lanes, sum);
    for (std::size_t half = N / 2; half > 0; half /= 2)
        for (std::size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    return key_or_distance(metric, lanes[0]);
}

/// keys[r], likewise, of a query and each of as many rows as a vector has lanes.
template <class Vectors, Metric metric, class T>
ALWAYS_INLINE void float_keys(const float* query, const T* rows, std::size_t dims, float* keys) {
    constexpr std::size_t N = Vectors::lanes, together = 4;  // rows whose sums overlap
    Floats<N> sums[N];
#pragma GCC unroll 1
    for (std::size_t r = 0; r < N; r += together)
        partial_sums<Vectors, metric, together>(query, rows + r * dims, dims, dims, sums + r);
    store(keys, key_or_distance(metric, sums_of_lanes<N>(sums)));
}

}  // namespace trouvaille
