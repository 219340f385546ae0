// SPDX-License-Identifier: Apache-2.0
#include "features/cs_lbp.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "features/scale_space.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;

namespace {

ScaleSpace space_of(const std::vector<std::uint8_t>& pixels, std::size_t width) {
    return {ImageView<const std::uint8_t>{pixels.data(), width, pixels.size() / width, width}, -1,
            1};
}

std::vector<std::uint8_t> describe(const ScaleSpace& space, const std::vector<Frame>& frames,
                                   int threads) {
    std::vector<std::uint8_t> bytes(frames.size() * cs_lbp_dimensions, 7);
    describe_cs_lbp(space, frames, {}, {bytes.data(), frames.size(), cs_lbp_dimensions}, threads);
    return bytes;
}

// Frames of any shape within and beyond the photo, and those that no detector makes.
std::vector<Frame> frames_around(Random& random, float width, float height) {
    std::vector<Frame> frames;
    const auto from = [&](float low, float high) {
        return low + (high - low) * static_cast<float>(random.below(1 << 20)) / (1 << 20);
    };
    for (std::size_t i = 0; i < 130; ++i) {
        const float scale = std::exp2(from(-2, 6));
        frames.push_back({scale * from(-1, 1), scale * from(-1, 1), from(-0.2F, 1.2F) * width,
                          scale * from(-1, 1), scale * from(-1, 1), from(-0.2F, 1.2F) * height});
    }
    constexpr float most = std::numeric_limits<float>::max();
    for (const float value : {0.0F, 1e-45F, 1e-20F, 1e20F, most, -most}) {
        frames.push_back({value, 0, 3, 0, value, 4});
        frames.push_back({value, value, value, -value, value, value});
        frames.push_back({2, 0, value, 0, 2, -value});
    }
    return frames;
}

}  // namespace

TEST(descriptors_are_the_same_on_every_instruction_set_and_thread) {
    Random random(1, 2);
    for (const auto& [width, height] :
         {std::pair<std::size_t, std::size_t>{61, 47}, {1, 1}, {1, 90}, {90, 1}, {3, 5}}) {
        const auto pixels = draw<std::uint8_t>(random, width * height, 256);
        const ScaleSpace space = space_of(pixels, width);
        const auto frames =
            frames_around(random, static_cast<float>(width), static_cast<float>(height));
        use_isa(Isa::scalar);
        const auto expected = describe(space, frames, 1);
        for_each_isa([&] {
            for (const int threads : {1, 5}) CHECK(describe(space, frames, threads) == expected);
        });
        CHECK(width * height == 1 ||
              std::any_of(expected.begin(), expected.end(), [](std::uint8_t b) { return b > 0; }));
    }
}

TEST(descriptors_have_a_length_of_512_or_none) {
    Random random(3, 4);
    const auto pixels = draw<std::uint8_t>(random, 64 * 48, 256);
    const auto frames = frames_around(random, 64, 48);
    const auto bytes = describe(space_of(pixels, 64), frames, 2);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        double squares = 0;
        for (std::size_t d = 0; d < cs_lbp_dimensions; ++d)
            squares += std::pow(bytes[i * cs_lbp_dimensions + d], 2);
        CHECK(squares == 0 || std::abs(std::sqrt(squares) - 512) < 10);
    }
}

TEST(a_flat_photo_has_descriptors_of_zeros) {
    Random random(5, 6);
    const std::vector<std::uint8_t> pixels(40 * 30, 93);
    const auto bytes = describe(space_of(pixels, 40), frames_around(random, 40, 30), 1);
    CHECK(std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; }));
}
