// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/exact_compare.hpp"
#include "neighbors/exact_search.hpp"
#include "neighbors/float_judge.hpp"
#include "neighbors/float_pack.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

using exact::Best;
using exact::Block;
using exact::Panels;
using exact::Tile;
using exact::Within;

template <Metric of, class Point>
struct FloatKernel {
    using Input = Point;
    using QueryInput = float;
    using Word = float;
    using Query = float;
    using Score = float;
    using Norm = double;
    using Key = float;
    static constexpr Metric metric = of;
    static constexpr std::size_t unit = 1;

    ALWAYS_INLINE static float word(Point x) { return widened(x); }
    ALWAYS_INLINE static float query(float x) { return x; }
    ALWAYS_INLINE static double squared_norm(const Point* row, std::size_t dims) {
        return exact::squared_norm_of(row, dims);
    }
    static float offset(double norm) {
        return metric == Metric::l2 ? static_cast<float>(-norm / 2) : 0;
    }
};

template <Metric of, class Point>
struct Scalar : FloatKernel<of, Point> {
    using Vectors = ScalarFloats;
    static constexpr std::size_t panel = 8, lanes = 8;
    static constexpr std::size_t group = 4, query_lanes = 4;
    using Judge = exact::FloatJudge<Scalar>;

    static std::uint32_t multiply(const Tile<Scalar>& tile, float* scores) {
        float sums[group][panel];
        for (std::size_t r = 0; r < group; ++r) std::copy_n(tile.offsets, panel, sums[r]);
        const float *words = tile.words, *queries = tile.queries;
        for (std::size_t s = 0; s < tile.steps; ++s, words += panel, queries += group)
#pragma GCC unroll 4
            for (std::size_t r = 0; r < group; ++r)
#pragma GCC unroll 8
                for (std::size_t j = 0; j < panel; ++j)
                    sums[r][j] +=
                        of == Metric::l1 ? -std::abs(queries[r] - words[j]) : queries[r] * words[j];
        std::uint32_t hits = 0;
        for (std::size_t r = 0; r < group; ++r)
            for (std::size_t j = 0; j < panel; ++j) {
                scores[r * panel + j] = sums[r][j];
                hits |= std::uint32_t{!(sums[r][j] <= tile.thresholds[r])} << r;
            }
        return hits;
    }
    static void pack(Panels<Scalar>& panels, std::size_t p) { exact::pack_floats(panels, p); }
    template <class Found, class Reverse>
    static void scan(const Panels<Scalar>& panels, const Block<Scalar, Found>& block,
                     Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

#if TROUVAILLE_X86
template <Metric of, class Point>
struct Avx2 : FloatKernel<of, Point> {
    using Vectors = Avx2Floats;
    static constexpr std::size_t panel = 16, lanes = 16;
    static constexpr std::size_t group = 6, query_lanes = 6;
    using Judge = exact::FloatJudge<Avx2>;

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
                sums[r][0] = plus(sums[r][0], low, query);
                sums[r][1] = plus(sums[r][1], high, query);
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
    TARGET_AVX2 static __m256 plus(__m256 sum, __m256 row, __m256 query) {
        if constexpr (of != Metric::l1) return _mm256_fmadd_ps(row, query, sum);
        return sum - abs<8>(row - query);
    }
    [[gnu::flatten]] TARGET_AVX2 static void pack(Panels<Avx2>& panels, std::size_t p) {
        exact::pack_floats(panels, p);
    }
    template <class Found, class Reverse>
    TARGET_AVX2 static void scan(const Panels<Avx2>& panels, const Block<Avx2, Found>& block,
                                 Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

// Twelve queries times two registers are 24 sums; a panel of 128 dimensions is 16 KiB.
template <Metric of, class Point>
struct Avx512 : FloatKernel<of, Point> {
    using Vectors = Avx512Floats;
    static constexpr std::size_t panel = 32, lanes = 32;
    static constexpr std::size_t group = 12, query_lanes = 12;
    using Judge = exact::FloatJudge<Avx512>;

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
                sums[r][0] = plus(sums[r][0], low, query);
                sums[r][1] = plus(sums[r][1], high, query);
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
    TARGET_AVX512 static __m512 plus(__m512 sum, __m512 row, __m512 query) {
        if constexpr (of != Metric::l1) return _mm512_fmadd_ps(row, query, sum);
        return sum - abs<16>(row - query);
    }
    [[gnu::flatten]] TARGET_AVX512 static void pack(Panels<Avx512>& panels, std::size_t p) {
        exact::pack_floats(panels, p);
    }
    template <class Found, class Reverse>
    TARGET_AVX512 static void scan(const Panels<Avx512>& panels, const Block<Avx512, Found>& block,
                                   Reverse& reverse) {
        exact::scan_block(panels, block, reverse);
    }
};

#else
template <Metric of, class Point>
using Avx2 = Scalar<of, Point>;
template <Metric of, class Point>
using Avx512 = Scalar<of, Point>;
#endif

using exact::NoReverse;
template <Metric metric, class Point, class Found>
constexpr decltype(&exact::scan_panels<Scalar<metric, Point>, Found, NoReverse>)
    variants[isa_count] = {exact::scan_panels<Scalar<metric, Point>, Found, NoReverse>,
                           exact::scan_panels<Avx2<metric, Point>, Found, NoReverse>,
                           exact::scan_panels<Avx512<metric, Point>, Found, NoReverse>};

}  // namespace

namespace exact {

template <Metric metric, class Found>
void compare_panels(MatrixView<const float> queries, MatrixView<const float> points, Found* found,
                    int threads) {
    NoReverse reverse;
    pick(variants<metric, float, Found>)(queries, points, found, reverse, 0, threads);
}

template <Metric metric, class Found>
void compare_panels(MatrixView<const float> queries, MatrixView<const Half> points, Found* found,
                    int threads) {
    NoReverse reverse;
    pick(variants<metric, Half, Found>)(queries, points, found, reverse, 0, threads);
}

#define INSTANTIATE(metric, Found)                                                                \
    template void compare_panels<metric, Found>(MatrixView<const float>, MatrixView<const float>, \
                                                Found*, int);                                     \
    template void compare_panels<metric, Found>(MatrixView<const float>, MatrixView<const Half>,  \
                                                Found*, int);
INSTANTIATE(Metric::l2, Best<float>)
INSTANTIATE(Metric::l2, Within<float>)
INSTANTIATE(Metric::inner_product, Best<float>)
INSTANTIATE(Metric::inner_product, Within<float>)
INSTANTIATE(Metric::l1, Best<float>)
INSTANTIATE(Metric::l1, Within<float>)
#undef INSTANTIATE

}  // namespace exact
}  // namespace trouvaille
