// SPDX-License-Identifier: Apache-2.0
#include "geometry/estimate.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "geometry/a_contrario.hpp"
#include "geometry/plane_and_parallax.hpp"
#include "geometry/point_pairs.hpp"
#include "geometry/ransac.hpp"
#include "geometry/solvers/affine.hpp"
#include "geometry/solvers/from_frames.hpp"
#include "geometry/solvers/fundamental.hpp"
#include "geometry/solvers/homography.hpp"
#include "geometry/solvers/similarity.hpp"

namespace trouvaille {
namespace {

// Of the residual over the threshold, s: 1 - s^2, whose weights in least squares are equal.
constexpr Loss msac{{1, 0, -1}, {1}};

// MAGSAC++'s loss and weights, marginalised over a noise of up to threshold / 3.64 (which 99 % of
// the inliers of that noise are within, by the paper's chi distribution of four dimensions): least
// squares of degree eight in s, within 5e-4 and 7e-4.
constexpr Loss magsac{{1.00030526F, -0.0244476159F, -4.05089914F, -2.91286683F, 6.14577997F,
                       35.98889F, -82.8226695F, 64.171005F, -17.495548F},
                      {1.00041475F, -0.031909702F, 0.536151386F, -15.8023268F, 0.663865862F,
                       99.1512042F, -179.11724F, 126.249889F, -32.6507042F}};

double value_of(const float (&coefficients)[Loss::terms], double s) {
    std::size_t terms = Loss::terms;
    while (terms > 0 && coefficients[terms - 1] == 0) --terms;
    double value = 0;
    for (std::size_t i = terms; i-- > 0;) value = value * s + static_cast<double>(coefficients[i]);
    return std::clamp(value, 0.0, 1.0);
}

// Are the points on one line, or are they one point?
enum class Extent : std::uint8_t { point, line, plane };

Extent extent_of(std::span<const Point> points) {
    const auto n = static_cast<double>(points.size());
    Point mean{0, 0};
    for (const Point p : points) mean = {mean.x + p.x / n, mean.y + p.y / n};
    double xx = 0, xy = 0, yy = 0, largest = 0;
    for (const Point p : points) {
        const double x = p.x - mean.x, y = p.y - mean.y;
        largest = std::max({largest, std::abs(p.x), std::abs(p.y)});
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    const double rounding = 1e-24 * largest * largest * n;
    if (xx + yy <= rounding) return Extent::point;
    return xx * yy - xy * xy <= 1e-12 * (xx + yy) * (xx + yy) ? Extent::line : Extent::plane;
}

constexpr const char* chance = "no model explains more matches than chance would";

Estimate nothing(std::string reason, std::uint64_t trials = 0) {
    Estimate estimate;
    estimate.model.of.fill(std::numeric_limits<double>::quiet_NaN());
    estimate.trials = trials;
    estimate.reason = std::move(reason);
    return estimate;
}

class Estimator {
  public:
    Estimator(const PointPairs& points, std::span<const double> quality,
              const EstimateOptions& options, std::span<bool> inliers)
        : points_(points),
          options_(options),
          inliers_(inliers),
          scale_(points.of_second().scale),
          threshold_(options.residual_threshold * scale_),
          pool_(pool(quality)) {
        ransac_.threshold = threshold_;
        ransac_.max_trials = options.max_trials;
        ransac_.confidence = options.confidence;
        ransac_.seed = options.seed;
        ransac_.ordered = !quality.empty();
        ransac_.loss = options.scoring == EstimateScoring::msac ? msac : magsac;
    }

    template <class Model, class Solver>
    Estimate run() const {
        if (pool_.size() < Solver::sample_size) return nothing(too_few(Solver::sample_size));
        Ransac<Model, Solver> ransac(points_, pool_, ransac_);
        Consensus found = ransac.run();
        if constexpr (std::is_same_v<Model, FundamentalModel>)
            found = freed_from_plane(ransac, points_, ransac_);
        return report<Model>(found, Solver::sample_size);
    }

  private:
    // Places of the matches that samples are drawn from, best first.
    std::vector<std::uint32_t> pool(std::span<const double> quality) const {
        std::vector<std::uint32_t> places(points_.regular().begin(), points_.regular().end());
        if (quality.empty()) return places;
        std::vector<std::pair<double, std::uint32_t>> ranked;  // sorted faster than places alone
        for (const std::uint32_t k : places) ranked.emplace_back(-quality[points_.order()[k]], k);
        std::sort(ranked.begin(), ranked.end());
        std::transform(ranked.begin(), ranked.end(), places.begin(),
                       [](const auto& item) { return item.second; });
        return places;
    }

    std::string too_few(std::size_t needed) const {
        return std::to_string(pool_.size()) + " matches, of which " + std::to_string(needed) +
               " are needed";
    }

    // A map is determined by frames wherever they are.
    template <class Model>
    bool determined_by_frames() const {
        return points_.has_frames() && Model::residual_dimensions == 2;
    }

    // Why matches at these places determine nothing; empty if they may.
    template <class Model>
    std::string degeneracy(std::span<const std::uint32_t> places) const {
        std::vector<Point> points;
        for (const bool second : {false, true}) {
            points.clear();
            for (const std::uint32_t k : places)
                points.push_back(second ? points_.second(k) : points_.first(k));
            const Extent extent = extent_of(points);
            const std::string of = second ? " of the second photo" : " of the first photo";
            if (extent == Extent::point) return "all points" + of + " are one";
            if (extent == Extent::line && !std::is_same_v<Model, SimilarityModel>)
                return "all points" + of + " are on one line";
        }
        return {};
    }

    template <class Model>
    Estimate report(const Consensus& found, std::size_t sample_size) const {
        if (found.support.inliers == 0) {
            std::string reason =
                determined_by_frames<Model>() ? "" : degeneracy<Model>(points_.regular());
            if (reason.empty())
                reason = found.hypotheses > 0 ? chance : "no sample of matches determines a model";
            return nothing(std::move(reason), found.trials);
        }
        Estimate estimate;
        estimate.trials = found.trials;
        std::vector<std::uint32_t> explained;
        for (std::uint32_t k = 0; k < points_.size(); ++k) {
            const double residual =
                std::sqrt(Model::square(found.model, points_.first(k), points_.second(k)));
            if (!(residual <= threshold_) || !std::isfinite(residual)) continue;
            explained.push_back(k);
            estimate.score += value_of(ransac_.loss.gain, residual > 0 ? residual / threshold_ : 0);
        }
        const std::string reason =
            explained.empty() || determined_by_frames<Model>() ? "" : degeneracy<Model>(explained);
        if (!reason.empty())
            return nothing("of the matches that a model explains, " + reason, found.trials);
        if (!differ(explained, sample_size) || would_chance<Model>(explained, found.trials))
            return nothing(chance, found.trials);
        for (const std::uint32_t k : explained) inliers_[points_.order()[k]] = true;
        estimate.n_inliers = explained.size();
        estimate.model = in_pixels<Model>(found.model);
        return estimate;
    }

    // Are there so many different matches? One that is repeated says nothing new.
    bool differ(std::span<const std::uint32_t> places, std::size_t least) const {
        std::vector<std::array<double, 4>> different;
        for (const std::uint32_t k : places) {
            const Point p = points_.first(k), q = points_.second(k);
            const std::array<double, 4> match{p.x, p.y, q.x, q.y};
            if (std::find(different.begin(), different.end(), match) == different.end())
                different.push_back(match);
            if (different.size() >= least) return true;
        }
        return false;
    }

    // Would chance explain as many? A few of the explained often suffice to tell that it would not.
    // Whatever samples are of: a refined model goes through as many points as determine it.
    template <class Model>
    bool would_chance(std::span<const std::uint32_t> explained, std::uint64_t trials) const {
        constexpr std::size_t few = 32, dimensions = Model::residual_dimensions;
        constexpr std::size_t determining = Model::freedom / dimensions;
        if (explained.size() == points_.size()) return false;
        const double p = chance_of_a_match(points_, threshold_, dimensions);
        const auto of = [&](std::size_t n) {
            const double cell = std::max(4 * threshold_, 1e-12);
            return is_chance(independent(points_, explained.first(n), cell), points_.size(),
                             determining, Model::freedom, p, trials);
        };
        return of(std::min(few, explained.size())) &&
               (explained.size() <= few || of(explained.size()));
    }

    template <class Model>
    Matrix3 in_pixels(const Matrix3& m) const {
        const Matrix3 to_first = points_.of_first().matrix();
        if constexpr (Model::residual_dimensions == 1) {
            const Matrix3 f = transposed(points_.of_second().matrix()) * m * to_first;
            return normalized(f);
        } else {
            const Matrix3 h = points_.of_second().inverse() * m * to_first;
            if (h.of[6] == 0 && h.of[7] == 0) return scaled(h, 1 / h.of[8]);
            Matrix3 unit = normalized(h);
            if (const double last = unit.of[8]; std::abs(last) > 1e-9)
                for (double& x : unit.of) x /= last;
            return unit;
        }
    }

    const PointPairs& points_;
    const EstimateOptions& options_;
    std::span<bool> inliers_;
    double scale_, threshold_;
    std::vector<std::uint32_t> pool_;
    RansacOptions ransac_;
};

}  // namespace

Estimate estimate(MatrixView<const double> first, MatrixView<const double> second,
                  std::span<const double> quality, const EstimateOptions& options,
                  std::span<bool> inliers) {
    assert(first.rows == second.rows && inliers.size() == first.rows);
    std::fill(inliers.begin(), inliers.end(), false);
    if (first.rows == 0) return nothing("there are no matches");
    const bool alike = options.model == GeometricModel::fundamental;
    const PointPairs points(first, second, alike, options.seed);
    const Estimator estimator(points, quality, options, inliers);
    const bool frames = first.cols == 6;
    switch (options.model) {
        case GeometricModel::similarity:
            return frames ? estimator.run<SimilarityModel, SimilarityFromFrame>()
                          : estimator.run<SimilarityModel, SimilarityThroughPoints>();
        case GeometricModel::affine:
            return frames ? estimator.run<AffineModel, AffineFromFrame>()
                          : estimator.run<AffineModel, AffineThroughPoints>();
        case GeometricModel::homography:
            return frames ? estimator.run<HomographyModel, HomographyFromFrames>()
                          : estimator.run<HomographyModel, HomographyThroughPoints>();
        case GeometricModel::fundamental:
            return frames ? estimator.run<FundamentalModel, FundamentalFromFrames>()
                          : estimator.run<FundamentalModel, FundamentalThroughPoints>();
    }
    return {};
}

}  // namespace trouvaille
