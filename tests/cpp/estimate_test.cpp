// SPDX-License-Identifier: Apache-2.0
#include "geometry/estimate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <numbers>
#include <optional>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "core/random_lanes.hpp"
#include "draw.hpp"
#include "geometry/point_pairs.hpp"
#include "geometry/ransac.hpp"
#include "geometry/solvers/affine.hpp"
#include "geometry/solvers/fundamental.hpp"
#include "geometry/solvers/homography.hpp"

using namespace trouvaille;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

constexpr GeometricModel models[] = {GeometricModel::similarity, GeometricModel::affine,
                                     GeometricModel::homography, GeometricModel::fundamental};
const Matrix3 homography{{0.9, 0.12, 30, -0.1, 1.1, -20, 1e-4, -2e-4, 1}};

Matrix3 truth(GeometricModel model) {
    if (model == GeometricModel::similarity) return {{0.9, 0.2, 30, -0.2, 0.9, -20, 0, 0, 1}};
    if (model == GeometricModel::affine) return {{0.9, 0.12, 30, -0.1, 1.1, -20, 0, 0, 1}};
    return homography;
}

// Matches of points in 640 x 480 pixels, of which every `every`-th is right. A scene that is not
// flat is seen by two cameras: each point is a plane's, moved along the line to an epipole.
struct Scene {
    std::vector<double> first, second;
    std::vector<bool> right;

    Scene(GeometricModel model, std::size_t n, std::size_t every, double noise = 0) {
        Random random(3, n);
        for (std::size_t k = 0; k < n; ++k) {
            const double x = 640 * random.uniform(), y = 480 * random.uniform();
            Vector3 q = truth(model) * Vector3{x, y, 1};
            if (model == GeometricModel::fundamental) {
                const double depth = 0.3 * random.uniform();
                for (std::size_t i = 0; i < 3; ++i) q[i] += depth * epipole[i];
            }
            right.push_back(k % every == 0);
            first.insert(first.end(), {x, y});
            const double u = q[0] / q[2] + noise * (random.uniform() - 0.5);
            const double v = q[1] / q[2] + noise * (random.uniform() - 0.5);
            second.push_back(right.back() ? u : 640 * random.uniform());
            second.push_back(right.back() ? v : 480 * random.uniform());
        }
    }

    static constexpr Vector3 epipole{900, 250, 1};
    std::size_t size() const { return right.size(); }
};

struct Found {
    Estimate estimate;
    std::vector<bool> inliers;
};

Found run(const std::vector<double>& first, const std::vector<double>& second, std::size_t columns,
          const EstimateOptions& options, const std::vector<double>& quality = {}) {
    const std::size_t n = first.size() / columns;
    const auto mask = std::make_unique<bool[]>(n);
    std::fill_n(mask.get(), n, true);  // must be overwritten
    Found found{estimate(rows_of(first, columns), rows_of(second, columns), quality, options,
                         {mask.get(), n}),
                {}};
    found.inliers.assign(mask.get(), mask.get() + n);
    return found;
}

bool is_empty(const Found& found) {
    const auto& numbers = found.estimate.model.of;
    return found.estimate.n_inliers == 0 && found.estimate.score == 0 &&
           !found.estimate.reason.empty() &&
           std::none_of(found.inliers.begin(), found.inliers.end(), [](bool b) { return b; }) &&
           std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isnan(x); });
}

}  // namespace

TEST(words_in_lanes_are_those_of_the_streams) {
    constexpr std::uint64_t seed = 0x1234'5678'9ABC'DEF0, item = 0xFFFF'FFFD;
    std::uint32_t words[4][8];
    first_words<8>(seed, item, words[0], 8);
    for (std::size_t l = 0; l < 8; ++l) {
        Random random(seed, item + l);
        for (const auto& word : words) CHECK_EQUAL(word[l], random.next());
    }
}

TEST(finds_each_model_among_wrong_matches) {
    for (const GeometricModel model : models)
        for_each_isa([&] {
            const Scene scene(model, 200, 2);
            const Found found = run(scene.first, scene.second, 2, {.model = model});
            CHECK_EQUAL(found.estimate.reason, "");
            CHECK(found.estimate.n_inliers >= 100);
            for (std::size_t k = 0; k < scene.size(); ++k) {
                if (!scene.right[k]) continue;
                CHECK(found.inliers[k]);
                const Point p{scene.first[2 * k], scene.first[2 * k + 1]},
                    q{scene.second[2 * k], scene.second[2 * k + 1]};
                const double square = model == GeometricModel::fundamental
                                          ? FundamentalModel::square(found.estimate.model, p, q)
                                          : HomographyModel::square(found.estimate.model, p, q);
                // Wrong matches that come near pull a fundamental matrix a little.
                CHECK(square < (model == GeometricModel::fundamental ? 0.25 : 1e-6));
            }
        });
}

template <class Model, class Solver>
std::int32_t explained(const PointPairs& points, const Matrix3& model) {
    const RansacOptions options;
    return Ransac<Model, Solver>(points, points.regular(), options).measure(model).inliers;
}

