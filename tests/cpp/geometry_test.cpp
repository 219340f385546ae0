// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numbers>
#include <optional>
#include <vector>

#include "check.hpp"
#include "core/interrupt.hpp"
#include "draw.hpp"
#include "geometry/fits.hpp"
#include "geometry/homography_fit.hpp"
#include "geometry/transforms.hpp"
#include "geometry/verify.hpp"

using namespace trouvaille;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

constexpr std::size_t n_candidates = 100, n_matches = 100, n_true = 10;

double between(Random& random, double low, double high) {
    return low + (high - low) * random.uniform();
}

// A rotation, scaled by 1 / 2 to 2, to somewhere in 640 x 480 pixels.
Affine draw_frame(Random& random) {
    const double angle = between(random, 0, 2 * std::numbers::pi);
    const double scale = std::exp2(between(random, -1, 1));
    const double a = scale * std::cos(angle), b = scale * std::sin(angle);
    return {a, -b, between(random, 0, 640), b, a, between(random, 0, 480)};
}

void append(std::vector<float>& rows, const Affine& t) {
    for (const double x : {t.a11, t.a12, t.b1, t.a21, t.a22, t.b2})
        rows.push_back(static_cast<float>(x));
}

// Candidate i is the query seen through transforms[i]: every tenth match is true, the others lead
// to random frames at least 100 pixels from where they should. The last candidate has only such.
// Match 1 is match 0 again, which must not count twice.
struct Scene {
    std::vector<Affine> transforms, frames;
    std::vector<float> query, candidates;
    std::vector<std::int64_t> offsets{0};
    std::vector<std::int32_t> matches;

    explicit Scene(double shear) {
        Random random(11, 0);
        for (std::size_t j = 0; j < n_matches; ++j) {
            frames.push_back(compose(draw_frame(random), {8, 0, 0, 0, 8, 0}));
            append(query, frames.back());
        }
        for (std::size_t i = 0; i < n_candidates; ++i) {
            transforms.push_back(compose(draw_frame(random), {1, shear, 0, 0, 1, 0}));
            for (std::size_t j = 0; j < n_matches; ++j) {
                append(candidates,
                       candidate_frame(random, transforms[i], frames[j], is_true(i, j)));
                matches.insert(matches.end(), 2, j == 1 ? 0 : static_cast<std::int32_t>(j));
            }
            offsets.push_back(static_cast<std::int64_t>((i + 1) * n_matches));
        }
    }
    static bool is_true(std::size_t candidate, std::size_t match) {
        return candidate + 1 < n_candidates && match % (n_matches / n_true) == 0;
    }

    Shortlist view() const {
        return {
            rows_of(query, 6), rows_of(candidates, 6), offsets, rows_of(matches, 2), offsets, {}};
    }

  private:
    static Affine candidate_frame(Random& random, const Affine& transform, const Affine& frame,
                                  bool genuine) {
        const Affine image = compose(transform, frame);
        if (genuine) return image;
        for (;;) {
            const Affine other = compose(draw_frame(random), {8, 0, 0, 0, 8, 0});
            if (std::hypot(other.b1 - image.b1, other.b2 - image.b2) > 100) return other;
        }
    }
};

struct Verified {
    std::vector<std::int64_t> n_inliers = std::vector<std::int64_t>(n_candidates);
    std::vector<double> scores = std::vector<double>(n_candidates);
    std::vector<double> transforms = std::vector<double>(n_candidates * 9);
    std::vector<double> boxes = std::vector<double>(n_candidates * 4);
    std::unique_ptr<bool[]> inliers = std::make_unique<bool[]>(n_candidates * n_matches);

    Verified(const Scene& scene, TransformModel model, int threads) {
        verify(scene.view(), {model},
               {n_inliers,
                scores,
                {transforms.data(), n_candidates, 9},
                {inliers.get(), n_candidates * n_matches},
                {boxes.data(), n_candidates, 4}},
               threads);
    }
    bool same_bits(const Verified& other) const {
        const auto equal = [](const std::vector<double>& a, const std::vector<double>& b) {
            return std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
        };
        return n_inliers == other.n_inliers && equal(scores, other.scores) &&
               equal(transforms, other.transforms) && equal(boxes, other.boxes) &&
               std::equal(inliers.get(), inliers.get() + n_candidates * n_matches,
                          other.inliers.get());
    }
};

// The query's true frames, seen in the candidate: x1 y1 x2 y2 of their ellipses.
std::array<double, 4> bounds(const Scene& scene, std::size_t candidate) {
    std::array<double, 4> box{1e9, 1e9, -1e9, -1e9};
    for (std::size_t j = 0; j < n_matches; ++j) {
        if (!Scene::is_true(candidate, j)) continue;
        const Affine f = compose(scene.transforms[candidate], scene.frames[j]);
        const double width = std::hypot(f.a11, f.a12), height = std::hypot(f.a21, f.a22);
        box = {std::min(box[0], f.b1 - width), std::min(box[1], f.b2 - height),
               std::max(box[2], f.b1 + width), std::max(box[3], f.b2 + height)};
    }
    return box;
}

