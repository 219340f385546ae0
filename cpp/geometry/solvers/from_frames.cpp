// SPDX-License-Identifier: Apache-2.0
#include "geometry/solvers/from_frames.hpp"

#include <cmath>

namespace trouvaille {

void HomographyFromFrames::push(const Samples& samples, std::size_t lane, Models& models) {
    constexpr double frame_weight = 0.01;  // squared: frames are known ten times worse
    const auto number = [&](std::size_t i, std::size_t column) {
        return static_cast<double>(samples.of[i][column][lane]);
    };
    using P = PointPairs;
    // The origin is moved between the two points, where H is fixed to be 1.
    const double x0 = (number(0, P::x) + number(1, P::x)) / 2;
    const double y0 = (number(0, P::y) + number(1, P::y)) / 2;
    NormalEquations<8> e;
    const auto add = [&](const double (&row)[8], double right, double weight) {
        for (std::size_t i = 0; i < 8; ++i) {
            const double wi = weight * row[i];
            for (std::size_t j = 0; j <= i; ++j) e.a[i][j] += wi * row[j];
            e.b[i] += wi * right;
        }
    };
    for (std::size_t i = 0; i < sample_size; ++i) {
        const double x = number(i, P::x) - x0, y = number(i, P::y) - y0;
        const double u = number(i, P::u), v = number(i, P::v);
        add({x, y, 1, 0, 0, 0, -u * x, -u * y}, u, 1);
        add({0, 0, 0, x, y, 1, -v * x, -v * y}, v, 1);
        const double b11 = number(i, P::b11), b12 = number(i, P::b12), b21 = number(i, P::b21),
                     b22 = number(i, P::b22);
        add({1, 0, 0, 0, 0, 0, -u - b11 * x, -b11 * y}, b11, frame_weight);
        add({0, 1, 0, 0, 0, 0, -b12 * x, -u - b12 * y}, b12, frame_weight);
        add({0, 0, 0, 1, 0, 0, -v - b21 * x, -b21 * y}, b21, frame_weight);
        add({0, 0, 0, 0, 1, 0, -b22 * x, -v - b22 * y}, b22, frame_weight);
    }
    if (!trouvaille::solve(e)) return;
    Matrix3 h{{e.b[0], e.b[1], e.b[2], e.b[3], e.b[4], e.b[5], e.b[6], e.b[7], 1}};
    h = h * Matrix3{{1, 0, -x0, 0, 1, -y0, 0, 0, 1}};
    h = scaled(h, 1 / norm(h));
    if (is_finite(h)) models.push(h);
}

}  // namespace trouvaille
