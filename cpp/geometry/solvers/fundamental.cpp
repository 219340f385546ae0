// SPDX-License-Identifier: Apache-2.0
#include "geometry/solvers/fundamental.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "geometry/least_squares.hpp"

namespace trouvaille {
namespace {

// The real roots of c[0] + c[1] t + c[2] t^2 + t^3.
std::size_t cubic_roots(const std::array<double, 3>& c, std::array<double, 3>& roots) {
    const double shift = c[2] / 3;
    const double p = c[1] / 3 - shift * shift;                             // t = s - shift:
    const double q = shift * shift * shift - c[1] * shift / 2 + c[0] / 2;  // s^3 + 3 p s + 2 q = 0
    const double d = q * q + p * p * p;
    std::size_t n = 1;
    if (d >= 0) {
        const double a = std::cbrt(-q - std::copysign(std::sqrt(d), q));
        roots[0] = a == 0 ? 0 : a - p / a;
    } else {
        const double length = std::sqrt(-p);
        const double angle = std::acos(std::clamp(-q / (length * length * length), -1.0, 1.0)) / 3;
        n = 3;
        for (std::size_t i = 0; i < n; ++i)
            roots[i] =
                2 * length * std::cos(angle + static_cast<double>(i) * 2 * std::numbers::pi / 3);
    }
    for (std::size_t i = 0; i < n; ++i) {
        double& t = roots[i];
        t -= shift;
        const double value = ((t + c[2]) * t + c[1]) * t + c[0];
        const double slope = (3 * t + 2 * c[2]) * t + c[1];
        if (slope != 0) t -= value / slope;
    }
    return n;
}

// A vector that a matrix of rank two takes to zero: the longest product of two of its rows.
Vector3 null_vector(const Matrix3& f) {
    Vector3 longest{};
    double square = -1;
    for (std::size_t i = 0; i < 3; ++i) {
        const Vector3 v = cross(row(f, i), row(f, (i + 1) % 3));
        if (dot(v, v) > square) {
            square = dot(v, v);
            longest = v;
        }
    }
    return longest;
}

// Is the line through the epipole and the second point turned the same way as F (first point) for
// all matches?
bool on_one_side(const Matrix3& f, std::span<const Vector3> first,
                 std::span<const Vector3> second) {
    const Vector3 epipole = null_vector(transposed(f));
    std::size_t positive = 0;
    for (std::size_t i = 0; i < first.size(); ++i)
        positive += dot(cross(epipole, second[i]), f * first[i]) > 0 ? 1 : 0;
    return positive == 0 || positive == first.size();
}

}  // namespace

void fundamental_detail::push_singular(const Matrix3& f1, const Matrix3& f2,
                                       std::span<const Vector3> first,
                                       std::span<const Vector3> second, Models& models) {
    // det(f1 + t f2); where f2 is singular itself, there is a root less, which is seldom missed.
    const double cubic = determinant(f2);
    if (!(std::abs(cubic) > 1e-12)) return;
    const std::array<double, 3> c{determinant(f1) / cubic,
                                  trace_of_product(adjugate(f1), f2) / cubic,
                                  trace_of_product(adjugate(f2), f1) / cubic};
    std::array<double, 3> roots{};
    const std::size_t n = cubic_roots(c, roots);
    for (std::size_t i = 0; i < n; ++i) {
        Matrix3 f;
        for (std::size_t e = 0; e < 9; ++e) f.of[e] = f1.of[e] + roots[i] * f2.of[e];
        f = scaled(f, 1 / norm(f));
        if (is_finite(f) && on_one_side(f, first, second)) models.push(f);
    }
}

// The eigenvectors of F^T F by Jacobi's rotations: V, then F V = U diag(a, b, 0).
RankTwo RankTwo::of(const Matrix3& f) {
    Matrix3 m = transposed(f) * f, v{{1, 0, 0, 0, 1, 0, 0, 0, 1}};
    for (int sweep = 0; sweep < 8; ++sweep)
        for (const auto& [p, q] : {std::pair<std::size_t, std::size_t>{0, 1}, {0, 2}, {1, 2}}) {
            if (m(p, q) == 0) continue;
            const double theta = (m(q, q) - m(p, p)) / (2 * m(p, q));
            const double t =
                std::copysign(1.0, theta) / (std::abs(theta) + std::sqrt(theta * theta + 1));
            const double c = 1 / std::sqrt(t * t + 1), s = t * c;
            Matrix3 turn{{1, 0, 0, 0, 1, 0, 0, 0, 1}};
            turn(p, p) = turn(q, q) = c;
            turn(p, q) = s;
            turn(q, p) = -s;
            m = transposed(turn) * m * turn;
            v = v * turn;
        }
    std::array<std::size_t, 3> order{0, 1, 2};
    std::sort(order.begin(), order.end(),
              [&](std::size_t i, std::size_t j) { return m(i, i) > m(j, j); });
    RankTwo result;
    Vector3 columns[3];
    for (std::size_t i = 0; i < 2; ++i) {
        const Vector3 axis{v(0, order[i]), v(1, order[i]), v(2, order[i])};
        Vector3 image = f * axis;
        const double length = std::sqrt(dot(image, image));
        (i == 0 ? result.a : result.b) = length;
        for (double& x : image) x /= length;
        columns[i] = image;
        for (std::size_t j = 0; j < 3; ++j) result.v(j, i) = axis[j];
    }
    columns[2] = cross(columns[0], columns[1]);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j) result.u(j, i) = columns[i][j];
    for (std::size_t j = 0; j < 3; ++j) result.v(j, 2) = v(j, order[2]);
    return result;
}

