// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "geometry/solvers/affine.hpp"

namespace trouvaille {

/// A rotation, a scale and a translation.
struct SimilarityModel : AffineModel {
    static constexpr std::size_t freedom = 4;

    static bool fit(std::span<const WeightedPair> pairs, Matrix3& a) {
        const auto fitted = fit_similarity(Moments::of(pairs));
        if (fitted) a = homography_from(fitted->transform);
        return fitted.has_value();
    }
};

/// Through two points that differ in both photos: a division of complex numbers.
struct SimilarityThroughPoints {
    static constexpr std::size_t sample_size = 2;
    using Samples = trouvaille::Samples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        const auto get = [&](std::size_t i, std::size_t c) {
            return samples.template get<N>(i, c, lane);
        };
        using P = PointPairs;
        const Floats<N> x = get(0, P::x), y = get(0, P::y), u = get(0, P::u), v = get(0, P::v);
        const Floats<N> px = get(1, P::x) - x, py = get(1, P::y) - y;
        const Floats<N> qx = get(1, P::u) - u, qy = get(1, P::v) - v;
        const Floats<N> pp = px * px + py * py, qq = qx * qx + qy * qy;
        const Ints<N> refused = where_negative<N>(bits<N>(pp - least_area)) |
                                where_negative<N>(bits<N>(qq - least_area));
        const Floats<N> c = (qx * px + qy * py) / pp, s = (qy * px - qx * py) / pp;
        const Floats<N> a[9] = {c,  -s, u - (c * x - s * y), s, c, v - (s * x + c * y),
                                {}, {}, splat<N>(1)};
        models.push<N>(a, refused);
    }
};

}  // namespace trouvaille
