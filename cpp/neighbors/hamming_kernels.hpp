// SPDX-License-Identifier: Apache-2.0
#pragma once

// Panels of packed codes, and how each instruction set compares a query with one. Private to
// neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/target.hpp"
#include "core/view.hpp"
#include "neighbors/panels.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille::hamming {

using Word = std::uint32_t;

inline constexpr std::size_t panel_rows = 32;

/// Words of a code of `bytes` bytes; the last one is filled up with zeros.
constexpr std::size_t words_of(std::size_t bytes) {
    return exact::ceil_div(bytes, sizeof(Word));
}

/// Word s of row j of a panel is at s * panel_rows + j; rows from n on are zero.
struct PanelRows {
    MatrixView<const std::uint8_t> rows;
    std::size_t first, n;  // rows of this panel
};

/// Word s, of which there are `bytes` bytes. Inline, so that a copy of 4 is one move.
ALWAYS_INLINE void pack_word(const PanelRows& from, std::size_t s, std::size_t bytes, Word* panel) {
    for (std::size_t j = 0; j < panel_rows; ++j) {
        Word word = 0;
        if (j < from.n) std::memcpy(&word, from.rows.row(from.first + j) + s * sizeof(Word), bytes);
        panel[s * panel_rows + j] = word;
    }
}

#if TROUVAILLE_X86
ALWAYS_INLINE __m128i* transposed_at(Word* panel, std::size_t s, std::size_t j) {
    return reinterpret_cast<__m128i*>(panel + s * panel_rows + j);
}

/// Words s to s + 4 of rows j to j + 4: transposed in registers.
ALWAYS_INLINE void pack_four_words(const PanelRows& from, std::size_t j, std::size_t s,
                                   Word* panel) {
    const auto row = [&](std::size_t r) {
        const std::uint8_t* at = from.rows.row(from.first + j + r) + s * sizeof(Word);
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    };
    const __m128i a = _mm_unpacklo_epi32(row(0), row(1)), b = _mm_unpackhi_epi32(row(0), row(1));
    const __m128i c = _mm_unpacklo_epi32(row(2), row(3)), d = _mm_unpackhi_epi32(row(2), row(3));
    _mm_store_si128(transposed_at(panel, s, j), _mm_unpacklo_epi64(a, c));
    _mm_store_si128(transposed_at(panel, s + 1, j), _mm_unpackhi_epi64(a, c));
    _mm_store_si128(transposed_at(panel, s + 2, j), _mm_unpacklo_epi64(b, d));
    _mm_store_si128(transposed_at(panel, s + 3, j), _mm_unpackhi_epi64(b, d));
}

ALWAYS_INLINE void pack_two_words(const PanelRows& from, std::size_t j, std::size_t s,
                                  Word* panel) {
    const auto row = [&](std::size_t r) {
        const std::uint8_t* at = from.rows.row(from.first + j + r) + s * sizeof(Word);
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    };
    const __m128i a = _mm_unpacklo_epi32(row(0), row(1));
    const __m128i b = _mm_unpacklo_epi32(row(2), row(3));
    _mm_store_si128(transposed_at(panel, s, j), _mm_unpacklo_epi64(a, b));
    _mm_store_si128(transposed_at(panel, s + 1, j), _mm_unpackhi_epi64(a, b));
}

/// Packs what of a full panel is fours and twos of words; returns how many words that is.
inline std::size_t pack_most_words(const PanelRows& from, Word* panel) {
    const std::size_t whole = from.rows.cols / sizeof(Word);
    for (std::size_t j = 0; j < panel_rows; j += 4) {
        for (std::size_t s = 0; s + 4 <= whole; s += 4) pack_four_words(from, j, s, panel);
        if (whole % 4 >= 2) pack_two_words(from, j, whole / 4 * 4, panel);
    }
    return whole / 2 * 2;
}
#endif

inline void pack_panel(const PanelRows& from, Word* panel) {
    std::size_t s = 0;
#if TROUVAILLE_X86
    if (from.n == panel_rows) s = pack_most_words(from, panel);
#endif
    const std::size_t whole = from.rows.cols / sizeof(Word);
    for (; s < whole; ++s) pack_word(from, s, sizeof(Word), panel);
    if (const std::size_t rest = from.rows.cols % sizeof(Word); rest != 0)
        pack_word(from, s, rest, panel);
}

// A kernel's nearer<Steps>(panel, query, steps, threshold, distances) compares a query of `steps`
// words (Steps of them, unless that is 0) with a panel: bit j says that row j is nearer than
// `threshold`. If there is any, distances[j] is the distance of row j.

struct Scalar {
    /// Bits that are set; compilers vectorise it, as they cannot the instruction of one word.
    static constexpr Word count(Word x) {
        x -= x >> 1 & 0x55555555u;
        x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
        x = (x + (x >> 4)) & 0x0F0F0F0Fu;
        x += x >> 8;
        return (x + (x >> 16)) & 0x3Fu;
    }