Matrix3 RankTwo::matrix() const {
    return u * Matrix3{{a, 0, 0, 0, b, 0, 0, 0, 0}} * transposed(v);
}

bool FundamentalModel::fit(std::span<const WeightedPair> pairs, Matrix3& f) {
    // The moments of the equations, each divided by the gradient's length.
    double moments[9][9] = {};
    for (const auto& [p, q, weight] : pairs) {
        const Vector3 first = f * Vector3{p.x, p.y, 1};
        const Vector3 second = transposed(f) * Vector3{q.x, q.y, 1};
        const double gradient = first[0] * first[0] + first[1] * first[1] + second[0] * second[0] +
                                second[1] * second[1];
        if (!(gradient > 0)) continue;
        const double w = weight / gradient;
        const double equation[9] = {q.x * p.x, q.x * p.y, q.x, q.y * p.x, q.y * p.y,
                                    q.y,       p.x,       p.y, 1};
        for (std::size_t i = 0; i < 9; ++i) {
            const double wi = w * equation[i];
            for (std::size_t j = 0; j <= i; ++j) moments[i][j] += wi * equation[j];
        }
    }
    const RankTwo at = RankTwo::of(f);
    if (!(at.b > 0)) return false;
    const double length = std::hypot(at.a, at.b), a = at.a / length, b = at.b / length;
    // Seven orthogonal directions within the surface: those of U M V^T where the last number of M
    // is 0, but for F's own.
    const Matrix3 s{{a, 0, 0, 0, b, 0, 0, 0, 0}}, v = transposed(at.v);
    Matrix3 tangents[7];
    for (std::size_t i = 0, place = 0; place < 8; ++place) {
        if (place == 0 || place == 4) continue;
        Matrix3 m;
        m.of[place] = 1;
        tangents[i++] = at.u * m * v;
    }
    tangents[6] = at.u * Matrix3{{-b, 0, 0, 0, a, 0, 0, 0, 0}} * v;
    const Matrix3 from = at.u * s * v;

    const auto apply_moments = [&](const Matrix3& m) {
        Matrix3 result;
        for (std::size_t i = 0; i < 9; ++i)
            for (std::size_t j = 0; j < 9; ++j)
                result.of[i] += (j <= i ? moments[i][j] : moments[j][i]) * m.of[j];
        return result;
    };
    const auto inner = [](const Matrix3& x, const Matrix3& y) {
        double sum = 0;
        for (std::size_t i = 0; i < 9; ++i) sum += x.of[i] * y.of[i];
        return sum;
    };
    NormalEquations<7> e;
    for (std::size_t i = 0; i < 7; ++i) {
        const Matrix3 column = apply_moments(tangents[i]);
        for (std::size_t j = 0; j <= i; ++j) e.a[i][j] = inner(column, tangents[j]);
        e.b[i] = -inner(column, from);
    }
    if (!solve(e)) return false;
    Matrix3 to = from;
    for (std::size_t i = 0; i < 7; ++i)
        for (std::size_t j = 0; j < 9; ++j) to.of[j] += e.b[i] * tangents[i].of[j];
    if (!is_finite(to)) return false;
    to = RankTwo::of(to).matrix();  // the step left the surface by a second-order amount
    f = scaled(to, 1 / norm(to));
    return is_finite(f);
}

}  // namespace trouvaille
