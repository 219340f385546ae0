// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "geometry/matrix3.hpp"

namespace trouvaille {

/// The affine map (x, y) -> (a11 x + a12 y + b1, a21 x + a22 y + b2). A local affine frame (LAF) is
/// one: it maps the unit circle at the origin to the feature's ellipse at (b1, b2).
struct Affine {
    double a11 = 1, a12 = 0, b1 = 0;
    double a21 = 0, a22 = 1, b2 = 0;

    double determinant() const { return a11 * a22 - a12 * a21; }
};

struct Point {
    double x, y;
};

inline Affine affine_from_row(const float* laf) {
    return {laf[0], laf[1], laf[2], laf[3], laf[4], laf[5]};
}

inline Point apply(const Affine& t, Point p) {
    return {t.a11 * p.x + t.a12 * p.y + t.b1, t.a21 * p.x + t.a22 * p.y + t.b2};
}

/// The linear part of outer after inner; no translation.
inline Affine compose_linear(const Affine& outer, const Affine& inner) {
    return {outer.a11 * inner.a11 + outer.a12 * inner.a21,
            outer.a11 * inner.a12 + outer.a12 * inner.a22,
            0,
            outer.a21 * inner.a11 + outer.a22 * inner.a21,
            outer.a21 * inner.a12 + outer.a22 * inner.a22,
            0};
}

/// outer after inner.
inline Affine compose(const Affine& outer, const Affine& inner) {
    const Point b = apply(outer, {inner.b1, inner.b2});
    Affine t = compose_linear(outer, inner);
    t.b1 = b.x;
    t.b2 = b.y;
    return t;
}

/// Requires a determinant other than 0.
inline Affine inverse(const Affine& t) {
    const double d = t.determinant();
    Affine r{t.a22 / d, -t.a12 / d, 0, -t.a21 / d, t.a11 / d, 0};
    r.b1 = -(r.a11 * t.b1 + r.a12 * t.b2);
    r.b2 = -(r.a21 * t.b1 + r.a22 * t.b2);
    return r;
}

/// The same map as a homography.
inline Matrix3 homography_from(const Affine& t) {
    return {{t.a11, t.a12, t.b1, t.a21, t.a22, t.b2, 0, 0, 1}};
}

/// The denominator h3 . p: zero on the line that is mapped to infinity (the horizon).
inline double depth(const Matrix3& h, Point p) {
    return h(2, 0) * p.x + h(2, 1) * p.y + h(2, 2);
}

/// Requires a point off the horizon.
inline Point apply(const Matrix3& h, Point p) {
    const double w = depth(h, p);
    return {(h(0, 0) * p.x + h(0, 1) * p.y + h(0, 2)) / w,
            (h(1, 0) * p.x + h(1, 1) * p.y + h(1, 2)) / w};
}

/// The affine map that touches `h` at p: the same image there, and the same derivatives.
inline Affine tangent(const Matrix3& h, Point p) {
    const double w = depth(h, p);
    const Point q = apply(h, p);
    Affine t{(h(0, 0) - q.x * h(2, 0)) / w, (h(0, 1) - q.x * h(2, 1)) / w, 0,
             (h(1, 0) - q.y * h(2, 0)) / w, (h(1, 1) - q.y * h(2, 1)) / w, 0};
    t.b1 = q.x - (t.a11 * p.x + t.a12 * p.y);
    t.b2 = q.y - (t.a21 * p.x + t.a22 * p.y);
    return t;
}

/// A rotation as its cosine and sine.
struct Rotation {
    double cos, sin;
};

/// The rotation nearest to the linear part (its polar factor). Requires a positive determinant.
inline Rotation rotation_of(const Affine& t) {
    const double c = t.a11 + t.a22, s = t.a21 - t.a12;
    const double r = std::sqrt(c * c + s * s);
    return {c / r, s / r};
}

inline bool is_similarity(const Affine& t) {
    return t.a11 == t.a22 && t.a12 == -t.a21;
}

/// `t` shrunk to a similarity that keeps its area, its rotation and the image of `p`.
inline Affine nearest_similarity(const Affine& t, Point p) {
    const Rotation r = rotation_of(t);
    const double scale = std::sqrt(t.determinant());
    const double a = scale * r.cos, b = scale * r.sin;
    const Point image = apply(t, p);
    return {a, -b, image.x - (a * p.x - b * p.y), b, a, image.y - (b * p.x + a * p.y)};
}

/// True if all six numbers are finite, orientation is kept, area changes by at most
/// `max_scale`^2 either way, and the two axes are scaled alike within a factor of about `max_tilt`
/// (exactly: the sum of that factor and of its inverse is bounded).
inline bool is_plausible(const Affine& t, double max_scale, double max_tilt) {
    const double area = t.determinant();
    const double squares = t.a11 * t.a11 + t.a12 * t.a12 + t.a21 * t.a21 + t.a22 * t.a22;
    // Written so that NaN fails.
    return area * max_scale * max_scale >= 1 && area <= max_scale * max_scale &&
           squares <= area * (max_tilt + 1 / max_tilt) && std::isfinite(t.b1) &&
           std::isfinite(t.b2);
}

/// True if `frame` is finite and not singular: its axes differ by a factor below 1,000. It may be a
/// mirror image.
inline bool is_regular(const Affine& t) {
    const double squares = t.a11 * t.a11 + t.a12 * t.a12 + t.a21 * t.a21 + t.a22 * t.a22;
    return std::abs(t.determinant()) > 1e-3 * squares && std::isfinite(squares);
}

/// An axis-parallel rectangle; empty until something is included.
struct Box {
    double x1 = std::numeric_limits<double>::infinity(), y1 = x1, x2 = -x1, y2 = -x1;

