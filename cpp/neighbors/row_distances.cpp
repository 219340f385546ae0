// SPDX-License-Identifier: Apache-2.0
#include "neighbors/row_distances.hpp"

#include <cstring>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/float_keys.hpp"
#include "neighbors/squared_distance.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

void bytes_scalar(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                  const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    for (std::size_t i = 0; i < n; ++i)
        distances[i] = squared_distance(query, points.row(ids[i]), points.cols);
}

template <class Vectors>
ALWAYS_INLINE void floats(const float* query, MatrixView<const float> points,
                          const std::uint32_t* ids, std::size_t n, float* distances) {
    for (std::size_t i = 0; i < n; ++i)
        distances[i] = float_key<Vectors, Metric::l2>(query, points.row(ids[i]), points.cols);
}

void floats_scalar(const float* query, MatrixView<const float> points, const std::uint32_t* ids,
                   std::size_t n, float* distances) {
    floats<ScalarFloats>(query, points, ids, n, distances);
}

#if TROUVAILLE_X86
[[gnu::flatten]] TARGET_AVX2 void floats_avx2(const float* query, MatrixView<const float> points,
                                              const std::uint32_t* ids, std::size_t n,
                                              float* distances) {
    floats<Avx2Floats>(query, points, ids, n, distances);
}

[[gnu::flatten]] TARGET_AVX512 void floats_avx512(const float* query,
                                                  MatrixView<const float> points,
                                                  const std::uint32_t* ids, std::size_t n,
                                                  float* distances) {
    floats<Avx512Floats>(query, points, ids, n, distances);
}

TARGET_AVX2 void bytes_avx2(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                            const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    const std::size_t whole = points.cols / 32 * 32;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* row = points.row(ids[i]);
        __m256i sums = _mm256_setzero_si256();
        for (std::size_t d = 0; d < whole; d += 32) {
            const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + d));
            const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + d));
            const __m256i difference =
                _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
            const __m256i low = _mm256_unpacklo_epi8(difference, _mm256_setzero_si256());
            const __m256i high = _mm256_unpackhi_epi8(difference, _mm256_setzero_si256());
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(low, low));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(high, high));
        }
        __m128i four =
            _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
        distances[i] = _mm_cvtsi128_si32(four) +
                       squared_distance(query + whole, row + whole, points.cols - whole);
    }
}

using Ints16 [[gnu::vector_size(64)]] = std::int32_t;

// The squared differences of 64 dimensions, added to `sums`.
TARGET_AVX512 ALWAYS_INLINE Ints16 add_squares(Ints16 sums, __m512i a, __m512i b) {
    const __m512i difference = _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
    const __m512i low = _mm512_unpacklo_epi8(difference, _mm512_setzero_si512());
    const __m512i high = _mm512_unpackhi_epi8(difference, _mm512_setzero_si512());
    sums = (Ints16)_mm512_dpwssd_epi32((__m512i)sums, low, low);
    return (Ints16)_mm512_dpwssd_epi32((__m512i)sums, high, high);
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

// Four rows at a time: one sum over lanes for all, and four chains of multiply-adds.
TARGET_AVX512 void bytes_avx512(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                                const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    const std::size_t whole = points.cols / 64 * 64, rest = points.cols - whole;
    const __mmask64 mask = (std::uint64_t{1} << rest) - 1;
    for (std::size_t i = 0; i < n; i += 4) {
        const std::uint8_t* rows[4];
        for (std::size_t r = 0; r < 4; ++r) rows[r] = points.row(ids[i + r < n ? i + r : n - 1]);
        Ints16 sums[4] = {};
        for (std::size_t d = 0; d < whole; d += 64) {
            const __m512i q = _mm512_loadu_si512(query + d);
#pragma GCC unroll 4
            for (std::size_t r = 0; r < 4; ++r)
                sums[r] = add_squares(sums[r], q, _mm512_loadu_si512(rows[r] + d));
        }
        if (rest != 0) {
            const __m512i q = _mm512_maskz_loadu_epi8(mask, query + whole);
#pragma GCC unroll 4
            for (std::size_t r = 0; r < 4; ++r)
                sums[r] = add_squares(sums[r], q, _mm512_maskz_loadu_epi8(mask, rows[r] + whole));
        }
        alignas(16) std::int32_t four[4];
        _mm_store_si128(reinterpret_cast<__m128i*>(four), sums_of_four(sums));
        std::memcpy(distances + i, four, (n - i < 4 ? n - i : 4) * sizeof(std::int32_t));
    }
}

constexpr RowDistances<std::uint8_t> of_bytes[isa_count] = {bytes_scalar, bytes_avx2, bytes_avx512};
constexpr RowDistances<float> of_floats[isa_count] = {floats_scalar, floats_avx2, floats_avx512};
#else
constexpr RowDistances<std::uint8_t> of_bytes[isa_count] = {bytes_scalar, bytes_scalar,
                                                            bytes_scalar};
constexpr RowDistances<float> of_floats[isa_count] = {floats_scalar, floats_scalar, floats_scalar};
#endif

}  // namespace

template <>
RowDistances<std::uint8_t> row_distances<std::uint8_t>() {
    return pick(of_bytes);
}

template <>
RowDistances<float> row_distances<float>() {
    return pick(of_floats);
}

}  // namespace trouvaille
