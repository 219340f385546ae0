// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace trouvaille {

/// A function's values at 27 places: scale, row, column.
struct Neighbourhood {
    double values[3][3][3];
};

/// The extremum of the quadratic through a neighbourhood: its offset from the middle, and value.
struct Extremum {
    double dx, dy, ds, value;
    double trace, determinant;  // of its second derivatives in space
};

/// False if it has none, or no single one (Brown and Lowe 2002).
inline bool fit(const Neighbourhood& n, Extremum& to) {
    const auto at = [&](int s, int x, int y) { return n.values[1 + s][1 + y][1 + x]; };
    const double v = at(0, 0, 0);
    const double gx = (at(0, 1, 0) - at(0, -1, 0)) / 2, gy = (at(0, 0, 1) - at(0, 0, -1)) / 2;
    const double gs = (at(1, 0, 0) - at(-1, 0, 0)) / 2;
    const double xx = at(0, 1, 0) + at(0, -1, 0) - 2 * v;
    const double yy = at(0, 0, 1) + at(0, 0, -1) - 2 * v;
    const double ss = at(1, 0, 0) + at(-1, 0, 0) - 2 * v;
    const double xy = (at(0, 1, 1) - at(0, -1, 1) - at(0, 1, -1) + at(0, -1, -1)) / 4;
    const double xs = (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0)) / 4;
    const double ys = (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1)) / 4;
    // Cramer's rule for the symmetric 3 x 3 system.
    const double a = yy * ss - ys * ys, b = xs * ys - xy * ss, c = xy * ys - xs * yy;
    const double e = xx * ss - xs * xs, f = xy * xs - xx * ys, g = xx * yy - xy * xy;
    const double determinant = xx * a + xy * b + xs * c;
    if (determinant == 0) return false;
    to.dx = -(a * gx + b * gy + c * gs) / determinant;
    to.dy = -(b * gx + e * gy + f * gs) / determinant;
    to.ds = -(c * gx + f * gy + g * gs) / determinant;
    to.value = v + (gx * to.dx + gy * to.dy + gs * to.ds) / 2;
    to.trace = xx + yy, to.determinant = g;
    return true;
}

}  // namespace trouvaille
