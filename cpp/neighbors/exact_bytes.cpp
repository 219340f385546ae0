// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

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

template <Metric of>
struct ByteKernel {
    using Input = std::uint8_t;
    using QueryInput = std::uint8_t;
    using Score = std::int32_t;
    using Norm = std::int32_t;
    using Key = std::int32_t;
    static constexpr Metric metric = of;

    static std::int32_t squared_norm(const std::uint8_t* row, std::size_t dims) {
        std::int32_t norm = 0;
        if (metric != Metric::l2) return 0;
        for (std::size_t d = 0; d < dims; ++d) norm += std::int32_t{row[d]} * row[d];
        return norm;
    }
    static std::int32_t offset(std::int32_t norm) { return -(norm >> 1); }
};

// Products of 16-bit numbers, which any instruction set has: SSE2's and NEON's by the compiler.
template <Metric of>
struct WideKernel : ByteKernel<of> {
    using Word = std::int16_t;
    using Query = std::int16_t;

    static std::int16_t word(std::uint8_t x) { return static_cast<std::int16_t>(x - 128); }
    static std::int16_t query(std::uint8_t x) { return x; }
};

// The four bytes of one unit.
template <class T>
ALWAYS_INLINE std::int32_t bits(const T* unit) {
    std::int32_t value;
    std::memcpy(&value, unit, sizeof value);
    return value;
}

// Rows lie one after the other: sums of products along a row are what a compiler vectorises.
template <Metric of>
struct Scalar : WideKernel<of> {
    static constexpr std::size_t unit = 8, panel = 16, lanes = 1;
    static constexpr std::size_t group = 4, query_lanes = 1, vector = 4;
    using Judge = ByteJudge<Scalar>;

