// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "check.hpp"
#include "draw.hpp"
#include "features/dog.hpp"
#include "features/gaussian.hpp"
#include "features/orientation.hpp"
#include "features/patch.hpp"
#include "features/scale_space.hpp"
#include "features/select.hpp"
#include "features/sift.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;

namespace {

struct Size {
    std::size_t width, height;
};

constexpr Size sizes[] = {{1, 1},   {16, 3},  {48, 7},  {16, 16}, {1, 2},   {2, 1},
                          {7, 9},   {8, 8},   {10, 11}, {11, 10}, {11, 11}, {15, 40},
                          {16, 40}, {17, 40}, {31, 33}, {33, 31}, {63, 20}, {64, 20},
                          {65, 20}, {300, 3}, {3, 300}, {129, 70}};

template <class T>
struct Image {
    std::size_t width, height;
    std::vector<T> pixels;

    Image(Size size, std::uint64_t seed) : width(size.width), height(size.height) {
        Random random(17, seed);
        pixels = draw<T>(random, width * height, 256);
    }
    ImageView<const T> view() const { return {pixels.data(), width, height, width}; }
};

// Frames that the Python face lets through: any finite numbers. Every tenth is a sensible one.
std::vector<Frame> hostile_frames(std::size_t n, Size size) {
    constexpr float huge = std::numeric_limits<float>::max();
    constexpr float values[] = {0,      -0.0F, 1e-45F, 1e-38F, -1e-20F,  0.3F,  1,           -7,
                                4096,   1e7F,  -1e7F,  2.2e9F, -2.2e9F,  1e19F, -3e19F,      1e30F,
                                -1e38F, huge,  -huge,  1e-3F,  16777215, 3e9F,  -16777217.F, 1e12F};
    Random random(3, 1);
    std::vector<Frame> frames;
    for (std::size_t i = 0; i < n; ++i) {
        const auto any = [&] { return values[random.below(std::size(values))]; };
        const auto x = static_cast<float>(random.uniform() * static_cast<double>(size.width));
        const auto y = static_cast<float>(random.uniform() * static_cast<double>(size.height));
        const auto a = static_cast<float>(0.5 + 6 * random.uniform()), b = a / 3;
        frames.push_back(i % 10 == 0  ? Frame{a, b, x, -b, a, y}
                         : i % 10 < 4 ? Frame{any(), any(), x, any(), any(), y}
                         : i % 10 < 6 ? Frame{a, b, any(), -b, a, any()}
                                      : Frame{any(), any(), any(), any(), any(), any()});
    }
    return frames;
}

// Their centres moved into the photo, where a detector finds them.
std::vector<Frame> within(std::vector<Frame> frames, Size size) {
    for (Frame& frame : frames) {
        frame.x = std::clamp(frame.x, 0.0F, static_cast<float>(size.width - 1));
        frame.y = std::clamp(frame.y, 0.0F, static_cast<float>(size.height - 1));
    }
    return frames;
}

template <class T>
void append(std::vector<std::byte>& bytes, const std::vector<T>& items) {
    const auto* data = reinterpret_cast<const std::byte*>(items.data());
    bytes.insert(bytes.end(), data, data + items.size() * sizeof(T));
}

// The bits of all that is made of a photo.
template <class T>
std::vector<std::byte> everything(const Image<T>& photo, int first_octave, int threads) {
    std::vector<std::byte> bytes;
    const ScaleSpace space(photo.view(), first_octave, threads);
    CHECK(space.octaves() >= (first_octave < 0 ? 2 : 1));
    for (const Layer& layer : space.layers())
        for (std::size_t y = 0; y < layer.image.height; ++y)
            append(bytes,
                   std::vector<float>(layer.image.row(y), layer.image.row(y) + layer.image.width));
    const Keypoints found = detect_dog(space, {0.5F, 10}, threads);
    std::vector<Frame> frames = hostile_frames(60, {photo.width, photo.height});
    std::vector<float> responses(frames.size(), 1);
    for (const Keypoint& keypoint : found) {
        frames.push_back(keypoint.frame);
        responses.push_back(keypoint.response);
    }
    append(bytes, frames);
    append(bytes, responses);
    for (const std::size_t most : {std::size_t{1}, std::size_t{40}, frames.size()})
        for (const bool spread : {false, true}) {
            const auto kept = select(within(frames, {photo.width, photo.height}), responses,
                                     photo.width, photo.height, {most, {}, spread});
            CHECK(kept.size() <= most);
            append(bytes, kept);
        }
    const Oriented oriented = orient(space, frames, {}, threads);
    CHECK(oriented.frames.size() == oriented.sources.size());
    append(bytes, oriented.sources);
    append(bytes, oriented.frames);
    for (const std::vector<Frame>& described : {frames, oriented.frames})
        for (const float magnification : {1e-3F, 3.0F, 1000.0F}) {
            std::vector<std::uint8_t> descriptors(described.size() * sift_dimensions);
            describe_sift(space, described, {magnification, magnification < 5},
                          {descriptors.data(), described.size(), sift_dimensions}, threads);
            append(bytes, descriptors);
        }
    return bytes;
}

// A double loop.
std::vector<double> blurred(const Image<float>& image, const std::vector<float>& taps) {
    const auto radius = static_cast<std::ptrdiff_t>(taps.size()) - 1;
    const auto along = [&](const std::vector<double>& from, bool rows) {
        std::vector<double> to(from.size());
        for (std::size_t y = 0; y < image.height; ++y)
            for (std::size_t x = 0; x < image.width; ++x)
                for (std::ptrdiff_t k = -radius; k <= radius; ++k) {
                    std::ptrdiff_t i = static_cast<std::ptrdiff_t>(rows ? x : y) + k;
                    const auto n = static_cast<std::ptrdiff_t>(rows ? image.width : image.height);
                    while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * (n - 1) - i;
                    const std::size_t at = n == 1 ? 0 : static_cast<std::size_t>(i);
                    to[y * image.width + x] +=
                        static_cast<double>(taps[static_cast<std::size_t>(std::abs(k))]) *
                        (rows ? from[y * image.width + at] : from[at * image.width + x]);
                }
        return to;
    };
    return along(along({image.pixels.begin(), image.pixels.end()}, false), true);
}

}  // namespace

