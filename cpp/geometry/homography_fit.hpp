// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "core/interrupt.hpp"
#include "geometry/fits.hpp"
#include "geometry/homography_step.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {

struct HomographyFit {
    Matrix3 transform;  ///< depth 1 at the weighted mean of p, positive at every p
    double squares;     ///< the weighted sum of squared residuals, in the image
    /// How well its two projective numbers are known: with coordinates scaled to a root mean square
    /// of 1, an error of e in each q moves the edge of the region by about e / sqrt(information).
    double information;
};

namespace detail {

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
    Matrix3 scaled(const Affine& t) const {
        const double s = p / q;
        return {{t.a11 * s, t.a12 * s, 0, t.a21 * s, t.a22 * s, 0, 0, 0, 1}};
    }
    Matrix3 unscaled(const Matrix3& h) const {
        return Matrix3{{q, 0, q_mean.x, 0, q, q_mean.y, 0, 0, 1}} * h *
               Matrix3{{1 / p, 0, -p_mean.x / p, 0, 1 / p, -p_mean.y / p, 0, 0, 1}};
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
    Matrix3 h = units.scaled(affine->transform);
    HomographyFit fit{};
    constexpr int max_steps = 5;
    constexpr double tolerance = 1e-9;
    for (int i = 0;; ++i) {
        HomographyStep step(h);
        for (const WeightedPair& pair : pairs) {
            poll.did(2);
            if (!step.add(units.scaled(pair))) return std::nullopt;
        }
        const double before = std::exchange(fit.squares, step.squares() * units.q * units.q);
        if (i == max_steps || (i > 0 && fit.squares > (1 - 1e-6) * before)) break;
        if (!step.take(h, tolerance)) return std::nullopt;
        fit.information = step.information();
    }
    fit.transform = units.unscaled(h);
    return fit;
}

}  // namespace trouvaille
