// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/exact.hpp"
#include "neighbors/exact_search.hpp"
#include "neighbors/squared_distance.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

using exact::Block;
using exact::Panels;
using exact::Tile;

ALWAYS_INLINE double squared_norm_of(const float* row, std::size_t dims) {
    double sums[8] = {};
    std::size_t d = 0;
    for (; d + 8 <= dims; d += 8)
        for (std::size_t j = 0; j < 8; ++j) sums[j] += double{row[d + j]} * double{row[d + j]};
    for (; d < dims; ++d) sums[0] += double{row[d]} * double{row[d]};
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Scores only sift: s = q.w - |w|^2 / 2 in float32, a chain of `dims` multiply-adds. What passes
// is decided by its distance, so the threshold must pass every row whose distance is below the
// worst of the best. With u = 2^-24 and g = (2 dims + 32) u, larger than what either the score or
// the distance can accumulate (gamma of dims + 2 fused or 2 dims + 2 plain roundings),
//   |s - exact| <= g (|q| |w| + |w|^2 / 2),     exact distance <= worst (1 + g),
// and so s >= (|q|^2 - worst (1 + g)) / 2 - g (|q| W + W^2 / 2), W the largest norm of the panels.
template <class Kernel>
class FloatJudge {
  public:
    FloatJudge(const float* query, const Panels<Kernel>& panels)
        : query_(query), squared_norm_(squared_norm_of(query, panels.rows.cols)) {
        const double dims = static_cast<double>(panels.rows.cols);
        const double widest = panels.largest_norm, norm = std::sqrt(squared_norm_ * widest);
        relative_ = (2 * dims + 32) * 0x1p-24;
        // Where squares underflow, each rounding adds up to half the smallest float instead.
        absolute_ = relative_ * (norm + widest / 2) + (dims + 1) * 0x1p-148;
        // Where they overflow, scores mean nothing: with a NaN for a threshold, every row passes.
        if (!(squared_norm_ + widest < 0x1p124))
            absolute_ = std::numeric_limits<double>::quiet_NaN();
    }

    ALWAYS_INLINE float threshold(const exact::Best<float>& best) const {
        const double worst =
            best.full() ? double{best.worst().score} : std::numeric_limits<double>::infinity();
        const double score = (squared_norm_ - worst * (1 + relative_)) / 2 - absolute_;
        return static_cast<float>(score - 0x1p-23 * std::abs(score));  // rounded down
    }

    ALWAYS_INLINE void offer(const float* scores, std::size_t p, const Panels<Kernel>& panels,
                             exact::Best<float>& best) const {
        const std::size_t begin = p * Kernel::panel;
        const std::size_t valid = std::min(Kernel::panel, panels.rows.rows - begin);
        const auto distance = [&](std::size_t j) {
            return squared_distance(query_, panels.rows.row(begin + j), panels.rows.cols);
        };
        const auto id = [&](std::size_t j) {
            return panels.first + static_cast<std::uint32_t>(begin + j);
        };
        if (best.capacity() == 1 && !best.full()) {  // the best row first: hardly another passes
            const std::size_t top =
                static_cast<std::size_t>(std::max_element(scores, scores + valid) - scores);
            best.push(distance(top), id(top));
        }
        std::uint32_t rows[Kernel::panel];
        float found[Kernel::panel];
        const std::size_t passed =
            exact::passing_rows<Kernel::panel>(scores, threshold(best), valid, rows);
        for (std::size_t i = 0; i < passed; ++i)  // apart from the pushes, so that they overlap
            found[i] = distance(rows[i]);
        for (std::size_t i = 0; i < passed; ++i) best.push(found[i], id(rows[i]));
    }

  private:
    const float* query_;
    double squared_norm_, relative_ = 0, absolute_ = 0;
};

struct FloatKernel {
    using Input = float;
    using Word = float;
    using Query = float;
    using Score = float;
    using Norm = double;
    using Distance = float;
    static constexpr std::size_t unit = 1;

    static float word(float x) { return x; }
    static float query(float x) { return x; }
    static double squared_norm(const float* row, std::size_t dims) {
        return squared_norm_of(row, dims);
    }
    static float offset(double norm) { return static_cast<float>(-norm / 2); }
};

struct Scalar : FloatKernel {
    static constexpr std::size_t panel = 8, lanes = 8;
    static constexpr std::size_t group = 4, query_lanes = 4;
    using Judge = FloatJudge<Scalar>;

    static std::uint32_t multiply(const Tile<Scalar>& tile, float* scores) {
        float sums[group][panel];
        for (std::size_t r = 0; r < group; ++r) std::copy_n(tile.offsets, panel, sums[r]);
        const float *words = tile.words, *queries = tile.queries;
        for (std::size_t s = 0; s < tile.steps; ++s, words += panel, queries += group)
#pragma GCC unroll 4
            for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 8
                for (std::size_t j = 0; j < panel; ++j) sums[r][j] += queries[r] * words[j];
        std::uint32_t hits = 0;
        for (std::size_t r = 0; r < group; ++r)
            for (std::size_t j = 0; j < panel; ++j) {
                scores[r * panel + j] = sums[r][j];
                hits |= std::uint32_t{!(sums[r][j] <= tile.thresholds[r])} << r;
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
struct Avx2 : FloatKernel {
    static constexpr std::size_t panel = 16, lanes = 16;
    static constexpr std::size_t group = 6, query_lanes = 6;
    using Judge = FloatJudge<Avx2>;

    [[gnu::noinline]] TARGET_AVX2 static std::uint32_t multiply(const Tile<Avx2>& tile,
                                                                float* scores) {
        const float *words = tile.words, *queries = tile.queries;
        __m256 sums[group][2];
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            sums[r][0] = _mm256_load_ps(tile.offsets);
            sums[r][1] = _mm256_load_ps(tile.offsets + 8);
        }
        for (std::size_t s = 0; s < tile.steps; ++s, words += panel, queries += group) {
            const __m256 low = _mm256_load_ps(words), high = _mm256_load_ps(words + 8);
#pragma GCC unroll 6
            for (std::size_t r = 0; r < group; ++r) {
                const __m256 query = _mm256_broadcast_ss(queries + r);
                sums[r][0] = _mm256_fmadd_ps(low, query, sums[r][0]);
                sums[r][1] = _mm256_fmadd_ps(high, query, sums[r][1]);
            }
        }
        std::uint32_t hits = 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            const __m256 threshold = _mm256_broadcast_ss(tile.thresholds + r);
            const __m256 best = _mm256_max_ps(sums[r][0], sums[r][1]);
            const int passes = _mm256_movemask_ps(_mm256_cmp_ps(best, threshold, _CMP_NLE_UQ));
            hits |= std::uint32_t{passes != 0} << r;
        }
        if (hits == 0) return 0;
#pragma GCC unroll 6
        for (std::size_t r = 0; r < group; ++r) {
            _mm256_store_ps(scores + r * panel, sums[r][0]);
            _mm256_store_ps(scores + r * panel + 8, sums[r][1]);
        }
        return hits;
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

// Twelve queries times two registers are 24 sums; a panel of 128 dimensions is 16 KiB.
struct Avx512 : FloatKernel {
    static constexpr std::size_t panel = 32, lanes = 32;
    static constexpr std::size_t group = 12, query_lanes = 12;
    using Judge = FloatJudge<Avx512>;

    [[gnu::noinline]] TARGET_AVX512 static std::uint32_t multiply(const Tile<Avx512>& tile,
                                                                  float* scores) {
        const float *words = tile.words, *queries = tile.queries;
        __m512 sums[group][2];
#pragma GCC unroll 12
        for (std::size_t r = 0; r < group; ++r) {
            sums[r][0] = _mm512_load_ps(tile.offsets);
            sums[r][1] = _mm512_load_ps(tile.offsets + 16);
        }
        for (std::size_t s = 0; s < tile.steps; ++s, words += panel, queries += group) {
            const __m512 low = _mm512_load_ps(words), high = _mm512_load_ps(words + 16);
#pragma GCC unroll 12
            for (std::size_t r = 0; r < group; ++r) {
                const __m512 query = _mm512_set1_ps(queries[r]);
                sums[r][0] = _mm512_fmadd_ps(low, query, sums[r][0]);
                sums[r][1] = _mm512_fmadd_ps(high, query, sums[r][1]);
            }
        }
        __mmask16 passes[group];
        std::uint32_t any = 0;
#pragma GCC unroll 12
        for (std::size_t r = 0; r < group; ++r) {
            // Masked by all ones: GCC 12 warns of the plain maximum, whose ignored operand is
            // uninitialised.
            const __m512 best = _mm512_maskz_max_ps(0xFFFF, sums[r][0], sums[r][1]);
            const __m512 threshold = _mm512_set1_ps(tile.thresholds[r]);
            passes[r] = _mm512_cmp_ps_mask(best, threshold, _CMP_NLE_UQ);
            any |= passes[r];
        }
        if (any == 0) return 0;
        std::uint32_t hits = 0;
#pragma GCC unroll 12
        for (std::size_t r = 0; r < group; ++r) {
            hits |= std::uint32_t{passes[r] != 0} << r;
            _mm512_store_ps(scores + r * panel, sums[r][0]);
            _mm512_store_ps(scores + r * panel + 16, sums[r][1]);
        }
        return hits;
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

using exact::NoReverse;
constexpr decltype(&exact::search<Scalar, NoReverse>) variants[isa_count] = {
    exact::search<Scalar, NoReverse>, exact::search<Avx2, NoReverse>,
    exact::search<Avx512, NoReverse>};
#else
using exact::NoReverse;
constexpr decltype(&exact::search<Scalar, NoReverse>) variants[isa_count] = {
    exact::search<Scalar, NoReverse>, exact::search<Scalar, NoReverse>,
    exact::search<Scalar, NoReverse>};
#endif

}  // namespace

void exact_neighbors(MatrixView<const float> queries, MatrixView<const float> database,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads) {
    NoReverse reverse;
    pick(variants)(queries, database, distances, ids, reverse, threads);
}

}  // namespace trouvaille