    template <std::size_t Steps>
    static Word nearer(const Word* panel, const Word* query, std::size_t steps,
                       std::int32_t threshold, std::int32_t* distances) {
        Word sums[panel_rows] = {};
        for (std::size_t s = 0; s < steps; ++s)
            for (std::size_t j = 0; j < panel_rows; ++j)
                sums[j] += count(panel[s * panel_rows + j] ^ query[s]);
        Word least = sums[0];
        for (std::size_t j = 1; j < panel_rows; ++j) least = std::min(least, sums[j]);
        if (static_cast<std::int32_t>(least) >= threshold) return 0;
        Word passing = 0;
        for (std::size_t j = 0; j < panel_rows; ++j) {
            distances[j] = static_cast<std::int32_t>(sums[j]);
            passing |= static_cast<Word>(distances[j] < threshold) << j;
        }
        return passing;
    }
};

#if TROUVAILLE_X86
struct Avx2 {
    static constexpr std::size_t most_steps = 31;  // of at most 8 bits a byte: 248 fit one

    /// Bytes of `x`: how many of their bits are set.
    TARGET_AVX2 static __m256i count_bytes(__m256i x) {
        const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                                0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        const __m256i nibble = _mm256_set1_epi8(15);
        const __m256i low = _mm256_and_si256(x, nibble);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi32(x, 4), nibble);
        return _mm256_add_epi8(_mm256_shuffle_epi8(counts, low), _mm256_shuffle_epi8(counts, high));
    }

    TARGET_AVX2 static __m256i sum_of_bytes(__m256i bytes) {
        const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
        return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }

    template <std::size_t Steps>
    TARGET_AVX2 static Word nearer(const Word* panel, const Word* query, std::size_t steps,
                                   std::int32_t threshold, std::int32_t* distances) {
        constexpr std::size_t vectors = panel_rows / 8;
        __m256i sums[vectors] = {};
        for (std::size_t begin = 0; begin < steps; begin += most_steps) {
            const std::size_t stop = std::min(steps, begin + most_steps);
            __m256i bytes[vectors] = {};
            for (std::size_t s = begin; s < stop; ++s) {
                const __m256i word = _mm256_set1_epi32(static_cast<int>(query[s]));
#pragma GCC unroll 4
                for (std::size_t v = 0; v < vectors; ++v) {
                    const Word* at = panel + s * panel_rows + 8 * v;
                    const __m256i rows = _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
                    const __m256i counts = count_bytes(_mm256_xor_si256(rows, word));
                    bytes[v] = _mm256_add_epi8(bytes[v], counts);
                }
            }
#pragma GCC unroll 4
            for (std::size_t v = 0; v < vectors; ++v)
                sums[v] = _mm256_add_epi32(sums[v], sum_of_bytes(bytes[v]));
        }
        const __m256i limit = _mm256_set1_epi32(threshold);
        Word passing = 0;
#pragma GCC unroll 4
        for (std::size_t v = 0; v < vectors; ++v) {
            const __m256 passes = _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, sums[v]));
            passing |= static_cast<Word>(_mm256_movemask_ps(passes)) << 8 * v;
        }
        if (passing == 0) return 0;
#pragma GCC unroll 4
        for (std::size_t v = 0; v < vectors; ++v)
            _mm256_store_si256(reinterpret_cast<__m256i*>(distances + 8 * v), sums[v]);
        return passing;
    }
};

struct Avx512 {
    TARGET_AVX512_POPCNT static __m512i differing(const Word* rows, __m512i word) {
        return _mm512_popcnt_epi32(_mm512_xor_si512(_mm512_load_si512(rows), word));
    }

    template <std::size_t Steps>
    TARGET_AVX512_POPCNT static Word nearer(const Word* panel, const Word* query, std::size_t steps,
                                            std::int32_t threshold, std::int32_t* distances) {
        __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
        const std::size_t n = Steps == 0 ? steps : Steps;
#pragma GCC unroll 8
        for (std::size_t s = 0; s < n; ++s) {
            const __m512i word = _mm512_set1_epi32(static_cast<int>(query[s]));
            const Word* rows = panel + s * panel_rows;
            low = _mm512_add_epi32(low, differing(rows, word));
            high = _mm512_add_epi32(high, differing(rows + 16, word));
        }
        const __m512i limit = _mm512_set1_epi32(threshold);
        const __mmask16 low_passes = _mm512_cmplt_epi32_mask(low, limit);
        const __mmask16 high_passes = _mm512_cmplt_epi32_mask(high, limit);
        const Word passing = Word{low_passes} | Word{high_passes} << 16;
        if (passing == 0) return 0;
        _mm512_store_si512(distances, low);
        _mm512_store_si512(distances + 16, high);
        return passing;
    }
};
#endif

}  // namespace trouvaille::hamming
