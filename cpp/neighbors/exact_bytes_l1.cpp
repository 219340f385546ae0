// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/byte_judge.hpp"
#include "neighbors/exact_compare.hpp"
#include "neighbors/exact_search.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

using exact::Best;
using exact::Block;
using exact::ByteJudge;
using exact::Panels;
using exact::Tile;
using exact::Within;

// The score of a row is -sum |q - w|, or its offset if that is lower: 0, or, for what lies beyond
// the last row, the lowest of all.
struct L1Kernel {
    using Input = std::uint8_t;
    using QueryInput = std::uint8_t;
    using Word = std::uint8_t;
    using Query = std::uint8_t;
    using Score = std::int32_t;
    using Norm = std::int32_t;
    using Key = std::int32_t;
    static constexpr Metric metric = Metric::l1;
    static constexpr std::size_t unit = 8;  // what vpsadbw sums

    static std::uint8_t word(std::uint8_t x) { return x; }
    static std::uint8_t query(std::uint8_t x) { return x; }
    static std::int32_t squared_norm(const std::uint8_t*, std::size_t) { return 0; }
    static std::int32_t offset(std::int32_t) { return 0; }
};

struct Scalar : L1Kernel {
    static constexpr std::size_t panel = 16, lanes = 1;
    static constexpr std::size_t group = 4, query_lanes = 1, vector = 4;
    using Judge = ByteJudge<Scalar>;