void check_verified(double shear, TransformModel model) {
    const Scene scene(shear);
    const Verified plain(scene, model, 1);
    for (std::size_t i = 0; i < n_candidates; ++i) {
        const bool seen = i + 1 < n_candidates;
        CHECK_EQUAL(plain.n_inliers[i], seen ? std::int64_t{n_true} : 0);
        CHECK_EQUAL(plain.scores[i], seen ? double{n_true} : 0);
        for (std::size_t j = 0; j < n_matches; ++j)
            CHECK_EQUAL(plain.inliers[i * n_matches + j], Scene::is_true(i, j));
        if (!seen) {
            CHECK(std::isnan(plain.transforms[i * 9]) && std::isnan(plain.boxes[i * 4]));
            continue;
        }
        const Affine& t = scene.transforms[i];
        const double expected[] = {t.a11, t.a12, t.b1, t.a21, t.a22, t.b2, 0, 0, 1};
        for (std::size_t j = 0; j < 9; ++j)  // frames are rounded to float32
            CHECK(std::abs(plain.transforms[i * 9 + j] - expected[j]) < (j % 3 == 2 ? 1e-3 : 1e-5));
        for (std::size_t j = 0; j < 4; ++j)
            CHECK(std::abs(plain.boxes[i * 4 + j] - bounds(scene, i)[j]) < 0.01);
    }
    for_each_isa([&] {
        for (const int threads : {1, 5}) CHECK(Verified(scene, model, threads).same_bits(plain));
    });
}

constexpr Matrix3 projective{{0.9, 0.2, 30, -0.1, 1.1, 40, 4e-4, -3e-4, 1}};

std::vector<WeightedPair> seen_through(const Matrix3& h, const std::vector<Point>& points) {
    std::vector<WeightedPair> pairs;
    for (const Point p : points) pairs.push_back({p, apply(h, p), 1});
    return pairs;
}

std::optional<HomographyFit> fit(const std::vector<WeightedPair>& pairs) {
    InterruptPoll poll;
    return fit_homography(pairs, Moments::of(pairs), poll);
}

}  // namespace

TEST(fit_homography_recovers_the_map_of_exact_points) {
    const auto found =
        fit(seen_through(projective, {{10, 20}, {500, 30}, {480, 400}, {20, 410}, {250, 200}}));
    CHECK(found && found->squares < 1e-12 && found->information > 0.25);
    for (const Point p : {Point{0, 0}, Point{640, 0}, Point{640, 480}, Point{0, 480}}) {
        const Point expected = apply(projective, p), image = apply(found->transform, p);
        CHECK(std::hypot(image.x - expected.x, image.y - expected.y) < 1e-6);
    }
}

TEST(fit_homography_refuses_what_does_not_determine_one) {
    const std::vector<Point> line{{0, 0}, {100, 50}, {200, 100}, {300, 150}, {400, 200}};
    std::vector<Point> line_and_point = line, four{{10, 20}, {500, 30}, {480, 400}, {20, 410}};
    line_and_point.push_back({100, 300});
    for (const auto& points : {line, line_and_point, four})
        CHECK(!fit(seen_through(projective, points)));
    auto one_spot = seen_through(projective, std::vector<Point>(6, Point{7, 8}));
    CHECK(!fit(one_spot));
}

TEST(tangent_touches_its_homography) {
    const Point p{120, 340}, q = apply(projective, p);
    const Affine t = tangent(projective, p);
    CHECK(std::hypot(apply(t, p).x - q.x, apply(t, p).y - q.y) < 1e-9);
    for (const Point step : {Point{1e-4, 0}, Point{0, 1e-4}}) {
        const Point near{p.x + step.x, p.y + step.y}, a = apply(t, near),
                                                      b = apply(projective, near);
        CHECK(std::hypot(a.x - b.x, a.y - b.y) < 1e-9);
    }
}

TEST(bounds_of_an_ellipse_seen_through_a_homography_touch_it) {
    const Affine frame{40, 10, 200, -15, 60, 300};
    const Box box = bounds(projective, frame);
    Box seen;
    for (int i = 0; i < 100'000; ++i) {
        const double angle = i * 2 * std::numbers::pi / 100'000;
        const Point q = apply(projective, apply(frame, {std::cos(angle), std::sin(angle)}));
        seen.include({q.x, q.y, q.x, q.y});
    }
    CHECK(std::abs(box.x1 - seen.x1) + std::abs(box.y1 - seen.y1) < 1e-6);
    CHECK(std::abs(box.x2 - seen.x2) + std::abs(box.y2 - seen.y2) < 1e-6);
}

TEST(verify_recovers_similarities_among_outliers) {
    check_verified(0, TransformModel::similarity);
    check_verified(0, TransformModel::affine);
}

TEST(verify_recovers_affine_maps_among_outliers) {
    check_verified(0.4, TransformModel::affine);
    check_verified(0.4, TransformModel::homography);
}
