// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace trouvaille {

/// A 3 x 3 matrix by rows: a homography, or a fundamental matrix.
struct Matrix3 {
    std::array<double, 9> of{};

    double operator()(std::size_t row, std::size_t column) const { return of[3 * row + column]; }
    double& operator()(std::size_t row, std::size_t column) { return of[3 * row + column]; }
};

using Vector3 = std::array<double, 3>;

inline Matrix3 operator*(const Matrix3& a, const Matrix3& b) {
    Matrix3 product;
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            product(i, j) = a(i, 0) * b(0, j) + a(i, 1) * b(1, j) + a(i, 2) * b(2, j);
    return product;
}

inline Vector3 operator*(const Matrix3& a, const Vector3& v) {
    return {a(0, 0) * v[0] + a(0, 1) * v[1] + a(0, 2) * v[2],
            a(1, 0) * v[0] + a(1, 1) * v[1] + a(1, 2) * v[2],
            a(2, 0) * v[0] + a(2, 1) * v[1] + a(2, 2) * v[2]};
}

inline Matrix3 transposed(const Matrix3& a) {
    return {{a.of[0], a.of[3], a.of[6], a.of[1], a.of[4], a.of[7], a.of[2], a.of[5], a.of[8]}};
}

inline Vector3 cross(const Vector3& a, const Vector3& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

inline double dot(const Vector3& a, const Vector3& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

inline Vector3 row(const Matrix3& a, std::size_t i) {
    return {a(i, 0), a(i, 1), a(i, 2)};
}

/// det(a) a^-1, which exists for every a.
inline Matrix3 adjugate(const Matrix3& a) {
    const Vector3 x = cross(row(a, 1), row(a, 2)), y = cross(row(a, 2), row(a, 0)),
                  z = cross(row(a, 0), row(a, 1));
    return {{x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]}};
}

inline double determinant(const Matrix3& a) {
    return dot(row(a, 0), cross(row(a, 1), row(a, 2)));
}

/// The trace of a b.
inline double trace_of_product(const Matrix3& a, const Matrix3& b) {
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j) sum += a(i, j) * b(j, i);
    return sum;
}

inline Matrix3 scaled(Matrix3 a, double by) {
    for (double& x : a.of) x *= by;
    return a;
}

inline double norm(const Matrix3& a) {
    double squares = 0;
    for (const double x : a.of) squares += x * x;
    return std::sqrt(squares);
}

/// With norm 1, whatever the size of its entries. Requires one that is not 0.
inline Matrix3 normalized(const Matrix3& a) {
    double largest = 0;
    for (const double x : a.of) largest = std::max(largest, std::abs(x));
    const Matrix3 near_one = scaled(a, 1 / largest);
    return scaled(near_one, 1 / norm(near_one));
}

inline bool is_finite(const Matrix3& a) {
    for (const double x : a.of)
        if (!std::isfinite(x)) return false;
    return true;
}

}  // namespace trouvaille