    static std::uint32_t multiply(const Tile<Scalar>& tile, std::int32_t* scores) {
        const std::size_t dims = tile.steps * unit;
        std::uint32_t hits = 0;
        for (std::size_t j = 0; j < panel; ++j)
            for (std::size_t r = 0; r < group; ++r) {
                const std::uint8_t *word = tile.words + j * dims, *query = tile.queries + r * dims;
                std::int32_t sum = 0;
                for (std::size_t d = 0; d < dims; ++d) {
                    const int difference = int{query[d]} - int{word[d]};
                    sum += difference < 0 ? -difference : difference;
                }
                const std::int32_t score = std::min(tile.offsets[j], -sum);
                scores[r * panel + j] = score;
                hits |= std::uint32_t{score > tile.thresholds[r]} << r;
            }
        return hits;
    }
    static void pack(Panels<Scalar>& panels, std::size_t p) { exact::pack_panel(panels, p); }
    template <class Found, class Reverse>
    static void scan(const Panels<Scalar>& panels, const Block<Scalar, Found>& block,
                     Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

#if TROUVAILLE_X86
// The eight bytes of one unit.
ALWAYS_INLINE long long bits(const std::uint8_t* unit) {
    long long value;
    std::memcpy(&value, unit, sizeof value);
    return value;
}

using Longs4 [[gnu::vector_size(32)]] = std::int64_t;
using Longs8 [[gnu::vector_size(64)]] = std::int64_t;

// Six queries times two registers of four rows.
struct Avx2 : L1Kernel {
    static constexpr std::size_t panel = 8, lanes = 8;
    static constexpr std::size_t group = 6, query_lanes = 6, vector = 8;
    using Judge = ByteJudge<Avx2>;

    [[gnu::noinline]] TARGET_AVX2 static std::uint32_t multiply(const Tile<Avx2>& tile,
                                                                std::int32_t* scores) {
        const auto* words = reinterpret_cast<const __m256i*>(tile.words);
        const std::uint8_t* queries = tile.queries;
        Longs4 sums[group][2] = {};
        for (std::size_t s = 0; s < tile.steps; ++s, words += 2, queries += group * unit) {
#pragma GCC unroll 6
            for (std::size_t r = 0; r < group; ++r) {
                const __m256i query = _mm256_set1_epi64x(bits(queries + r * unit));
#pragma GCC unroll 2
                for (std::size_t v = 0; v < 2; ++v)
                    sums[r][v] += (Longs4)_mm256_sad_epu8(words[v], query);
            }
        }
        std::uint32_t hits = 0;
        for (std::size_t r = 0; r < group; ++r) {
            bool passes = false;
            for (std::size_t j = 0; j < panel; ++j) {
                const auto sum = static_cast<std::int32_t>(sums[r][j / 4][j % 4]);
                scores[r * panel + j] = std::min(tile.offsets[j], -sum);
                passes |= scores[r * panel + j] > tile.thresholds[r];
            }
            hits |= std::uint32_t{passes} << r;
        }
        return hits;
    }
    TARGET_AVX2 static void pack(Panels<Avx2>& panels, std::size_t p) {
        exact::pack_panel(panels, p);
    }
    template <class Found, class Reverse>
    TARGET_AVX2 static void scan(const Panels<Avx2>& panels, const Block<Avx2, Found>& block,
                                 Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

// Six queries times four registers of eight rows.
struct Avx512 : L1Kernel {
    static constexpr std::size_t panel = 32, lanes = 32;
    static constexpr std::size_t group = 6, query_lanes = 6, vector = 16;
    using Judge = ByteJudge<Avx512>;

    [[gnu::noinline]] TARGET_AVX512 static std::uint32_t multiply(const Tile<Avx512>& tile,
                                                                  std::int32_t* scores) {
        const auto* words = reinterpret_cast<const __m512i*>(tile.words);
        const std::uint8_t* queries = tile.queries;
        Longs8 sums[group][4] = {};
        for (std::size_t s = 0; s < tile.steps; ++s, words += 4, queries += group * unit) {
            const __m512i rows[4] = {words[0], words[1], words[2], words[3]};
#pragma GCC unroll 6
            for (std::size_t r = 0; r < group; ++r) {
                const __m512i query = _mm512_set1_epi64(bits(queries + r * unit));
#pragma GCC unroll 4
                for (std::size_t v = 0; v < 4; ++v)
                    sums[r][v] += (Longs8)_mm512_sad_epu8(rows[v], query);
            }
        }
        std::uint32_t hits = 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            const __m512i threshold = _mm512_set1_epi32(tile.thresholds[r]);
            __mmask16 passes = 0;
#pragma GCC unroll 2
            for (std::size_t v = 0; v < 2; ++v) {
                const __m512i negative = sixteen(-sums[r][2 * v], -sums[r][2 * v + 1]);
                const __m512i score = _mm512_maskz_min_epi32(
                    0xFFFF, negative, _mm512_load_si512(tile.offsets + 16 * v));
                passes |= _mm512_cmpgt_epi32_mask(score, threshold);
                _mm512_store_si512(scores + r * panel + 16 * v, score);
            }
            hits |= std::uint32_t{passes != 0} << r;
        }
        return hits;
    }
    // Masked by all ones: GCC 12 warns of the plain ones, whose ignored operand is uninitialised.
    TARGET_AVX512 static __m512i sixteen(Longs8 low, Longs8 high) {
        const __m256i first = _mm512_maskz_cvtepi64_epi32(0xFF, (__m512i)low);
        const __m256i second = _mm512_maskz_cvtepi64_epi32(0xFF, (__m512i)high);
        return _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(first), second, 1);
    }
    TARGET_AVX512 static void pack(Panels<Avx512>& panels, std::size_t p) {
        exact::pack_panel(panels, p);
    }
    template <class Found, class Reverse>
    TARGET_AVX512 static void scan(const Panels<Avx512>& panels, const Block<Avx512, Found>& block,
                                   Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};
#else
using Avx2 = Scalar;
using Avx512 = Scalar;
#endif

using exact::NoReverse;
template <class Found>
constexpr decltype(&exact::scan_panels<Scalar, Found, NoReverse>) variants[isa_count] = {
    exact::scan_panels<Scalar, Found, NoReverse>, exact::scan_panels<Avx2, Found, NoReverse>,
    exact::scan_panels<Avx512, Found, NoReverse>};

}  // namespace

namespace exact {

template <>
void compare_panels<Metric::l1, Best<std::int32_t>>(MatrixView<const std::uint8_t> queries,
                                                    MatrixView<const std::uint8_t> points,
                                                    Best<std::int32_t>* found, int threads) {
    NoReverse reverse;
    pick(variants<Best<std::int32_t>>)(queries, points, found, reverse, 0, threads);
}

template <>
void compare_panels<Metric::l1, Within<std::int32_t>>(MatrixView<const std::uint8_t> queries,
                                                      MatrixView<const std::uint8_t> points,
                                                      Within<std::int32_t>* found, int threads) {
    NoReverse reverse;
    pick(variants<Within<std::int32_t>>)(queries, points, found, reverse, 0, threads);
}

}  // namespace exact
}  // namespace trouvaille