TEST(taps_are_a_gaussian_of_a_cut_spectrum) {
    for (const double sigma : {0.3, 0.6, 0.72, 1.0, 1.2, 1.72, 3.1, 8.0}) {
        const std::vector<float> taps = gaussian_taps(sigma);
        CHECK_EQUAL(taps.size() - 1,
                    std::max(std::size_t{6}, static_cast<std::size_t>(std::ceil(3.5 * sigma))));
        constexpr int steps = 20'000;
        std::vector<double> right(taps.size());
        for (int i = 0; i < steps; ++i) {
            const double w = std::numbers::pi * (i + 0.5) / steps;
            for (std::size_t k = 0; k < right.size(); ++k)
                right[k] +=
                    std::exp(-w * w * sigma * sigma / 2) * std::cos(w * static_cast<double>(k));
        }
        if (sigma < 1.3) right.back() /= 2;  // a cut spectrum rings
        const double total = 2 * std::accumulate(right.begin(), right.end(), 0.0) - right[0];
        double sum = 0;
        for (std::size_t k = 0; k < taps.size(); ++k) {
            CHECK(std::abs(taps[k] - right[k] / total) < 2e-6);
            sum += (k == 0 ? 1.0 : 2.0) * taps[k];
        }
        CHECK(std::abs(sum - 1) < 1e-6);
    }
}

