// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "geometry/hypotheses.hpp"
#include "geometry/solvers/common.hpp"

namespace trouvaille {

/// (u, v) = A (x, y) + b, and the distance in the second photo.
struct AffineModel {
    static constexpr bool alike = false;
    static constexpr std::size_t residual_dimensions = 2;
    static constexpr std::size_t freedom = 6;  // numbers that it has

    template <std::size_t N>
    ALWAYS_INLINE static Quotient<N> square(const Floats<N> (&a)[9], const Match<N>& m) {
        const Floats<N> du = a[0] * m.x + a[1] * m.y + (a[2] - m.u);
        const Floats<N> dv = a[3] * m.x + a[4] * m.y + (a[5] - m.v);
        return {du * du + dv * dv, splat<N>(1)};
    }

    static double square(const Matrix3& a, Point p, Point q) {
        const double du = a.of[0] * p.x + a.of[1] * p.y + a.of[2] - q.x;
        const double dv = a.of[3] * p.x + a.of[4] * p.y + a.of[5] - q.y;
        return du * du + dv * dv;
    }

    /// Weighted least squares.
    static bool fit(std::span<const WeightedPair> pairs, Matrix3& a) {
        const auto fitted = fit_affine(Moments::of(pairs));
        if (fitted) a = homography_from(fitted->transform);
        return fitted.has_value();
    }
};

/// Through three points that are on no line in either photo.
struct AffineThroughPoints {
    static constexpr std::size_t sample_size = 3;
    using Samples = trouvaille::Samples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        const auto get = [&](std::size_t i, std::size_t c) {
            return samples.template get<N>(i, c, lane);
        };
        using P = PointPairs;
        const Floats<N> x = get(0, P::x), y = get(0, P::y), u = get(0, P::u), v = get(0, P::v);
        const Floats<N> x1 = get(1, P::x) - x, y1 = get(1, P::y) - y;
        const Floats<N> x2 = get(2, P::x) - x, y2 = get(2, P::y) - y;
        const Floats<N> u1 = get(1, P::u) - u, v1 = get(1, P::v) - v;
        const Floats<N> u2 = get(2, P::u) - u, v2 = get(2, P::v) - v;
        const Floats<N> area = x1 * y2 - y1 * x2, image = u1 * v2 - v1 * u2;
        const Ints<N> refused = where_negative<N>(bits<N>(abs<N>(area) - least_area)) |
                                where_negative<N>(bits<N>(abs<N>(image) - least_area));
        Floats<N> a[9] = {};
        a[0] = (u1 * y2 - u2 * y1) / area;
        a[1] = (u2 * x1 - u1 * x2) / area;
        a[3] = (v1 * y2 - v2 * y1) / area;
        a[4] = (v2 * x1 - v1 * x2) / area;
        a[2] = u - a[0] * x - a[1] * y;
        a[5] = v - a[3] * x - a[4] * y;
        a[8] = splat<N>(1);
        models.push<N>(a, refused);
    }
};

}  // namespace trouvaille
