// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/random.hpp"
#include "geometry/ransac.hpp"
#include "geometry/solvers/fundamental.hpp"
#include "geometry/solvers/homography.hpp"

namespace trouvaille {

namespace plane_and_parallax_detail {

constexpr std::uint64_t plane_trials = 500, parallax_trials = 500;

/// The matches that a model explains, or those that it does not, within a squared residual.
template <class Model>
std::vector<std::uint32_t> places_where(const PointPairs& points, const Matrix3& model,
                                        double limit, bool explained) {
    std::vector<std::uint32_t> places;
    for (const std::uint32_t k : points.regular())
        if ((Model::square(model, points.first(k), points.second(k)) <= limit) == explained)
            places.push_back(k);
    return places;
}

/// The fundamental matrices with a given homography of a plane are [e]x H: two matches off the
/// plane determine the epipole, where the lines through their points and those that H maps them to
/// meet.
inline Matrix3 through_two(const PointPairs& points, const Matrix3& h, std::uint32_t i,
                           std::uint32_t j) {
    const auto line = [&](std::uint32_t k) {
        const Point p = points.first(k), q = points.second(k);
        return cross(Vector3{q.x, q.y, 1}, h * Vector3{p.x, p.y, 1});
    };
    const Vector3 e = cross(line(i), line(j));
    return Matrix3{{0, -e[2], e[1], e[2], 0, -e[0], -e[1], e[0], 0}} * h;
}

}  // namespace plane_and_parallax_detail

/// What `ransac` found, unless most of it is on a plane: then any matrix that agrees with the plane
/// explains that much, whatever it says of the rest. So matrices that have the plane's homography
/// are made from pairs of matches off it, and the best takes the place of the one found if it
/// explains more.
///
/// Chum, Werner, Matas. Two-view geometry estimation unaffected by a dominant plane. CVPR 2005. The
/// plane is looked for once, among the inliers, instead of in each sample.
template <class Solver>
Consensus freed_from_plane(Ransac<FundamentalModel, Solver>& ransac, const PointPairs& points,
                           RansacOptions options) {
    using namespace plane_and_parallax_detail;
    const double limit = options.threshold * options.threshold;
    const Consensus found = ransac.best();
    const auto inliers = places_where<FundamentalModel>(points, found.model, limit, true);
    constexpr std::size_t fewest = 7;
    if (inliers.size() <= fewest) return found;
    options.max_trials = plane_trials;
    options.ordered = false;
    Ransac<HomographyModel, HomographyThroughPoints> flat(points, inliers, options);
    const Consensus plane = flat.run();
    if (2 * static_cast<std::size_t>(plane.support.inliers) < inliers.size()) return found;
    const auto off = places_where<HomographyModel>(points, plane.model, 4 * limit, false);
    if (off.size() < 2) return found;
    Random random(options.seed, ~std::uint64_t{1});  // another stream than the trials'
    Consensus best;
    for (std::uint64_t trial = 0; trial < parallax_trials; ++trial) {
        const std::uint32_t i = off[random.below(off.size())], j = off[random.below(off.size())];
        const Matrix3 f = through_two(points, plane.model, i, j);
        const double size = norm(f);
        if (!(size > 0) || !std::isfinite(size)) continue;
        const Matrix3 model = scaled(f, 1 / size);
        const Support support = ransac.measure(model);
        if (support.gain > best.support.gain) best = {model, support};
    }
    if (best.support.gain > 0) ransac.consider(best);
    return ransac.finished();
}

}  // namespace trouvaille
