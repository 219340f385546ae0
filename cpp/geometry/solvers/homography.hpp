// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "geometry/homography_step.hpp"
#include "geometry/hypotheses.hpp"
#include "geometry/solvers/common.hpp"

namespace trouvaille {

/// A plane seen twice: (u, v, 1) ~ H (x, y, 1). Its matrices are signed so that H (x, y, 1) has a
/// positive third number for what was in front of both cameras.
struct HomographyModel {
    static constexpr bool alike = false;
    static constexpr std::size_t residual_dimensions = 2;
    static constexpr std::size_t freedom = 8;  // numbers that it has

    template <std::size_t N>
    ALWAYS_INLINE static Quotient<N> square(const Floats<N> (&h)[9], const Match<N>& m) {
        const Floats<N> w = h[6] * m.x + h[7] * m.y + h[8];
        const Floats<N> du = h[0] * m.x + h[1] * m.y + h[2] - m.u * w;
        const Floats<N> dv = h[3] * m.x + h[4] * m.y + h[5] - m.v * w;
        return {du * du + dv * dv, w * abs<N>(w)};
    }

    static double square(const Matrix3& h, Point p, Point q) {
        const Vector3 image = h * Vector3{p.x, p.y, 1};
        if (!(image[2] > 0)) return std::numeric_limits<double>::infinity();
        const double du = image[0] / image[2] - q.x, dv = image[1] / image[2] - q.y;
        return du * du + dv * dv;
    }

    /// One step of least squares in the second photo. False, and h as it was, where that is not
    /// determined, or a point, or the origin of the coordinates, is behind.
    static bool fit(std::span<const WeightedPair> pairs, Matrix3& h) {
        if (!(h.of[8] > 1e-9)) return false;
        HomographyStep step(scaled(h, 1 / h.of[8]));
        for (const WeightedPair& pair : pairs)
            if (!step.add(pair)) return false;
        Matrix3 to;
        constexpr double tolerance = 1e-13;
        if (!step.take(to, tolerance) || !is_finite(to)) return false;
        h = scaled(to, 1 / norm(to));
        return true;
    }
};

/// Through four points: the map of projective bases. Refused are samples of which three points are
/// on a line in either photo, or whose triangles do not all keep, or all change, their orientation.
struct HomographyThroughPoints {
    static constexpr std::size_t sample_size = 4;
    using Samples = trouvaille::Samples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        Floats<N> x[4], y[4], u[4], v[4];
        for (std::size_t i = 0; i < 4; ++i) {
            x[i] = samples.template get<N>(i, PointPairs::x, lane);
            y[i] = samples.template get<N>(i, PointPairs::y, lane);
            u[i] = samples.template get<N>(i, PointPairs::u, lane);
            v[i] = samples.template get<N>(i, PointPairs::v, lane);
        }
        // p3 = (area[0] p0 + area[1] p1 + area[2] p2) / area[3], in homogeneous coordinates.
        const Floats<N> first[4] = {
            twice_area<N>(x[3], y[3], x[1], y[1], x[2], y[2]),
            twice_area<N>(x[0], y[0], x[3], y[3], x[2], y[2]),
            twice_area<N>(x[0], y[0], x[1], y[1], x[3], y[3]),
            twice_area<N>(x[0], y[0], x[1], y[1], x[2], y[2]),
        };
        const Floats<N> second[4] = {
            twice_area<N>(u[3], v[3], u[1], v[1], u[2], v[2]),
            twice_area<N>(u[0], v[0], u[3], v[3], u[2], v[2]),
            twice_area<N>(u[0], v[0], u[1], v[1], u[3], v[3]),
            twice_area<N>(u[0], v[0], u[1], v[1], u[2], v[2]),
        };
        Ints<N> refused{};
        const Ints<N> turned = bits<N>(first[3]) ^ bits<N>(second[3]);
        for (std::size_t i = 0; i < 4; ++i) {
            refused |= where_negative<N>(bits<N>(abs<N>(first[i]) - least_area));
            refused |= where_negative<N>(bits<N>(abs<N>(second[i]) - least_area));
            refused |= where_negative<N>(bits<N>(first[i]) ^ bits<N>(second[i]) ^ turned);
        }
        Floats<N> h[9] = {};
        for (std::size_t i = 0; i < 3; ++i) {
            const std::size_t j = (i + 1) % 3, k = (i + 2) % 3;
            // Positive where the point is in front: h (x, y, 1) is then positive for the sample.
            const Floats<N> share = second[i] * first[3] / (first[i] * second[3]);
            const Floats<N> line[3] = {(y[j] - y[k]) * share, (x[k] - x[j]) * share,
                                       (x[j] * y[k] - x[k] * y[j]) * share};
            for (std::size_t c = 0; c < 3; ++c) {
                h[c] += u[i] * line[c];
                h[3 + c] += v[i] * line[c];
                h[6 + c] += line[c];
            }
        }
        // The line through j and k is positive at i where the triangle is, so divide by its area.
        for (std::size_t e = 0; e < 9; ++e) h[e] /= first[3];
        models.push<N>(h, refused);
    }
};

}  // namespace trouvaille
