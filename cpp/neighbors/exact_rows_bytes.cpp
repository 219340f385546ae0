// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/exact_compare.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

// Numbers of 16 bits, so that the compiler multiplies and adds pairs of them (vpmaddwd).
template <Metric metric>
ALWAYS_INLINE std::int32_t byte_key(const std::uint8_t* query, const std::uint8_t* row,
                                    std::size_t dims) {
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < dims; ++d) {
        const auto difference = static_cast<std::int16_t>(query[d] - row[d]);
        if constexpr (metric == Metric::inner_product) {
            sum -= static_cast<std::int16_t>(query[d]) * static_cast<std::int16_t>(row[d]);
        } else if constexpr (metric == Metric::l1) {
            sum += difference < 0 ? -difference : difference;
        } else {
            sum += difference * difference;
        }
    }
    return sum;
}

template <Metric metric>
ALWAYS_INLINE void scan_rows(MatrixView<const std::uint8_t> queries,
                             MatrixView<const std::uint8_t> points, std::int32_t* keys) {
    for (std::size_t j = 0; j < points.rows; ++j)
        for (std::size_t q = 0; q < queries.rows; ++q)
            keys[q * points.rows + j] =
                byte_key<metric>(queries.row(q), points.row(j), points.cols);
}

template <Metric metric>
void scalar(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
            std::int32_t* keys) {
    scan_rows<metric>(queries, points, keys);
}

#if TROUVAILLE_X86
template <Metric metric>
TARGET_AVX2 void avx2(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                      std::int32_t* keys) {
    scan_rows<metric>(queries, points, keys);
}

using Ints16 [[gnu::vector_size(64)]] = std::int32_t;

// The terms of 64 dimensions, added to `sums`: of an inner product, q.w = (q - 128).w + 128 sum(w),
// in units of its sign.
template <Metric metric>
TARGET_AVX512 ALWAYS_INLINE Ints16 plus(Ints16 sums, __m512i q, __m512i w) {
    if constexpr (metric == Metric::inner_product) {
        const __m512i shifted = _mm512_xor_si512(q, _mm512_set1_epi8(-128));
        const __m512i of_words = _mm512_slli_epi32(_mm512_sad_epu8(w, _mm512_setzero_si512()), 7);
        return (Ints16)_mm512_dpbusd_epi32((__m512i)(sums + (Ints16)of_words), w, shifted);
    } else if constexpr (metric == Metric::l1) {
        return sums + (Ints16)_mm512_sad_epu8(q, w);
    } else {
        const __m512i difference = _mm512_or_si512(_mm512_subs_epu8(q, w), _mm512_subs_epu8(w, q));
        const __m512i low = _mm512_unpacklo_epi8(difference, _mm512_setzero_si512());
        const __m512i high = _mm512_unpackhi_epi8(difference, _mm512_setzero_si512());
        sums = (Ints16)_mm512_dpwssd_epi32((__m512i)sums, low, low);
        return (Ints16)_mm512_dpwssd_epi32((__m512i)sums, high, high);
    }
}

TARGET_AVX512 ALWAYS_INLINE __m512i fold(__m512i a, __m512i b) {
    return (__m512i)((Ints16)_mm512_unpacklo_epi32(a, b) + (Ints16)_mm512_unpackhi_epi32(a, b));
}

// The sums of the lanes of four vectors.
TARGET_AVX512 ALWAYS_INLINE __m128i sums_of_four(const Ints16* sums) {
    const __m512i ab = fold((__m512i)sums[0], (__m512i)sums[1]);
    const __m512i cd = fold((__m512i)sums[2], (__m512i)sums[3]);
    const __m512i all =
        (__m512i)((Ints16)_mm512_unpacklo_epi64(ab, cd) + (Ints16)_mm512_unpackhi_epi64(ab, cd));
    const __m256i eight =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
}

// Four rows at a time: one sum over lanes for all.
template <Metric metric>
TARGET_AVX512 void avx512(MatrixView<const std::uint8_t> queries,
                          MatrixView<const std::uint8_t> points, std::int32_t* keys) {
    const std::size_t n = points.rows, dims = points.cols, whole = dims / 64 * 64;
    const __mmask64 rest = (std::uint64_t{1} << (dims - whole)) - 1;
    for (std::size_t j = 0; j < n; j += 4) {
        const std::uint8_t* rows[4];
        for (std::size_t r = 0; r < 4; ++r) rows[r] = points.row(std::min(j + r, n - 1));
        for (std::size_t i = 0; i < queries.rows; ++i) {
            const std::uint8_t* query = queries.row(i);
            Ints16 sums[4] = {};
            for (std::size_t d = 0; d < whole; d += 64) {
                const __m512i q = _mm512_loadu_si512(query + d);
#pragma GCC unroll 4
                for (std::size_t r = 0; r < 4; ++r)
                    sums[r] = plus<metric>(sums[r], q, _mm512_loadu_si512(rows[r] + d));
            }
            if (rest != 0) {
                const __m512i q = _mm512_maskz_loadu_epi8(rest, query + whole);
#pragma GCC unroll 4
                for (std::size_t r = 0; r < 4; ++r)
                    sums[r] =
                        plus<metric>(sums[r], q, _mm512_maskz_loadu_epi8(rest, rows[r] + whole));
            }
            alignas(16) std::int32_t four[4];
            _mm_store_si128(reinterpret_cast<__m128i*>(four), sums_of_four(sums));
            for (std::int32_t& key : four) key = key_or_distance(metric, key);
            std::memcpy(keys + i * n + j, four, std::min<std::size_t>(n - j, 4) * sizeof *four);
        }
    }
}

template <Metric metric>
constexpr decltype(&scalar<metric>) variants[isa_count] = {scalar<metric>, avx2<metric>,
                                                           avx512<metric>};
#else
template <Metric metric>
constexpr decltype(&scalar<metric>) variants[isa_count] = {scalar<metric>, scalar<metric>,
                                                           scalar<metric>};
#endif

}  // namespace

namespace exact {

template <Metric metric>
void compare_rows(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                  std::int32_t* keys) {
    pick(variants<metric>)(queries, points, keys);
}

#define INSTANTIATE(metric)                                            \
    template void compare_rows<metric>(MatrixView<const std::uint8_t>, \
                                       MatrixView<const std::uint8_t>, std::int32_t*);
INSTANTIATE(Metric::l2)
INSTANTIATE(Metric::inner_product)
INSTANTIATE(Metric::l1)
#undef INSTANTIATE

}  // namespace exact
}  // namespace trouvaille