TEST(a_blur_equals_a_double_loop) {
    for (const Size size : sizes)
        for (const std::size_t radius : {0, 1, 6, 40}) {
            const Image<float> image(size, radius);
            Random random(5, radius);
            std::vector<float> taps(radius + 1);
            for (float& tap : taps)
                tap = static_cast<float>(random.uniform()) / static_cast<float>(2 * radius + 1);
            const std::vector<double> expected = blurred(image, taps);
            const std::size_t stride = padded_stride(size.width);
            for_each_isa([&] {
                for (const int threads : {1, 3}) {
                    std::vector<float> to(stride * size.height,
                                          std::numeric_limits<float>::quiet_NaN());
                    blur(image.view(), {to.data(), size.width, size.height, stride}, taps, threads);
                    CHECK(std::ranges::all_of(to, [](float v) { return std::isfinite(v); }));
                    double worst = 0;
                    for (std::size_t y = 0; y < size.height; ++y)
                        for (std::size_t x = 0; x < size.width; ++x)
                            worst = std::max(
                                worst, std::abs(to[y * stride + x] - expected[y * size.width + x]));
                    CHECK(worst <= 255 * 1e-6);
                }
            });
        }
}

TEST(rows_are_padded_to_odd_multiples_of_16) {
    for (std::size_t width = 1; width < 300; ++width) {
        const std::size_t stride = padded_stride(width);
        CHECK(stride >= width && stride < width + 32 && stride % 16 == 0 && stride / 16 % 2 == 1);
    }
}

TEST(indices_are_mirrored_as_often_as_it_takes) {
    CHECK_EQUAL(mirrored(-5, 1), std::size_t{0});
    CHECK_EQUAL(mirrored(1'000'000, 1), std::size_t{0});
    for (std::size_t n = 2; n < 9; ++n)
        for (std::ptrdiff_t i = -40; i < 40; ++i) {
            std::ptrdiff_t at = i, last = static_cast<std::ptrdiff_t>(n) - 1;
            while (at < 0 || at > last) at = at < 0 ? -at : 2 * last - at;
            CHECK_EQUAL(mirrored(i, n), static_cast<std::size_t>(at));
        }
}

TEST(all_bits_are_the_same_whatever_the_cpu_and_threads) {
    for (const Size size : sizes)
        for (const int first_octave : {-1, 0}) {
            const Image<std::uint8_t> photo(size, 1);
            use_isa(Isa::scalar);
            const auto expected = everything(photo, first_octave, 1);
            for_each_isa([&] { CHECK(everything(photo, first_octave, 4) == expected); });
        }
}

TEST(long_and_thin_photos) {
    for (const Size size : {Size{100'000, 1}, Size{1, 100'000}, Size{20'000, 12}, Size{12, 20'000}})
        for_each_isa([&] { everything(Image<float>(size, 2), -1, 2); });
}

TEST(memory_is_used_again_by_other_sizes_and_threads) {
    const Image<std::uint8_t> small({50, 40}, 3), large({400, 300}, 4);
    const auto expected = everything(small, -1, 1);
    std::vector<std::thread> users;
    std::vector<char> same(4, 0);
    for (std::size_t t = 0; t < same.size(); ++t)
        users.emplace_back([&, t] {
            const ScaleSpace before(large.view(), -1, 2);
            same[t] = everything(small, -1, 2) == expected;
        });
    for (std::thread& user : users) user.join();
    CHECK_EQUAL(std::ranges::count(same, 1), 4);
}

TEST(a_space_is_shared_by_threads) {
    const Image<std::uint8_t> photo({200, 150}, 5);
    const ScaleSpace space(photo.view(), -1, 2);
    const Keypoints expected = detect_dog(space, {1, 10}, 1);
    std::vector<Frame> frames = hostile_frames(300, {200, 150});
    std::vector<std::vector<std::uint8_t>> found(4);
    std::vector<std::size_t> counts(4);
    std::vector<std::thread> users;
    for (std::size_t t = 0; t < 4; ++t)
        users.emplace_back([&, t] {
            counts[t] = detect_dog(space, {1, 10}, 2).size();
            found[t].resize(frames.size() * sift_dimensions);
            describe_sift(space, frames, {}, {found[t].data(), frames.size(), sift_dimensions}, 2);
        });
    for (std::thread& user : users) user.join();
    for (std::size_t t = 0; t < 4; ++t) {
        CHECK_EQUAL(counts[t], expected.size());
        CHECK(found[t] == found[0]);
    }
}

