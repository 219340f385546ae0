// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>

#include "geometry/fits.hpp"
#include "geometry/least_squares.hpp"
#include "geometry/matrix3.hpp"

namespace trouvaille {

/// A step of Gauss and Newton from a homography h whose last entry is 1, with respect to its other
/// eight, on the weighted squared distances in the image.
///
/// Rows of the Jacobian are (a, 0, -u b) and (0, a, -v b), where a = (x, y, 1) / w, b is a without
/// its last entry, and (u, v) the image of (x, y). So the normal matrix has blocks that are equal,
/// and is summed by its 21 different entries.
class HomographyStep {
  public:
    explicit HomographyStep(const Matrix3& h) : h_(h) {}

    /// False, and nothing added, if p is on the horizon of h or beyond.
    bool add(const WeightedPair& pair) {
        const auto& [p, q, weight] = pair;
        const Vector3 image = h_ * Vector3{p.x, p.y, 1};
        if (!(image[2] > nearest_depth)) return false;
        const double inverse = 1 / image[2];
        const double a[3] = {p.x * inverse, p.y * inverse, inverse};
        const double u = image[0] * inverse, v = image[1] * inverse;
        const double du = q.x - u, dv = q.y - v;
        for (std::size_t i = 0, k = 0, l = 0; i < 3; ++i) {
            const double wa = weight * a[i];
            for (std::size_t j = 0; j <= i; ++j) aa_[k++] += wa * a[j];
            for (std::size_t j = 0; j < 2; ++j, ++l) {
                ua_[l] += wa * a[j] * u;
                va_[l] += wa * a[j] * v;
            }
            au_[i] += wa * du;
            av_[i] += wa * dv;
        }
        const double squares = weight * (u * u + v * v), rest = weight * (u * du + v * dv);
        bb_[0] += squares * a[0] * a[0];
        bb_[1] += squares * a[0] * a[1];
        bb_[2] += squares * a[1] * a[1];
        b_[0] += rest * a[0];
        b_[1] += rest * a[1];
        squares_ += weight * (du * du + dv * dv);
        return true;
    }

    /// The weighted sum of squared residuals, of h.
    double squares() const { return squares_; }

    /// h after the step; false, and h as it was, where that is not determined (see solve).
    bool take(Matrix3& h, double tolerance) {
        NormalEquations<8> e = equations();
        if (!solve(e, tolerance)) return false;
        // The normal matrix is L D L^T: what is left for h31 and h32 when the affine part is
        // eliminated. Its smaller eigenvalue:
        const double a = e.a[6][6], b = a * e.a[7][6], c = b * e.a[7][6] + e.a[7][7];
        information_ = (a + c) / 2 - std::sqrt((a - c) * (a - c) / 4 + b * b);
        for (std::size_t i = 0; i < 8; ++i) h.of[i] = h_.of[i] + e.b[i];
        h.of[8] = 1;
        return true;
    }

    /// How well h31 and h32 are known: that eigenvalue. After `take`.
    double information() const { return information_; }

  private:
    static constexpr double nearest_depth = 1e-6;

    NormalEquations<8> equations() const {
        NormalEquations<8> e;
        for (std::size_t i = 0, k = 0; i < 3; ++i) {
            for (std::size_t j = 0; j <= i; ++j, ++k) e.a[i][j] = e.a[3 + i][3 + j] = aa_[k];
            for (std::size_t j = 0; j < 2; ++j) {
                e.a[6 + j][i] = -ua_[2 * i + j];
                e.a[6 + j][3 + i] = -va_[2 * i + j];
            }
            e.b[i] = au_[i];
            e.b[3 + i] = av_[i];
        }
        e.a[6][6] = bb_[0];
        e.a[7][6] = bb_[1];
        e.a[7][7] = bb_[2];
        e.b[6] = -b_[0];
        e.b[7] = -b_[1];
        return e;
    }

    Matrix3 h_;
    double squares_ = 0, information_ = 0;
    double aa_[6] = {}, ua_[6] = {}, va_[6] = {}, bb_[3] = {}, au_[3] = {}, av_[3] = {}, b_[2] = {};
};

}  // namespace trouvaille
