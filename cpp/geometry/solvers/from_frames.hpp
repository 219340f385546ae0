// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "geometry/hypotheses.hpp"
#include "geometry/least_squares.hpp"
#include "geometry/solvers/fundamental.hpp"

namespace trouvaille {

// Models from local affine frames. Each match says, to first order and with a detector's noise, how
// the neighbourhood of its point is mapped: B, four more numbers than its point.
//
// `slack` is how many thresholds such a model may miss its inliers by: a frame that is 12 degrees
// off misplaces by 20 pixels what is 100 away.
//
// Barath, Polic, Foerstner, Sattler, Pajdla, Kukelova. Making affine correspondences work in camera
// geometry computation. ECCV 2020.

/// From one match: B moved to the points.
struct AffineFromFrame {
    static constexpr float slack = 8;
    static constexpr std::size_t sample_size = 1;
    using Samples = FrameSamples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        const Match<N> m = samples.template match<N>(0, lane);
        const auto b = [&](std::size_t i) {
            return samples.template get<N>(0, PointPairs::b11 + i, lane);
        };
        const Floats<N> a[9] = {b(0), b(1), m.u - (b(0) * m.x + b(1) * m.y),
                                b(2), b(3), m.v - (b(2) * m.x + b(3) * m.y),
                                {},   {},   splat<N>(1)};
        models.push<N>(a, Ints<N>{});
    }
};

/// From one match: the rotation nearest to B, and a scale that keeps its area. Mirrored frames are
/// refused.
struct SimilarityFromFrame {
    static constexpr float slack = 8;
    static constexpr std::size_t sample_size = 1;
    using Samples = FrameSamples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        constexpr float least = 1e-12F;
        const Match<N> m = samples.template match<N>(0, lane);
        const auto b = [&](std::size_t i) {
            return samples.template get<N>(0, PointPairs::b11 + i, lane);
        };
        const Floats<N> re = b(0) + b(3), im = b(2) - b(1);
        const Floats<N> area = b(0) * b(3) - b(1) * b(2);
        const Ints<N> refused = where_negative<N>(bits<N>(area - least));
        const Floats<N> scale =
            sqrt<N>(max<Floats<N>>(area, splat<N>(least)) / (re * re + im * im));
        const Floats<N> c = re * scale, s = im * scale;
        const Floats<N> a[9] = {
            c, -s, m.u - (c * m.x - s * m.y), s, c, m.v - (s * m.x + c * m.y), {}, {}, splat<N>(1)};
        models.push<N>(a, refused);
    }
};

/// From two matches: least squares on twelve linear equations, those of the points counting more,
/// as they are more precise than the frames.
struct HomographyFromFrames {
    static constexpr float slack = 8;
    static constexpr std::size_t sample_size = 2;
    using Samples = FrameSamples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        for (std::size_t l = lane; l < lane + N; ++l) push(samples, l, models);
    }

  private:
    static void push(const Samples& samples, std::size_t lane, Models& models);
};

/// From three matches: the equations of their points, and of two of their frames, are seven.
struct FundamentalFromFrames {
    static constexpr float slack = 8;
    static constexpr std::size_t sample_size = 3;
    using Samples = FrameSamples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        fundamental_detail::Equations<N> equations;
        for (std::size_t i = 0; i < sample_size; ++i) {
            const Match<N> m = samples.template match<N>(i, lane);
            fundamental_detail::epipolar<N>(m, equations[i]);
            if (i == 2) continue;
            // F^T (u, v, 1) + B^T F (x, y, 1) = 0 in the first two numbers: the epipolar lines of
            // points nearby go through where B takes them.
            for (std::size_t j = 0; j < 2; ++j) {
                const Floats<N> b1 = samples.template get<N>(i, PointPairs::b11 + j, lane);
                const Floats<N> b2 = samples.template get<N>(i, PointPairs::b21 + j, lane);
                Floats<N> row[9] = {b1 * m.x, b1 * m.y, b1, b2 * m.x, b2 * m.y, b2, {}, {}, {}};
                row[j] += m.u;
                row[3 + j] += m.v;
                row[6 + j] = splat<N>(1);
                for (std::size_t e = 0; e < 9; ++e) equations[3 + 2 * i + j][e] = row[e];
            }
        }
        fundamental_detail::solve<N>(equations, samples, lane, models);
    }
};

}  // namespace trouvaille
