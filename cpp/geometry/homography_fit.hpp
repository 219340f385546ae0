// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "core/interrupt.hpp"
#include "geometry/solvers.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {

struct HomographyFit {
    Homography transform;  ///< depth 1 at the weighted mean of p, positive at every p
    double squares;        ///< the weighted sum of squared residuals, in the image
    /// How well its two projective numbers are known: with coordinates scaled to a root mean square
    /// of 1, an error of e in each q moves the edge of the region by about e / sqrt(information).
    double information;
};

namespace detail {

// Weighted least squares of q - (h1 . p, h2 . p) / (h3 . p) by steps of Gauss and Newton, where p
// and q are centred and of root mean square 1, and h33 is 1.
class HomographyStep {
  public:
    using Vector = std::array<double, 8>;  // h11 h12 h13 h21 h22 h23 h31 h32

    // False if some point is on the horizon or beyond.
    bool add(const Vector& h, const WeightedPair& pair) {
        const auto [x, y] = pair.p;
        const double w = h[6] * x + h[7] * y + 1;
        if (!(w > 1e-6)) return false;
        const double u = (h[0] * x + h[1] * y + h[2]) / w, v = (h[3] * x + h[4] * y + h[5]) / w;
        const double a = x / w, b = y / w, c = 1 / w;
        add_row({a, b, c, 0, 0, 0, -a * u, -b * u}, pair.q.x - u, pair.weight);
        add_row({0, 0, 0, a, b, c, -a * v, -b * v}, pair.q.y - v, pair.weight);
        return true;
    }
    double squares() const { return squares_; }

    // Factors the normal matrix, by Cholesky; false if it is singular.
    bool factor() {
        for (std::size_t i = 0; i < 8; ++i)
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = normal_[i][j];
                for (std::size_t k = 0; k < j; ++k) sum -= normal_[i][k] * normal_[j][k];
                if (i != j) {
                    normal_[i][j] = sum / normal_[j][j];
                    continue;
                }
                if (!(sum > 1e-9 * normal_[i][i])) return false;
                normal_[i][i] = std::sqrt(sum);
            }
        return true;
    }

    // The smaller eigenvalue of what is left of the normal matrix for h31 and h32 when the affine
    // part is eliminated: L L' for the last two rows and columns of the factor L.
    double information() const {
        const double a = normal_[6][6] * normal_[6][6], b = normal_[6][6] * normal_[7][6],
                     c = normal_[7][6] * normal_[7][6] + normal_[7][7] * normal_[7][7];
        return (a + c) / 2 - std::sqrt((a - c) * (a - c) / 4 + b * b);
    }

    // Of the normal equations. Requires factor().
    Vector solution() const {
        Vector x = right_;
        for (std::size_t i = 0; i < 8; ++i) {
            for (std::size_t k = 0; k < i; ++k) x[i] -= normal_[i][k] * x[k];
            x[i] /= normal_[i][i];
        }
        for (std::size_t i = 8; i-- > 0;) {
            for (std::size_t k = i + 1; k < 8; ++k) x[i] -= normal_[k][i] * x[k];
            x[i] /= normal_[i][i];
        }
        return x;
    }

  private:
    void add_row(const Vector& row, double residual, double weight) {
        squares_ += weight * residual * residual;
        for (std::size_t i = 0; i < 8; ++i) {
            right_[i] += weight * row[i] * residual;
            for (std::size_t j = 0; j <= i; ++j) normal_[i][j] += weight * row[i] * row[j];
        }
    }

    double squares_ = 0;
    Vector right_{};
    double normal_[8][8] = {};  // its lower triangle, then that of its factor
};

// Coordinates with their weighted mean at the origin and a root mean square of 1.
struct Units {
    Point p_mean, q_mean;
    double p, q;

    Units(std::span<const WeightedPair> pairs, const Moments& m)
        : p_mean(m.p_mean), q_mean(m.q_mean) {
        double weight = 0;
        for (const WeightedPair& pair : pairs) weight += pair.weight;
        p = std::sqrt((m.xx + m.yy) / weight);
        q = std::sqrt(m.qq / weight);
    }

    WeightedPair scaled(const WeightedPair& pair) const {
        return {{(pair.p.x - p_mean.x) / p, (pair.p.y - p_mean.y) / p},
                {(pair.q.x - q_mean.x) / q, (pair.q.y - q_mean.y) / q},
                pair.weight};
    }
    // Requires an affine map that takes p_mean to q_mean.
    HomographyStep::Vector scaled(const Affine& t) const {
        const double s = p / q;
        return {t.a11 * s, t.a12 * s, 0, t.a21 * s, t.a22 * s, 0, 0, 0};
    }
    Homography unscaled(const HomographyStep::Vector& h) const {
        // h . scaled p = (row) . p, for each of the three rows.
        const auto row = [this](double x, double y, double one) -> std::array<double, 3> {
            return {x / p, y / p, one - (x * p_mean.x + y * p_mean.y) / p};
        };
        const auto u = row(h[0], h[1], h[2]), v = row(h[3], h[4], h[5]), w = row(h[6], h[7], 1);
        return {q * u[0] + q_mean.x * w[0],
                q * u[1] + q_mean.x * w[1],
                q * u[2] + q_mean.x * w[2],
                q * v[0] + q_mean.y * w[0],
                q * v[1] + q_mean.y * w[1],
                q * v[2] + q_mean.y * w[2],
                w[0],
                w[1],
                w[2]};
    }
};

}  // namespace detail

/// A homography by weighted least squares of distances in the image, from pairs and their moments.
/// Starts from the affine solution. None if fewer than five pairs, or all but one of them on a
/// line, leave it undetermined, or if a point comes to lie beyond the horizon.
/// Throws Interrupted (core/interrupt.hpp).
inline std::optional<HomographyFit> fit_homography(std::span<const WeightedPair> pairs,
                                                   const Moments& m, InterruptPoll& poll) {
    const auto affine = fit_affine(m);
    if (!affine || pairs.size() < 5) return std::nullopt;
    const detail::Units units(pairs, m);
    auto h = units.scaled(affine->transform);
    HomographyFit fit{};
    constexpr int max_steps = 5;
    for (int i = 0;; ++i) {
        detail::HomographyStep step;
        for (const WeightedPair& pair : pairs) {
            poll.did(2);
            if (!step.add(h, units.scaled(pair))) return std::nullopt;
        }
        const double before = std::exchange(fit.squares, step.squares() * units.q * units.q);
        if (i == max_steps || (i > 0 && fit.squares > (1 - 1e-6) * before)) break;
        if (!step.factor()) return std::nullopt;
        fit.information = step.information();
        const auto change = step.solution();
        for (std::size_t k = 0; k < h.size(); ++k) h[k] += change[k];
    }
    fit.transform = units.unscaled(h);
    return fit;
}

}  // namespace trouvaille