TEST(the_layer_of_any_scale) {
    const Image<std::uint8_t> photo({100, 80}, 6);
    for (const int first_octave : {-1, 0}) {
        const ScaleSpace space(photo.view(), first_octave, 1);
        const auto layers = space.layers();
        constexpr double infinity = std::numeric_limits<double>::infinity();
        for (const double sigma : {0.0, 5e-324, 1e-300, 1e-9, 0.01})
            CHECK_EQUAL(&space.nearest(sigma), &layers.front());
        for (const double sigma : {1e3, 1e9, 1e38, 1e300, infinity})
            CHECK_EQUAL(&space.nearest(sigma), &layers.back());
        for (const Layer& layer : layers)
            CHECK_EQUAL(space.nearest(layer.sigma).sigma, layer.sigma);
    }
}

TEST(select_takes_frames_of_any_shape) {
    const std::vector<Frame> frames = within(hostile_frames(500, {64, 48}), {64, 48});
    std::vector<float> responses(frames.size());
    for (std::size_t i = 0; i < responses.size(); ++i) responses[i] = static_cast<float>(i % 7);
    std::vector<std::uint8_t> mask(64 * 48, 0);
    std::fill(mask.begin(), mask.begin() + 64 * 10, std::uint8_t{1});
    for (const std::size_t most : {std::size_t{1}, std::size_t{30}, std::size_t{1000}})
        for (const bool spread : {false, true})
            for (const bool masked : {false, true}) {
                SelectOptions options{most, {}, spread};
                if (masked) options.mask = {mask.data(), 64, 48, 64};
                const auto kept = select(frames, responses, 64, 48, options);
                CHECK(kept.size() <= most);
                CHECK_EQUAL(std::set(kept.begin(), kept.end()).size(), kept.size());
                for (std::size_t i = 1; i < kept.size(); ++i)
                    CHECK(responses[kept[i - 1]] >= responses[kept[i]]);
            }
    CHECK(select({}, {}, 1, 1, {5, {}, true}).empty());
}

TEST(no_frames) {
    const Image<std::uint8_t> photo({30, 30}, 7);
    const ScaleSpace space(photo.view(), -1, 2);
    CHECK(orient(space, {}, {}, 2).frames.empty());
    describe_sift(space, {}, {}, {nullptr, 0, sift_dimensions}, 2);
}

#if defined(__linux__)
// Places in a layer are int32: the largest that the Python face lets through must not overflow.
// Its 8 GiB are promised, not used: what is never written is one page of zeros.
TEST(places_in_the_largest_layers_fit_32_bits) {
    constexpr std::size_t most = (std::size_t{1} << 31) - (1 << 20);
    for (const std::size_t width : {std::size_t{1} << 24, std::size_t{46'000}, std::size_t{16}}) {
        const std::size_t stride = padded_stride(width);
        const std::size_t height = std::min(std::size_t{1} << 24, most / (width + 32));
        const std::size_t bytes = (stride * (height + 1) + Planes::beyond) * sizeof(float);
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) continue;
        auto* pixels = static_cast<float*>(memory);
        pixels[(height - 1) * stride + width - 1] = 100;
        const Layer layer{{pixels, width, height, stride}, 1.6F, 1};
        Patch<16> patch;
        PatchScratch<16> scratch;
        const auto x = static_cast<float>(width - 1), y = static_cast<float>(height - 1);
        for (const float far : {0.0F, 1e3F, 3e9F, 1e30F, 3e38F}) {
            sample<4>(layer, {1, 0, x + far, 0, 1, y + far}, 1, scratch, patch);
            CHECK_EQUAL(patch.values[15][15], 100.0F);
            sample<4>(layer, {1, 0, -far, 0, 1, -far}, 1, scratch, patch);
            CHECK_EQUAL(patch.values[0][0], 0.0F);
        }
        munmap(memory, bytes);
    }
}
#endif