    void include(const Box& other) {
        x1 = std::min(x1, other.x1);
        y1 = std::min(y1, other.y1);
        x2 = std::max(x2, other.x2);
        y2 = std::max(y2, other.y2);
    }
};

/// Of a frame's ellipse.
inline Box bounds(const Affine& frame) {
    const double width = std::sqrt(frame.a11 * frame.a11 + frame.a12 * frame.a12);
    const double height = std::sqrt(frame.a21 * frame.a21 + frame.a22 * frame.a22);
    return {frame.b1 - width, frame.b2 - height, frame.b1 + width, frame.b2 + height};
}

/// Of the image of a frame's ellipse, which must not touch the horizon. It is an ellipse, the image
/// of the unit circle by M = h frame. A line l touches it where l' C l = 0 with the dual conic
/// C = M diag(1, 1, -1) M': a vertical line x = t where C33 t^2 - 2 C13 t + C11 = 0.
inline Box bounds(const Matrix3& h, const Affine& frame) {
    struct Row {
        double a, b, c;
    };
    const auto row = [&frame](double x, double y, double one) -> Row {
        return {x * frame.a11 + y * frame.a21, x * frame.a12 + y * frame.a22,
                x * frame.b1 + y * frame.b2 + one};
    };
    const auto product = [](const Row& r, const Row& s) {
        return r.a * s.a + r.b * s.b - r.c * s.c;
    };
    const Row u = row(h(0, 0), h(0, 1), h(0, 2)), v = row(h(1, 0), h(1, 1), h(1, 2)),
              w = row(h(2, 0), h(2, 1), h(2, 2));
    const double c33 = product(w, w);  // negative before the horizon
    const auto range = [&](const Row& r) -> Point {
        const double middle = product(r, w) / c33;
        const double half = std::sqrt(std::max(middle * middle - product(r, r) / c33, 0.0));
        return {middle - half, middle + half};
    };
    const Point x = range(u), y = range(v);
    return {x.x, y.x, x.y, y.y};
}

}  // namespace trouvaille
