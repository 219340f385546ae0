// SPDX-License-Identifier: Apache-2.0
#pragma once

// How each instruction set compares a query with rows where they lie, unpacked: for so few queries
// that to pack the rows would take longer. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/target.hpp"
#include "neighbors/differing_bits.hpp"
#include "neighbors/hamming_kernels.hpp"

namespace trouvaille::hamming::in_place {

inline constexpr std::size_t group_rows = 64;  // of one word of a bitmap

using Group = std::uint64_t;  // bit j: row j of a group

// A kernel's nearer<Bytes>(rows, query, bytes, threshold, distances) compares a query of `bytes`
// bytes (Bytes of them, unless that is 0) with the 64 rows at `rows`: bit j says that row j is
// nearer than `threshold`. If there is any, distances[j] is the distance of row j.

/// A row at a time, by words.
template <class Counted, std::size_t Bytes>
ALWAYS_INLINE Group nearer_by_words(const std::uint8_t* rows, const std::uint8_t* query,
                                    std::size_t bytes, std::int32_t threshold,
                                    std::int32_t* distances) {
    const std::size_t size = Bytes == 0 ? bytes : Bytes;
    for (std::size_t j = 0; j < group_rows; ++j)
        distances[j] = differing_bits<Counted>(rows + j * size, query, size);
    std::int32_t least = distances[0];
    for (std::size_t j = 1; j < group_rows; ++j) least = std::min(least, distances[j]);
    if (least >= threshold) return 0;
    Group passing = 0;
    for (std::size_t j = 0; j < group_rows; ++j)
        passing |= static_cast<Group>(distances[j] < threshold) << j;
    return passing;
}

struct Scalar {
    /// Bits that are set; compilers vectorise it, as they cannot the instruction of one word.
    static constexpr std::size_t count(std::uint64_t x) {
        x -= x >> 1 & 0x5555555555555555u;
        x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
        x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
        x += x >> 8;
        x += x >> 16;
        return (x + (x >> 32)) & 0x7Fu;
    }

    template <std::size_t Bytes>
    static Group nearer(const std::uint8_t* rows, const std::uint8_t* query, std::size_t bytes,
                        std::int32_t threshold, std::int32_t* distances) {
        return nearer_by_words<Scalar, Bytes>(rows, query, bytes, threshold, distances);
    }
};

#if TROUVAILLE_X86
template <class T>
ALWAYS_INLINE std::int64_t first_of(const std::uint8_t* query) {
    T word;
    std::memcpy(&word, query, sizeof word);
    return static_cast<std::int64_t>(word);
}

struct Avx2 {
    TARGET_AVX2 static __m256i load(const std::uint8_t* at) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    }

    /// How many bits of the four words at `row` differ from those of `query`.
    TARGET_AVX2 static __m256i differing(__m256i row, __m256i query) {
        const __m256i counts = hamming::Avx2::count_bytes(_mm256_xor_si256(row, query));
        return _mm256_sad_epu8(counts, _mm256_setzero_si256());
    }

    /// Sums of neighbouring lanes, in turns of a and of b.
    TARGET_AVX2 static __m256i pairs(__m256i a, __m256i b) {
        return _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    }

    /// Sums of the halves of a, then of b.
    TARGET_AVX2 static __m256i halves(__m256i a, __m256i b) {
        return _mm256_add_epi64(_mm256_permute2x128_si256(a, b, 0x20),
                                _mm256_permute2x128_si256(a, b, 0x31));
    }

