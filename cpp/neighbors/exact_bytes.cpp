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
#include "neighbors/exact.hpp"
#include "neighbors/exact_search.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

using exact::Block;
using exact::Panels;
using exact::Tile;

// Words are stored less 128, so that they fit a signed byte: the score of query q and row w is
// s = q.(w - 128) - floor(|w|^2 / 2), and their distance
//   |q|^2 - 2 q.w + |w|^2 = c - 2 s + odd,   c = |q|^2 - 256 sum(q),   odd = |w|^2 mod 2.
template <class Kernel>
class ByteJudge {
  public:
    ByteJudge(const std::uint8_t* query, const Panels<Kernel>& panels) {
        for (std::size_t d = 0; d < panels.rows.cols; ++d)
            constant_ += std::int32_t{query[d]} * (std::int32_t{query[d]} - 256);
    }

    std::int32_t constant() const { return constant_; }

    /// A row enters if c - 2 s + odd < worst, thus only if s > floor((c - worst) / 2).
    ALWAYS_INLINE std::int32_t threshold(const exact::Best<std::int32_t>& best) const {
        if (!best.full()) return std::numeric_limits<std::int32_t>::min();
        return static_cast<std::int32_t>((std::int64_t{constant_} - best.worst().score) >> 1);
    }

    ALWAYS_INLINE void offer(const std::int32_t* scores, std::size_t p,
                             const Panels<Kernel>& panels, exact::Best<std::int32_t>& best) const {
        const std::int32_t* norms = &panels.norms[p * Kernel::panel];
        const auto first = panels.first + static_cast<std::uint32_t>(p * Kernel::panel);
        const auto push = [&](std::size_t j) {
            const std::int64_t distance = constant_ - 2 * std::int64_t{scores[j]} + (norms[j] & 1);
            best.push(static_cast<std::int32_t>(distance), first + static_cast<std::uint32_t>(j));
        };
        if (best.capacity() == 1) return push(nearest(scores, norms));
        if (best.capacity() == 2 && best.size() == 0) {  // without a threshold all would pass
            const std::size_t row = nearest(scores, norms);
            std::int32_t others[Kernel::panel];
            std::copy_n(scores, Kernel::panel, others);
            others[row] = std::numeric_limits<std::int32_t>::min();
            push(row);
            return push(nearest(others, norms));
        }
        std::uint32_t rows[Kernel::panel];
        const std::size_t passed =
            exact::passing_rows<Kernel::panel>(scores, threshold(best), Kernel::panel, rows);
        for (std::size_t i = 0; i < passed; ++i) push(rows[i]);
    }

  private:
    /// The first of the nearest rows: with the highest score, and of those an even norm. Two loops
    /// that the compiler vectorises.
    ALWAYS_INLINE static std::size_t nearest(const std::int32_t* scores,
                                             const std::int32_t* norms) {
        constexpr std::int32_t rows = Kernel::panel;
        std::int32_t score = scores[0];
        for (std::int32_t j = 1; j < rows; ++j) score = std::max(score, scores[j]);
        std::int32_t order = 2 * rows;  // odd * rows + j
        for (std::int32_t j = 0; j < rows; ++j)
            order = std::min(order, scores[j] == score ? (norms[j] & 1) * rows + j : 2 * rows);
        return static_cast<std::size_t>(order % rows);
    }

    std::int32_t constant_ = 0;
};

struct ByteKernel {
    using Input = std::uint8_t;
    using Score = std::int32_t;
    using Norm = std::int32_t;
    using Distance = std::int32_t;

    static std::int32_t squared_norm(const std::uint8_t* row, std::size_t dims) {
        std::int32_t norm = 0;
        for (std::size_t d = 0; d < dims; ++d) norm += std::int32_t{row[d]} * row[d];
        return norm;
    }
    static std::int32_t offset(std::int32_t norm) { return -(norm >> 1); }
};

// Products of 16-bit numbers, which any instruction set has: SSE2's and NEON's by the compiler.
struct WideKernel : ByteKernel {
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
struct Scalar : WideKernel {
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
    template <class Reverse>
    static void scan(const Panels<Scalar>& panels, const Block<Scalar>& block, Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

#if TROUVAILLE_X86
// Sums are vectors of int32, not __m256i and __m512i: with those (vectors of int64) GCC 12 keeps
// two copies of every sum, and spills one.
using Ints8 [[gnu::vector_size(32)]] = std::int32_t;
using Ints16 [[gnu::vector_size(64)]] = std::int32_t;

// vpmaddwd, two dimensions a step. (vpmaddubsw would take bytes, but its sums saturate.)
struct Avx2 : WideKernel {
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
    template <class Reverse>
    TARGET_AVX2 static void scan(const Panels<Avx2>& panels, const Block<Avx2>& block,
                                 Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

// VNNI's vpdpbusd, four dimensions a step. Six queries times four registers are 24 sums, enough to
// hide the four cycles that one takes.
struct Avx512 : ByteKernel {
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
        Ints16 products{}, sums{};
        for (std::size_t d = 0; d < whole; d += 64) {
            const __m512i x = _mm512_loadu_si512(row + d);
            const __m512i shifted = _mm512_xor_si512(x, _mm512_set1_epi8(-128));
            products = (Ints16)_mm512_dpbusd_epi32((__m512i)products, x, shifted);
            sums = (Ints16)_mm512_dpbusd_epi32((__m512i)sums, x, _mm512_set1_epi8(1));
        }
        std::int32_t norm = ByteKernel::squared_norm(row + whole, dims - whole);
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
    template <class Reverse>
    TARGET_AVX512 static void scan(const Panels<Avx512>& panels, const Block<Avx512>& block,
                                   Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

template <class Reverse>
constexpr decltype(&exact::search<Scalar, Reverse>) variants[isa_count] = {
    exact::search<Scalar, Reverse>, exact::search<Avx2, Reverse>, exact::search<Avx512, Reverse>};
#else
template <class Reverse>
constexpr decltype(&exact::search<Scalar, Reverse>) variants[isa_count] = {
    exact::search<Scalar, Reverse>, exact::search<Scalar, Reverse>, exact::search<Scalar, Reverse>};
#endif

}  // namespace

void exact_neighbors(MatrixView<const std::uint8_t> queries,
                     MatrixView<const std::uint8_t> database, MatrixView<std::int32_t> distances,
                     MatrixView<std::int64_t> ids, int threads) {
    assert(queries.cols <= max_byte_dims);
    exact::NoReverse reverse;
    pick(variants<exact::NoReverse>)(queries, database, distances, ids, reverse, threads);
}

void exact_neighbors_both_ways(MatrixView<const std::uint8_t> queries,
                               MatrixView<const std::uint8_t> database,
                               MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                               std::span<std::int32_t> reverse_distances,
                               std::span<std::int64_t> reverse_ids, int threads) {
    assert(queries.cols <= max_byte_dims && ids.cols >= 1);
    assert(reverse_distances.size() == database.rows && reverse_ids.size() == database.rows);
    exact::NearestQueries reverse(reverse_distances, reverse_ids);
    pick(variants<exact::NearestQueries>)(queries, database, distances, ids, reverse, threads);
}

}  // namespace trouvaille
