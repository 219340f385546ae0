// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of a robust estimator over matches and over hypotheses, for each instruction set.
// Included by the files that instantiate it.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/cpu.hpp"
#include "core/random_lanes.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "geometry/hypotheses.hpp"
#include "geometry/wald.hpp"

namespace trouvaille {

/// Of gains: a perfect match is worth so many.
inline constexpr float gain_unit = 65536;

/// Four random words for each of sixteen trials.
struct Words {
    alignas(64) std::uint32_t of[4][batch];
};

/// What a hypothesis explains.
struct Support {
    std::int64_t gain = 0;
    std::int32_t inliers = 0;
};

namespace ransac_detail {

template <std::size_t N>
ALWAYS_INLINE Match<N> match_at(const PointPairs& points, std::size_t k) {
    using P = PointPairs;
    return {load<N>(points.floats(P::x) + k), load<N>(points.floats(P::y) + k),
            load<N>(points.floats(P::u) + k), load<N>(points.floats(P::v) + k)};
}

template <std::size_t N>
ALWAYS_INLINE void spread(const float* model, Floats<N> (&m)[9]) {
    for (std::size_t e = 0; e < 9; ++e) m[e] = splat<N>(model[e]);
}

template <std::size_t N>
ALWAYS_INLINE Floats<N> polynomial(const float (&coefficients)[Loss::terms], Floats<N> s) {
    Floats<N> value = splat<N>(coefficients[Loss::terms - 1]);
    for (std::size_t i = Loss::terms - 1; i-- > 0;) value = value * s + coefficients[i];
    return value;
}

// The sign says whether the match is an outlier.
template <std::size_t N>
ALWAYS_INLINE Ints<N> excess(Quotient<N> square, float limit) {
    return bits<N>(square.denominator * limit - square.numerator);
}

// Of N matches, 0 where they are outliers: a polynomial in the residual over the threshold. NaN,
// of 0 / 0, becomes 0.
template <std::size_t N>
ALWAYS_INLINE Floats<N> loss_of(const float (&coefficients)[Loss::terms], Quotient<N> square,
                                Ints<N> outlier, float limit) {
    const Floats<N> s = sqrt<N>(square.numerator / (square.denominator * limit));
    return from_bits<N>(bits<N>(max<Floats<N>>(polynomial<N>(coefficients, s), Floats<N>{})) &
                        ~outlier);
}

template <class Model, std::size_t N>
ALWAYS_INLINE void probe(const Models& models, const PointPairs& points, float limit, std::size_t n,
                         std::int32_t* inliers) {
    for (std::size_t i = 0; i < models.count; i += N) {
        Floats<N> m[9];
        for (std::size_t e = 0; e < 9; ++e) m[e] = load<N>(models.of[e] + i);
        Ints<N> outliers{};
        for (std::size_t k = 0; k < n; ++k) {
            const Match<N> match{splat<N>(points.floats(PointPairs::x)[k]),
                                 splat<N>(points.floats(PointPairs::y)[k]),
                                 splat<N>(points.floats(PointPairs::u)[k]),
                                 splat<N>(points.floats(PointPairs::v)[k])};
            outliers += where_negative<N>(excess<N>(Model::template square<N>(m, match), limit));
        }
        store(inliers + i, outliers + static_cast<std::int32_t>(n));
    }
}

template <class Model, std::size_t N>
ALWAYS_INLINE bool support(const float* model, const PointPairs& points, const Loss& loss,
                           float limit, Rejection rejected, Support& sum) {
    Floats<N> m[9];
    spread<N>(model, m);
    sum = {};
    for (std::size_t block = 0; block < points.blocks(); ++block) {
        Ints<N> gains{}, outliers{};
        for (std::size_t k = 0; k < PointPairs::block; k += N) {
            const auto match = match_at<N>(points, block * PointPairs::block + k);
            const Quotient<N> square = Model::template square<N>(m, match);
            const Ints<N> outlier = where_negative<N>(excess<N>(square, limit));
            outliers += outlier;
            gains += to_ints<N>(loss_of<N>(loss.gain, square, outlier, limit) * gain_unit);
        }
        std::int32_t gain = 0, inliers = PointPairs::block;
        for (std::size_t l = 0; l < N; ++l) {
            gain += gains[l];
            inliers += outliers[l];
        }
        sum.gain += gain;
        sum.inliers += inliers;
        const std::size_t seen = std::min((block + 1) * PointPairs::block, points.size());
        if (rejected(sum.inliers, seen)) return false;
    }
    return true;
}

template <class Model, std::size_t N>
ALWAYS_INLINE void weigh(const float* model, const PointPairs& points, const Loss& loss,
                         float limit, float* weights) {
    Floats<N> m[9];
    spread<N>(model, m);
    for (std::size_t k = 0; k < points.blocks() * PointPairs::block; k += N) {
        const Quotient<N> square = Model::template square<N>(m, match_at<N>(points, k));
        const Ints<N> outlier = where_negative<N>(excess<N>(square, limit));
        store(weights + k, loss_of<N>(loss.weight, square, outlier, limit));
    }
}

template <class Solver, std::size_t N>
ALWAYS_INLINE void solve(const typename Solver::Samples& samples, Models& models) {
    models.count = 0;
    for (std::size_t lane = 0; lane < batch; lane += N)
        Solver::template solve<N>(samples, lane, models);
}

template <std::size_t N>
ALWAYS_INLINE void draw(std::uint64_t seed, std::uint64_t trial, Words& words) {
    for (std::size_t lane = 0; lane < batch; lane += N)
        first_words<N>(seed, trial + lane, words.of[0] + lane, batch);
}

}  // namespace ransac_detail

template <class Model, class Solver>
struct RansacKernels {
    /// The first random words of sixteen trials.
    void (*draw)(std::uint64_t seed, std::uint64_t trial, Words& words);