// Columns are padded to whole blocks, and what pads them is explained by nothing.
TEST(a_model_explains_no_more_matches_than_there_are) {
    std::vector<double> rows;
    for (int k = 0; k < 10; ++k) rows.insert(rows.end(), {k * 37 % 20 * 1.0, k * 11 % 17 * 1.0});
    const PointPairs points(rows_of(rows, 2), rows_of(rows, 2), true, 0);
    const Matrix3 identity{{1, 0, 0, 0, 1, 0, 0, 0, 1}}, sideways{{0, 0, 0, 0, 0, -1, 0, 1, 0}};
    for_each_isa([&] {
        CHECK_EQUAL((explained<AffineModel, AffineThroughPoints>(points, identity)), 10);
        CHECK_EQUAL((explained<HomographyModel, HomographyThroughPoints>(points, identity)), 10);
        CHECK_EQUAL((explained<FundamentalModel, FundamentalThroughPoints>(points, sideways)), 10);
    });
}

TEST(the_same_bits_on_every_instruction_set) {
    for (const GeometricModel model : models) {
        const Scene scene(model, 301, 3, 2.0);
        std::optional<Found> once;
        for_each_isa([&] {
            const Found found = run(scene.first, scene.second, 2, {.model = model, .seed = 5});
            if (!once) once = found;
            CHECK(found.estimate.model.of == once->estimate.model.of);
            CHECK(found.inliers == once->inliers);
            CHECK_EQUAL(found.estimate.trials, once->estimate.trials);
            CHECK_EQUAL(found.estimate.score, once->estimate.score);
        });
    }
}

TEST(says_why_there_is_nothing) {
    const std::vector<double> none, two{0, 0, 9, 5};
    std::vector<double> line, point;
    for (int i = 0; i < 20; ++i) {
        line.insert(line.end(), {3.0 * i, 2.0 * i});
        point.insert(point.end(), {7, 8});
    }
    for (const GeometricModel model : models) {
        CHECK(is_empty(run(none, none, 2, {.model = model})));
        CHECK(is_empty(run(point, point, 2, {.model = model})));
        if (model == GeometricModel::similarity) continue;
        CHECK(is_empty(run(two, two, 2, {.model = model})));
        CHECK(is_empty(run(line, line, 2, {.model = model})));
    }
}

TEST(claims_nothing_of_random_matches) {
    for (const GeometricModel model : models) {
        std::size_t claimed = 0;
        for (std::uint64_t trial = 0; trial < 50; ++trial) {
            Random random(trial, 0);
            std::vector<double> first, second;
            for (int i = 0; i < 200; ++i) {
                first.insert(first.end(), {640 * random.uniform(), 480 * random.uniform()});
                second.insert(second.end(), {640 * random.uniform(), 480 * random.uniform()});
            }
            claimed += is_empty(run(first, second, 2, {.model = model, .max_trials = 500})) ? 0 : 1;
        }
        CHECK(claimed <= 2);
    }
}

// Numbers that are awkward together: few, far, tiny, equal.
TEST(survives_ten_thousand_hostile_inputs) {
    constexpr double awkward[] = {0, -0.0, 1, 1, 2, 1e-300, 1e18, -1e18, 1e-9, 0.5, 1e9, 3};
    constexpr double thresholds[] = {1e-300, 1e-9, 0.5, 3, 1e4, 1e300};
    for (std::uint64_t trial = 0; trial < 10'000; ++trial) {
        Random random(99, trial);
        const std::size_t n = random.below(40), columns = random.below(2) == 0 ? 2 : 6;
        const std::uint64_t kind = random.below(4);
        const auto number = [&]() -> double {
            if (kind == 0) return awkward[random.below(std::size(awkward))];
            if (kind == 1) return static_cast<double>(random.below(3));
            if (kind == 2) return 1000 * random.uniform();
            return 1e18 * (random.uniform() - 0.5);
        };
        std::vector<double> first(n * columns), second(n * columns), quality;
        std::generate(first.begin(), first.end(), number);
        std::generate(second.begin(), second.end(), number);
        if (random.below(3) == 0) second = first;
        if (random.below(3) == 0) std::generate_n(std::back_inserter(quality), n, number);
        const EstimateOptions options{
            .model = models[trial % 4],
            .scoring = random.below(2) == 0 ? EstimateScoring::msac : EstimateScoring::magsac,
            .residual_threshold = thresholds[random.below(std::size(thresholds))],
            .max_trials = 1 + random.below(200),
            .confidence = random.below(2) == 0 ? 0.999 : 1e-9,
            .seed = trial};
        const Found found = run(first, second, columns, options, quality);
        const auto n_inliers =
            static_cast<std::size_t>(std::count(found.inliers.begin(), found.inliers.end(), true));
        CHECK_EQUAL(n_inliers, found.estimate.n_inliers);
        CHECK(is_finite(found.estimate.model) == found.estimate.reason.empty());
        CHECK(std::isfinite(found.estimate.score));
        if (!found.estimate.reason.empty()) CHECK(is_empty(found));
    }
}