    /// A row of at least 32 bytes, its sum spread over four lanes.
    TARGET_AVX2 static __m256i spread(const std::uint8_t* row, const std::uint8_t* query,
                                      std::size_t bytes) {
        __m256i sum = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 32 <= bytes; i += 32)
            sum = _mm256_add_epi64(sum, differing(load(row + i), load(query + i)));
        if (i == bytes) return sum;
        const __m256i places =
            _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                             20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
        const auto counted = static_cast<char>(31 - (bytes - i));  // the last of those counted
        const __m256i fresh = _mm256_cmpgt_epi8(places, _mm256_set1_epi8(counted));
        const __m256i row_end = _mm256_and_si256(load(row + bytes - 32), fresh);
        const __m256i query_end = _mm256_and_si256(load(query + bytes - 32), fresh);
        return _mm256_add_epi64(sum, differing(row_end, query_end));
    }

    /// The distances of four rows.
    template <std::size_t Bytes>
    TARGET_AVX2 static __m256i four(const std::uint8_t* rows, const std::uint8_t* query,
                                    std::size_t bytes) {
        if constexpr (Bytes == 4) {
            const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows));
            return differing(_mm256_cvtepu32_epi64(words),
                             _mm256_set1_epi64x(first_of<std::uint32_t>(query)));
        } else if constexpr (Bytes == 8) {
            return differing(load(rows), _mm256_set1_epi64x(first_of<std::int64_t>(query)));
        } else if constexpr (Bytes == 16) {
            const __m256i twice = _mm256_broadcastsi128_si256(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(query)));
            const __m256i sums =
                pairs(differing(load(rows), twice), differing(load(rows + 32), twice));
            return _mm256_permute4x64_epi64(sums, 0xD8);
        } else {
            const __m256i low =
                pairs(spread(rows, query, bytes), spread(rows + bytes, query, bytes));
            rows += 2 * bytes;
            const __m256i high =
                pairs(spread(rows, query, bytes), spread(rows + bytes, query, bytes));
            return halves(low, high);
        }
    }

    template <std::size_t Bytes>
    TARGET_AVX2 static Group nearer(const std::uint8_t* rows, const std::uint8_t* query,
                                    std::size_t bytes, std::int32_t threshold,
                                    std::int32_t* distances) {
        if (Bytes == 0 && bytes < 32)
            return nearer_by_words<CountedByInstruction, 0>(rows, query, bytes, threshold,
                                                            distances);
        const std::size_t size = Bytes == 0 ? bytes : Bytes;
        constexpr std::size_t vectors = group_rows / 4;
        __m256i sums[vectors];
        __m256i least = _mm256_set1_epi32(-1);
#pragma GCC unroll 4
        for (std::size_t v = 0; v < vectors; ++v) {
            sums[v] = four<Bytes>(rows + 4 * v * size, query, size);
            least = _mm256_min_epu32(least, sums[v]);
        }
        const __m256i limit = _mm256_set1_epi64x(threshold);
        if (_mm256_testz_si256(_mm256_cmpgt_epi64(limit, least), _mm256_set1_epi32(-1))) return 0;
        Group passing = 0;
        for (std::size_t v = 0; v < vectors; ++v) {
            const __m256d passes = _mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, sums[v]));
            passing |= static_cast<Group>(_mm256_movemask_pd(passes)) << 4 * v;
            const __m256i low =
                _mm256_permutevar8x32_epi32(sums[v], _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
            _mm_store_si128(reinterpret_cast<__m128i*>(distances + 4 * v),
                            _mm256_castsi256_si128(low));
        }
        return passing;
    }
};

struct Avx512 {
    TARGET_AVX512_POPCNT static __m512i differing(__m512i rows, __m512i query) {
        return _mm512_popcnt_epi64(_mm512_xor_si512(rows, query));
    }

    TARGET_AVX512_POPCNT static __m512i differing(const std::uint8_t* rows, __m512i query) {
        return differing(_mm512_loadu_si512(rows), query);
    }

    /// Sums of neighbouring lanes, in turns of a and of b.
    TARGET_AVX512_POPCNT static __m512i pairs(__m512i a, __m512i b) {
        return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }

    /// Sums of neighbouring pairs of lanes, those of a and then those of b.
    TARGET_AVX512_POPCNT static __m512i quarters(__m512i a, __m512i b) {
        return _mm512_add_epi64(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xDD));
    }

    /// A row, its sum spread over eight lanes.
    TARGET_AVX512_POPCNT static __m512i spread(const std::uint8_t* row, const std::uint8_t* query,
                                               std::size_t bytes) {
        __m512i sum = _mm512_setzero_si512();
        std::size_t i = 0;
        for (; i + 64 <= bytes; i += 64)
            sum = _mm512_add_epi64(sum, differing(row + i, _mm512_loadu_si512(query + i)));
        if (i == bytes) return sum;
        const __mmask64 rest = (std::uint64_t{1} << (bytes - i)) - 1;
        return _mm512_add_epi64(sum, differing(_mm512_maskz_loadu_epi8(rest, row + i),
                                               _mm512_maskz_loadu_epi8(rest, query + i)));
    }

    /// The distances of eight rows.
    template <std::size_t Bytes>
    TARGET_AVX512_POPCNT static __m512i eight(const std::uint8_t* rows, const std::uint8_t* query,
                                              std::size_t bytes) {
        if constexpr (Bytes == 4) {
            const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows));
            return differing(_mm512_cvtepu32_epi64(words),
                             _mm512_set1_epi64(first_of<std::uint32_t>(query)));
        } else if constexpr (Bytes == 8) {
            return differing(rows, _mm512_set1_epi64(first_of<std::int64_t>(query)));
        } else if constexpr (Bytes == 16) {
            const __m512i same =
                _mm512_broadcast_i64x2(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query)));
            const __m512i sums = pairs(differing(rows, same), differing(rows + 64, same));
            return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), sums);
        } else if constexpr (Bytes == 32) {
            const __m512i same =
                _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(query)));
            const __m512i a = pairs(differing(rows, same), differing(rows + 64, same));
            const __m512i b = pairs(differing(rows + 128, same), differing(rows + 192, same));
            return _mm512_permutex_epi64(quarters(a, b), 0xD8);
        } else {
            __m512i sums[8];
            if (bytes < 64) {
                const __mmask64 own = (std::uint64_t{1} << bytes) - 1;
                const __m512i same = _mm512_maskz_loadu_epi8(own, query);
#pragma GCC unroll 8
                for (std::size_t j = 0; j < 8; ++j)
                    sums[j] = differing(_mm512_maskz_loadu_epi8(own, rows + j * bytes), same);
            } else {
#pragma GCC unroll 8
                for (std::size_t j = 0; j < 8; ++j)
                    sums[j] = spread(rows + j * bytes, query, bytes);
            }
            const __m512i low = quarters(pairs(sums[0], sums[1]), pairs(sums[2], sums[3]));
            const __m512i high = quarters(pairs(sums[4], sums[5]), pairs(sums[6], sums[7]));
            return quarters(low, high);
        }
    }

    template <std::size_t Bytes>
    TARGET_AVX512_POPCNT static Group nearer(const std::uint8_t* rows, const std::uint8_t* query,
                                             std::size_t bytes, std::int32_t threshold,
                                             std::int32_t* distances) {
        const std::size_t size = Bytes == 0 ? bytes : Bytes;
        constexpr std::size_t vectors = group_rows / 8;
        __m512i sums[vectors];
        __m512i least = _mm512_set1_epi32(-1);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectors; ++v) {
            sums[v] = eight<Bytes>(rows + 8 * v * size, query, size);
            least = _mm512_min_epu32(least, sums[v]);
        }
        const __m512i limit = _mm512_set1_epi64(threshold);
        if (_mm512_cmplt_epi64_mask(least, limit) == 0) return 0;
        Group passing = 0;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectors; ++v) {
            passing |= Group{_mm512_cmplt_epi64_mask(sums[v], limit)} << 8 * v;
            _mm256_store_si256(reinterpret_cast<__m256i*>(distances + 8 * v),
                               _mm512_cvtepi64_epi32(sums[v]));
        }
        return passing;
    }
};
#endif

}  // namespace trouvaille::hamming::in_place