    /// The models of sixteen samples.
    void (*solve)(const typename Solver::Samples& samples, Models& models);

    /// How many of the first n matches each model explains.
    void (*probe)(const Models& models, const PointPairs& points, float limit, std::size_t n,
                  std::int32_t* inliers);

    /// What a model explains, within a squared residual of `limit`; false if it was given up.
    bool (*support)(const float* model, const PointPairs& points, const Loss& loss, float limit,
                    Rejection rejected, Support& sum);

    /// The weight of each match.
    void (*weigh)(const float* model, const PointPairs& points, const Loss& loss, float limit,
                  float* weights);
};

#define TROUVAILLE_RANSAC(name, TARGETED, lanes)                                                 \
    template <class Solver>                                                                      \
    TARGETED void solve_##name(const typename Solver::Samples& samples, Models& models) {        \
        ransac_detail::solve<Solver, lanes>(samples, models);                                    \
    }                                                                                            \
    template <class Model>                                                                       \
    TARGETED void probe_##name(const Models& models, const PointPairs& points, float limit,      \
                               std::size_t n, std::int32_t* inliers) {                           \
        ransac_detail::probe<Model, lanes>(models, points, limit, n, inliers);                   \
    }                                                                                            \
    template <class Model>                                                                       \
    TARGETED bool support_##name(const float* model, const PointPairs& points, const Loss& loss, \
                                 float limit, Rejection rejected, Support& sum) {                \
        return ransac_detail::support<Model, lanes>(model, points, loss, limit, rejected, sum);  \
    }                                                                                            \
    template <class Model>                                                                       \
    TARGETED void weigh_##name(const float* model, const PointPairs& points, const Loss& loss,   \
                               float limit, float* weights) {                                    \
        ransac_detail::weigh<Model, lanes>(model, points, loss, limit, weights);                 \
    }                                                                                            \
    TARGETED inline void draw_##name(std::uint64_t seed, std::uint64_t trial, Words& words) {    \
        ransac_detail::draw<lanes>(seed, trial, words);                                          \
    }                                                                                            \
    template <class Model, class Solver>                                                         \
    inline constexpr RansacKernels<Model, Solver> ransac_##name{                                 \
        draw_##name, solve_##name<Solver>, probe_##name<Model>, support_##name<Model>,           \
        weigh_##name<Model>};

TROUVAILLE_RANSAC(scalar, , 4)
#if TROUVAILLE_X86
TROUVAILLE_RANSAC(avx2, TARGET_AVX2, 8)
TROUVAILLE_RANSAC(avx512, TARGET_AVX512, 16)
#endif
#undef TROUVAILLE_RANSAC

/// Those of the active instruction set.
template <class Model, class Solver>
const RansacKernels<Model, Solver>& ransac_kernels() {
#if TROUVAILLE_X86
    static constexpr const RansacKernels<Model, Solver>* variants[isa_count] = {
        &ransac_scalar<Model, Solver>, &ransac_avx2<Model, Solver>, &ransac_avx512<Model, Solver>};
#else
    static constexpr const RansacKernels<Model, Solver>* variants[isa_count] = {
        &ransac_scalar<Model, Solver>, &ransac_scalar<Model, Solver>,
        &ransac_scalar<Model, Solver>};
#endif
    return *pick(variants);
}

}  // namespace trouvaille
