// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

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

/// outer after inner.
inline Affine compose(const Affine& outer, const Affine& inner) {
    const Point b = apply(outer, {inner.b1, inner.b2});
    return {outer.a11 * inner.a11 + outer.a12 * inner.a21,
            outer.a11 * inner.a12 + outer.a12 * inner.a22,
            b.x,
            outer.a21 * inner.a11 + outer.a22 * inner.a21,
            outer.a21 * inner.a12 + outer.a22 * inner.a22,
            b.y};
}

/// Requires a determinant other than 0.
inline Affine inverse(const Affine& t) {
    const double d = t.determinant();
    Affine r{t.a22 / d, -t.a12 / d, 0, -t.a21 / d, t.a11 / d, 0};
    r.b1 = -(r.a11 * t.b1 + r.a12 * t.b2);
    r.b2 = -(r.a21 * t.b1 + r.a22 * t.b2);
    return r;
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

}  // namespace trouvaille
