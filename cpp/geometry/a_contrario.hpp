// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "geometry/point_pairs.hpp"

namespace trouvaille {

/// How many of some matches say something of their own: no two are counted whose points are in the
/// same cell of a grid, in either photo. A feature with two orientations, a feature that is
/// everybody's nearest, and a match that is repeated count once.
std::size_t independent(const PointPairs& points, std::span<const std::uint32_t> places,
                        double cell);

/// The chance that a wrong match's second point is within `distance` of a given point (dimensions
/// 2) or line (1), if that is where second points are: from how many pairs of them are near each
/// other, so that neither a point far away nor crowding makes it look smaller than it is.
double chance_of_a_match(const PointPairs& points, double distance, std::size_t dimensions);

/// A contrario: of that many models, each through `sample_size` of n matches, does the best explain
/// so many of the others by chance, at most once in 100 times? Chernoff's bound of the binomial
/// tail. Models through the same sample are one, so no more are counted than there are samples; but
/// refining finds the best of many about each: e more for each of the `freedom` numbers that a
/// model has, as random matches show.
///
/// Moisan, Stival. A probabilistic criterion to detect rigid point matches between two images. IJCV
/// 2004.
bool is_chance(std::size_t n_inliers, std::size_t n, std::size_t sample_size, std::size_t freedom,
               double chance, std::uint64_t models);

}  // namespace trouvaille
