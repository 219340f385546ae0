// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

#include "geometry/hypotheses.hpp"
#include "geometry/solvers/common.hpp"

namespace trouvaille {

/// (u, v, 1) F (x, y, 1)^T = 0, and Sampson's distance: to first order, how far both points have to
/// move together.
struct FundamentalModel {
    static constexpr bool alike = true;
    static constexpr std::size_t residual_dimensions = 1;
    static constexpr std::size_t freedom = 7;  // numbers that it has

    template <std::size_t N>
    ALWAYS_INLINE static Quotient<N> square(const Floats<N> (&f)[9], const Match<N>& m) {
        const Floats<N> a = f[0] * m.x + f[1] * m.y + f[2], b = f[3] * m.x + f[4] * m.y + f[5];
        const Floats<N> c = f[6] * m.x + f[7] * m.y + f[8];
        const Floats<N> d = f[0] * m.u + f[3] * m.v + f[6], e = f[1] * m.u + f[4] * m.v + f[7];
        const Floats<N> r = m.u * a + m.v * b + c;
        return {r * r, a * a + b * b + (d * d + e * e)};
    }

    static double square(const Matrix3& f, Point p, Point q) {
        const Vector3 first = f * Vector3{p.x, p.y, 1},
                      second = transposed(f) * Vector3{q.x, q.y, 1};
        const double r = q.x * first[0] + q.y * first[1] + first[2];
        const double gradient = first[0] * first[0] + first[1] * first[1] + second[0] * second[0] +
                                second[1] * second[1];
        return gradient > 0 ? r * r / gradient : std::numeric_limits<double>::infinity();
    }

    /// One step on the weighted squared Sampson distances, their denominators as they are, within
    /// the matrices of rank two.
    static bool fit(std::span<const WeightedPair> pairs, Matrix3& f);
};

/// F without its third singular value: U diag(a, b, 0) V^T.
struct RankTwo {
    Matrix3 u, v;
    double a = 0, b = 0;

    static RankTwo of(const Matrix3& f);
    Matrix3 matrix() const;
};

namespace fundamental_detail {

/// Seven equations, one a row.
template <std::size_t N>
using Equations = Floats<N>[7][9];

template <std::size_t N>
ALWAYS_INLINE void reflect(const Floats<N> (&by)[9], Floats<N> per_square, std::size_t from,
                           Floats<N> (&column)[9]) {
    Floats<N> along{};
    for (std::size_t e = from; e < 9; ++e) along += by[e] * column[e];
    along *= per_square;
    for (std::size_t e = from; e < 9; ++e) column[e] -= along * by[e];
}

/// What seven equations leave free: two orthogonal matrices. The equations are the columns of a
/// 9 x 7 matrix, which seven Householder reflections make triangular; the last two columns of the
/// reflections' product are orthogonal to all of them.
template <std::size_t N>
ALWAYS_INLINE void null_space(Equations<N>& q, float (&out)[2][9][N]) {
    Floats<N> per_square[7];  // 2 / |reflection|^2
    for (std::size_t i = 0; i < 7; ++i) {
        Floats<N> squares{};
        for (std::size_t e = i; e < 9; ++e) squares += q[i][e] * q[i][e];
        const Floats<N> length = sqrt<N>(squares);
        const Ints<N> negative = where_negative<N>(bits<N>(q[i][i]));
        q[i][i] += select<N>(negative, -length, length);
        per_square[i] = 1.0F / (length * abs<N>(q[i][i]) + std::numeric_limits<float>::min());
        for (std::size_t j = i + 1; j < 7; ++j) reflect<N>(q[i], per_square[i], i, q[j]);
    }
    for (std::size_t k = 0; k < 2; ++k) {
        Floats<N> column[9] = {};
        column[7 + k] = splat<N>(1);
        for (std::size_t i = 7; i-- > 0;) reflect<N>(q[i], per_square[i], i, column);
        for (std::size_t e = 0; e < 9; ++e) store(out[k][e], column[e]);
    }
}

/// The epipolar equation of N matches.
template <std::size_t N>
ALWAYS_INLINE void epipolar(const Match<N>& m, Floats<N> (&row)[9]) {
    const Floats<N> all[9] = {m.u * m.x, m.u * m.y, m.u, m.v * m.x,  m.v * m.y,
                              m.v,       m.x,       m.y, splat<N>(1)};
    for (std::size_t e = 0; e < 9; ++e) row[e] = all[e];
}

/// Adds the singular matrices among the combinations of f1 and f2 that have all the sample's points
/// on the same side of both cameras.
void push_singular(const Matrix3& f1, const Matrix3& f2, std::span<const Vector3> first,
                   std::span<const Vector3> second, Models& models);

/// The same for N samples, from their equations.
template <std::size_t N, class Samples>
ALWAYS_INLINE void solve(Equations<N>& equations, const Samples& samples, std::size_t lane,
                         Models& models) {
    alignas(64) float pencil[2][9][N];
    null_space<N>(equations, pencil);
    constexpr std::size_t size = std::extent_v<decltype(samples.of)>;
    for (std::size_t l = 0; l < N; ++l) {
        Matrix3 f1, f2;
        for (std::size_t e = 0; e < 9; ++e) {
            f1.of[e] = static_cast<double>(pencil[0][e][l]);
            f2.of[e] = static_cast<double>(pencil[1][e][l]);
        }
        Vector3 first[size], second[size];
        for (std::size_t i = 0; i < size; ++i) {
            const auto number = [&](std::size_t c) {
                return static_cast<double>(samples.of[i][c][lane + l]);
            };
            first[i] = {number(PointPairs::x), number(PointPairs::y), 1};
            second[i] = {number(PointPairs::u), number(PointPairs::v), 1};
        }
        push_singular(f1, f2, first, second, models);
    }
}

}  // namespace fundamental_detail

/// Through seven points: the one or three matrices of rank two in the pencil that they leave. Only
/// those are kept that have all seven points on the same side of both cameras.
///
/// Hartley, Zisserman. Multiple View Geometry. 2004, 11.1.2. Chum, Werner, Matas. Epipolar geometry
/// estimation via RANSAC benefits from the oriented epipolar constraint. ICPR 2004.
struct FundamentalThroughPoints {
    static constexpr std::size_t sample_size = 7;
    using Samples = trouvaille::Samples<sample_size>;

    template <std::size_t N>
    ALWAYS_INLINE static void solve(const Samples& samples, std::size_t lane, Models& models) {
        fundamental_detail::Equations<N> equations;
        for (std::size_t i = 0; i < sample_size; ++i)
            fundamental_detail::epipolar<N>(samples.template match<N>(i, lane), equations[i]);
        fundamental_detail::solve<N>(equations, samples, lane, models);
    }
};

}  // namespace trouvaille