    static std::uint32_t multiply(const Tile<Scalar>& tile, std::int32_t* scores) {
        const std::size_t dims = tile.steps * unit;
        const std::int16_t *words = tile.words, *queries = tile.queries;
        std::uint32_t hits = 0;
        for (std::size_t j = 0; j < panel; ++j, words += dims) {
            std::int32_t sums[group] = {};
            for (std::size_t d = 0; d < dims; ++d)
                for (std::size_t r = 0; r < group; ++r)
                    sums[r] += std::int32_t{queries[r * dims + d]} * words[d];
            for (std::size_t r = 0; r < group; ++r) {
                const std::int32_t score = tile.offsets[j] + sums[r];
                scores[r * panel + j] = score;
                hits |= std::uint32_t{score > tile.thresholds[r]} << r;
            }
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
// Sums are vectors of int32, not __m256i and __m512i: with those (vectors of int64) GCC 12 keeps
// two copies of every sum, and spills one.
using Ints8 [[gnu::vector_size(32)]] = std::int32_t;
using Ints16 [[gnu::vector_size(64)]] = std::int32_t;

// vpmaddwd, two dimensions a step. (vpmaddubsw would take bytes, but its sums saturate.)
template <Metric of>
struct Avx2 : WideKernel<of> {
    static constexpr std::size_t unit = 2, panel = 16, lanes = 16;
    static constexpr std::size_t group = 6, query_lanes = 6, vector = 8;
    using Judge = ByteJudge<Avx2>;

    [[gnu::noinline]] TARGET_AVX2 static std::uint32_t multiply(const Tile<Avx2>& tile,
                                                                std::int32_t* scores) {
        const auto* words = reinterpret_cast<const __m256i*>(tile.words);
        const std::int16_t* queries = tile.queries;
        Ints8 sums[group][2];
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 2
            for (std::size_t v = 0; v < 2; ++v) sums[r][v] = load(tile.offsets + 8 * v);
        for (std::size_t s = 0; s < tile.steps; ++s, words += 2, queries += group * unit) {
#pragma GCC unroll 6
            for (std::size_t r = 0; r < group; ++r) {
                const __m256i query = _mm256_set1_epi32(bits(queries + r * unit));
#pragma GCC unroll 2
                for (std::size_t v = 0; v < 2; ++v)
                    sums[r][v] += (Ints8)_mm256_madd_epi16(words[v], query);
            }
        }
        std::uint32_t hits = 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            const Ints8 best = sums[r][0] > sums[r][1] ? sums[r][0] : sums[r][1];
            const auto passes = (__m256i)(best > tile.thresholds[r]);
            hits |= std::uint32_t{!_mm256_testz_si256(passes, passes)} << r;
        }
        if (hits == 0 && !tile.wants_scores) return 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 2
            for (std::size_t v = 0; v < 2; ++v)
                std::memcpy(scores + r * panel + 8 * v, &sums[r][v], sizeof(Ints8));
        return hits;
    }
    TARGET_AVX2 static Ints8 load(const std::int32_t* p) {
        return (Ints8)_mm256_load_si256(reinterpret_cast<const __m256i*>(p));
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

// VNNI's vpdpbusd, four dimensions a step. Six queries times four registers are 24 sums, enough to
// hide the four cycles that one takes.
template <Metric of>
struct Avx512 : ByteKernel<of> {
    using Word = std::uint8_t;  // the bits of a signed byte
    using Query = std::uint8_t;
    static constexpr std::size_t unit = 4, panel = 64, lanes = 64;
    static constexpr std::size_t group = 6, query_lanes = 6, vector = 16;
    using Judge = ByteJudge<Avx512>;

    static std::uint8_t word(std::uint8_t x) { return x ^ 0x80; }
    static std::uint8_t query(std::uint8_t x) { return x; }

    // x^2 = x (x - 128) + 128 x. The compiler would widen every byte to 32 bits.
    TARGET_AVX512 static std::int32_t squared_norm(const std::uint8_t* row, std::size_t dims) {
        const std::size_t whole = dims / 64 * 64;
        if (of != Metric::l2) return 0;
        Ints16 products{}, sums{};
        for (std::size_t d = 0; d < whole; d += 64) {
            const __m512i x = _mm512_loadu_si512(row + d);
            const __m512i shifted = _mm512_xor_si512(x, _mm512_set1_epi8(-128));
            products = (Ints16)_mm512_dpbusd_epi32((__m512i)products, x, shifted);
            sums = (Ints16)_mm512_dpbusd_epi32((__m512i)sums, x, _mm512_set1_epi8(1));
        }
        std::int32_t norm = ByteKernel<of>::squared_norm(row + whole, dims - whole);
        products += 128 * sums;
        for (std::size_t j = 0; j < 16; ++j) norm += products[j];
        return norm;
    }

    [[gnu::noinline]] TARGET_AVX512 static std::uint32_t multiply(const Tile<Avx512>& tile,
                                                                  std::int32_t* scores) {
        const auto* words = reinterpret_cast<const __m512i*>(tile.words);
        const std::uint8_t* queries = tile.queries;
        Ints16 sums[group][4];
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v)
                sums[r][v] = (Ints16)_mm512_load_si512(tile.offsets + 16 * v);
        for (std::size_t s = 0; s < tile.steps; ++s, words += 4, queries += group * unit) {
            const __m512i rows[4] = {words[0], words[1], words[2], words[3]};
#pragma GCC unroll 6
            for (std::size_t r = 0; r < group; ++r) {
                const __m512i query = _mm512_set1_epi32(bits(queries + r * unit));
#pragma GCC unroll 4
                for (std::size_t v = 0; v < 4; ++v)
                    sums[r][v] = (Ints16)_mm512_dpbusd_epi32((__m512i)sums[r][v], query, rows[v]);
            }
        }
        std::uint32_t hits = 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            const __m512i best = larger(larger((__m512i)sums[r][0], (__m512i)sums[r][1]),
                                        larger((__m512i)sums[r][2], (__m512i)sums[r][3]));
            const __mmask16 passes =
                _mm512_cmpgt_epi32_mask(best, _mm512_set1_epi32(tile.thresholds[r]));
            hits |= std::uint32_t{passes != 0} << r;
        }
        if (hits == 0 && !tile.wants_scores) return 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < 4; ++v)
                _mm512_store_si512(scores + r * panel + 16 * v, (__m512i)sums[r][v]);
        return hits;
    }
    // Masked by all ones: GCC 12 warns of the plain one, whose ignored operand is uninitialised.
    TARGET_AVX512 static __m512i larger(__m512i a, __m512i b) {
        return _mm512_maskz_max_epi32(0xFFFF, a, b);
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
template <Metric of>
using Avx2 = Scalar<of>;
template <Metric of>
using Avx512 = Scalar<of>;
#endif

template <Metric metric, class Found, class Reverse>
constexpr decltype(&exact::scan_panels<Scalar<metric>, Found, Reverse>) variants[isa_count] = {
    exact::scan_panels<Scalar<metric>, Found, Reverse>,
    exact::scan_panels<Avx2<metric>, Found, Reverse>,
    exact::scan_panels<Avx512<metric>, Found, Reverse>};

}  // namespace

namespace exact {

template <Metric metric, class Found>
void compare_panels(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                    Found* found, int threads) {
    NoReverse reverse;
    pick(variants<metric, Found, NoReverse>)(queries, points, found, reverse, 0, threads);
}

void compare_panels_both_ways(MatrixView<const std::uint8_t> queries,
                              MatrixView<const std::uint8_t> points, Best<std::int32_t>* found,
                              NearestQueries& reverse, std::size_t first_query, int threads) {
    pick(variants<Metric::l2, Best<std::int32_t>, NearestQueries>)(queries, points, found, reverse,
                                                                   first_query, threads);
}

#define INSTANTIATE(metric, Found)                                              \
    template void compare_panels<metric, Found>(MatrixView<const std::uint8_t>, \
                                                MatrixView<const std::uint8_t>, Found*, int);
INSTANTIATE(Metric::l2, Best<std::int32_t>)
INSTANTIATE(Metric::l2, Within<std::int32_t>)
INSTANTIATE(Metric::inner_product, Best<std::int32_t>)
INSTANTIATE(Metric::inner_product, Within<std::int32_t>)
#undef INSTANTIATE

}  // namespace exact
}  // namespace trouvaille
