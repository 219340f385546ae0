// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "features/affine_shape.hpp"
#include "features/harris.hpp"
#include "features/hessian.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;

namespace {

using Detector = Keypoints (*)(const ScaleSpace&, std::size_t, float, int);
constexpr Detector detectors[] = {detect_hessian, detect_harris};

// Squares of `cell` pixels, each of one gray level.
std::vector<std::uint8_t> squares(std::size_t width, std::size_t height, std::size_t cell) {
    Random random(width, height);
    const auto levels = draw<std::uint8_t>(random, width * height, 256);
    std::vector<std::uint8_t> photo(width * height);
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
            photo[y * width + x] = levels[y / cell * width + x / cell];
    return photo;
}

ScaleSpace space_of(const std::vector<std::uint8_t>& photo, std::size_t width, int threads) {
    return {ImageView<const std::uint8_t>{photo.data(), width, photo.size() / width, width}, -1,
            threads};
}

bool equal(const Frame& a, const Frame& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

bool equal(const Keypoints& a, const Keypoints& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!equal(a[i].frame, b[i].frame) || a[i].response != b[i].response) return false;
    return true;
}

}  // namespace

TEST(regions_are_the_same_bits_everywhere) {
    for (const auto& [width, height] : {std::pair<std::size_t, std::size_t>{1, 1},
                                        {1, 300},
                                        {300, 1},
                                        {11, 11},
                                        {13, 90},
                                        {97, 61}}) {
        const auto photo = squares(width, height, 5);
        for (const Detector detect : detectors) {
            std::vector<Keypoints> found;
            std::vector<AffineShapes> shapes;
            for_each_isa([&] {
                for (const int threads : {1, 3}) {
                    const ScaleSpace space = space_of(photo, width, threads);
                    found.push_back(detect(space, 0, 1e-3F, threads));
                    shapes.push_back(affine_shapes(space, found.back(), {}, threads));
                }
            });
            CHECK(std::min(width, height) < 13 || !found[0].empty());
            for (std::size_t i = 0; i < found.size(); ++i) {
                CHECK(equal(found[i], found[0]));
                CHECK(shapes[i].outcomes == shapes[0].outcomes);
                for (std::size_t k = 0; k < found[0].size() && k < found[i].size(); ++k)
                    CHECK(equal(shapes[i].frames[k], shapes[0].frames[k]));
            }
        }
    }
}

TEST(hopeless_keypoints_have_no_shape) {
    constexpr std::size_t width = 40;
    const auto photo = squares(width, 30, 6);
    constexpr float inf = std::numeric_limits<float>::infinity(),
                    nan = std::numeric_limits<float>::quiet_NaN();
    for_each_isa([&] {
        const ScaleSpace space = space_of(photo, width, 1);
        Keypoints keypoints;
        for (const float scale : {0.0F, 1e-30F, 0.1F, 2.0F, 1e3F, 1e18F, 1e30F, inf, nan})
            for (const float x : {-1.0F, 0.0F, 20.0F, 39.0F, 40.0F, 1e30F, inf, nan})
                for (const float y : {-inf, -0.0F, 15.0F, 29.0F, 29.5F})
                    keypoints.push_back({{scale, 0, x, 0, scale, y}, 1});
        const AffineShapes shapes = affine_shapes(space, keypoints, {}, 1);
        for (std::size_t i = 0; i < keypoints.size(); ++i) {
            const Frame &given = keypoints[i].frame, &frame = shapes.frames[i];
            const bool inside = given.x >= 0 && given.x <= 39 && given.y >= 0 && given.y <= 29 &&
                                given.a11 > 0 && given.a11 < 70;
            CHECK_EQUAL(shapes.outcomes[i] != ShapeOutcome::outside, inside);
            if (shapes.outcomes[i] != ShapeOutcome::converged) {
                CHECK(equal(frame, given));
                continue;
            }
            CHECK_EQUAL(frame.a12, 0.0F);
            CHECK(frame.a11 > 0 && frame.a22 > 0);
            CHECK(std::abs(frame.scale() / given.scale() - 1) < 1e-3F);
        }
    });
}

TEST(octaves_may_be_left_out) {
    const auto photo = squares(120, 90, 7);
    const ScaleSpace space = space_of(photo, 120, 1);
    for (const Detector detect : detectors) {
        const Keypoints all = detect(space, 0, 1, 1), coarse = detect(space, 1, 1, 1);
        CHECK(!coarse.empty() && coarse.size() < all.size());
        for (const Keypoint& keypoint : coarse) CHECK(keypoint.frame.a11 > 1.7F);
        CHECK(detect(space, space.octaves(), 1, 1).empty());
    }
}
