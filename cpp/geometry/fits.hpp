// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>

#include "geometry/transforms.hpp"

namespace trouvaille {

/// A point, its image, and how much the pair counts; weight >= 0.
struct WeightedPair {
    Point p, q;
    double weight;
};

/// Weighted least squares for maps from points p to points q. Both solvers below need no more than
/// the centred second moments, gathered in two passes (means first), so that coordinates far from
/// the origin cost no precision.
struct Moments {
    Point p_mean{0, 0}, q_mean{0, 0};
    double xx = 0, xy = 0, yy = 0;          // of p
    double ux = 0, uy = 0, vx = 0, vy = 0;  // of q = (u, v) with p = (x, y)
    double qq = 0;                          // |q|^2
    std::size_t count = 0;

    static Moments of(std::span<const WeightedPair> pairs) {
        Moments m;
        double weight = 0;
        for (const auto& [p, q, w] : pairs) {
            weight += w;
            m.p_mean = {m.p_mean.x + w * p.x, m.p_mean.y + w * p.y};
            m.q_mean = {m.q_mean.x + w * q.x, m.q_mean.y + w * q.y};
            ++m.count;
        }
        m.p_mean = {m.p_mean.x / weight, m.p_mean.y / weight};
        m.q_mean = {m.q_mean.x / weight, m.q_mean.y / weight};
        for (const auto& [p, q, w] : pairs)
            m.add({p.x - m.p_mean.x, p.y - m.p_mean.y}, {q.x - m.q_mean.x, q.y - m.q_mean.y}, w);
        return m;
    }

  private:
    void add(Point p, Point q, double w) {
        xx += w * p.x * p.x;
        xy += w * p.x * p.y;
        yy += w * p.y * p.y;
        ux += w * q.x * p.x;
        uy += w * q.x * p.y;
        vx += w * q.y * p.x;
        vy += w * q.y * p.y;
        qq += w * (q.x * q.x + q.y * q.y);
    }
};

/// A least-squares solution and its weighted sum of squared residuals.
struct Fit {
    Affine transform;
    double squares;
};

namespace detail {
inline Fit through_means(Affine t, const Moments& m, double squares) {
    t.b1 = m.q_mean.x - (t.a11 * m.p_mean.x + t.a12 * m.p_mean.y);
    t.b2 = m.q_mean.y - (t.a21 * m.p_mean.x + t.a22 * m.p_mean.y);
    return {t, std::max(squares, 0.0)};
}
}  // namespace detail

/// Rotation, scale and translation; needs two distinct points p. Never a mirror image.
///
/// Umeyama. Least-squares estimation of transformation parameters between two point patterns.
/// PAMI 1991; in two dimensions it is one complex division.
inline std::optional<Fit> fit_similarity(const Moments& m) {
    const double spread = m.xx + m.yy;
    if (!(spread > 0)) return std::nullopt;
    const double c = m.ux + m.vy, s = m.vx - m.uy;
    const double a = c / spread, b = s / spread;
    return detail::through_means({a, -b, 0, b, a, 0}, m, m.qq - (c * c + s * s) / spread);
}

/// Six free parameters; needs three points p that are not on one line (relative precision 1e-12).
inline std::optional<Fit> fit_affine(const Moments& m) {
    const double d = m.xx * m.yy - m.xy * m.xy;
    if (!(d > 1e-12 * (m.xx + m.yy) * (m.xx + m.yy))) return std::nullopt;
    const Affine t{(m.ux * m.yy - m.uy * m.xy) / d, (m.uy * m.xx - m.ux * m.xy) / d, 0,
                   (m.vx * m.yy - m.vy * m.xy) / d, (m.vy * m.xx - m.vx * m.xy) / d, 0};
    const double explained = t.a11 * m.ux + t.a12 * m.uy + t.a21 * m.vx + t.a22 * m.vy;
    return detail::through_means(t, m, m.qq - explained);
}

/// The similarity with p1 -> q1 and p2 -> q2; not finite if p1 is p2.
inline Affine similarity_through(Point p1, Point q1, Point p2, Point q2) {
    const Point p{p2.x - p1.x, p2.y - p1.y}, q{q2.x - q1.x, q2.y - q1.y};
    const double squared = p.x * p.x + p.y * p.y;
    const double a = (q.x * p.x + q.y * p.y) / squared, b = (q.y * p.x - q.x * p.y) / squared;
    return {a, -b, q1.x - (a * p1.x - b * p1.y), b, a, q1.y - (b * p1.x + a * p1.y)};
}

/// The smaller eigenvalue of the scatter of p: the weighted sum of squared distances from the line
/// that fits the points best.
inline double scatter_across(const Moments& m) {
    const double half_difference = (m.xx - m.yy) / 2;
    return (m.xx + m.yy) / 2 - std::sqrt(half_difference * half_difference + m.xy * m.xy);
}

}  // namespace trouvaille
