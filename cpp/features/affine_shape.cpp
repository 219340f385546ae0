// SPDX-License-Identifier: Apache-2.0
#include "features/affine_shape.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "features/patch.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t grain_keypoints = 64;

// The window is a square of samples, `spacing` scales apart, whose weights fall off with a sigma of
// `window_sigma` samples. Gradients are those of the layer of `derivation` times the scale: a
// Gaussian of the region's own size would round an elongated region off before it is measured.
// All four were chosen by repeatability on photos of planes; it is flat about them, but for
// `derivation`: 1 costs four points where the viewpoint changes.
constexpr std::size_t side = 16;
constexpr float spacing = 0.75F, derivation = 0.5F;
constexpr double window_sigma = 5;

using Weights = std::array<std::array<float, side>, side>;

// Zero at the border, where samples have no neighbours to take differences with.
Weights window_weights() {
    constexpr double center = (side - 1) / 2.0;
    Weights weights{};
    for (std::size_t i = 1; i + 1 < side; ++i)
        for (std::size_t j = 1; j + 1 < side; ++j) {
            const double u = (static_cast<double>(j) - center) / window_sigma;
            const double v = (static_cast<double>(i) - center) / window_sigma;
            weights[i][j] = static_cast<float>(std::exp(-0.5 * (u * u + v * v)));
        }
    return weights;
}

// A square matrix that is a lower triangle, and a symmetric one.
struct Triangle {
    float a11, a21, a22;
};
struct Moments {
    float xx, xy, yy;
};

// The sum of 16 numbers in one order, whichever vectors hold them.
template <std::size_t N>
ALWAYS_INLINE float total(const Floats<N> (&sums)[side / N]) {
    float all[side];
    std::memcpy(all, sums, sizeof all);
    for (std::size_t n = side / 2; n > 0; n /= 2)
        for (std::size_t i = 0; i < n; ++i) all[i] += all[i + n];
    return all[0];
}

template <std::size_t N>
ALWAYS_INLINE Moments moments(const Patch<side>& patch, const Weights& weights) {
    Floats<N> xx[side / N]{}, xy[side / N]{}, yy[side / N]{};
    for (std::size_t i = 1; i + 1 < side; ++i)
        for (std::size_t n = 0; n < side / N; ++n) {
            const float* at = &patch.values[i][n * N];
            const Floats<N> weight = load<N>(&weights[i][n * N]);
            const Floats<N> dx = load<N>(at + 1) - load<N>(at - 1);
            const Floats<N> dy = load<N>(at + side) - load<N>(at - side);
            const Floats<N> weighted_dx = weight * dx, weighted_dy = weight * dy;
            xx[n] += weighted_dx * dx;
            xy[n] += weighted_dx * dy;
            yy[n] += weighted_dy * dy;
        }
    return {total<N>(xx), total<N>(xy), total<N>(yy)};
}

// Whether a frame is finite, has a scale no greater than the photo, and its center in it.
bool inside(const ScaleSpace& space, const Frame& frame) {
    const auto width = static_cast<float>(space.width()),
               height = static_cast<float>(space.height());
    const float scale = frame.scale();
    return frame.x >= 0 && frame.y >= 0 && frame.x <= width - 1 && frame.y <= height - 1 &&
           scale > 0 && scale <= width + height;
}

// The ratio of the axes of the ellipse that a matrix of determinant 1 makes of the unit circle.
float anisotropy(const Triangle& a) {
    const float mean = (a.a11 * a.a11 + a.a21 * a.a21 + a.a22 * a.a22) / 2;
    return mean + std::sqrt(std::max(mean * mean - 1, 0.0F));
}

struct Scratch {
    const Weights& weights;
    PatchScratch<side> samples;
    Patch<side> patch;
};

template <std::size_t N>
ALWAYS_INLINE ShapeOutcome adapt(const ScaleSpace& space, const AffineShapeOptions& options,
                                 Scratch& scratch, Frame& frame) {
    if (!inside(space, frame)) return ShapeOutcome::outside;
    const float scale = frame.scale();
    const Layer& layer = space.nearest(scale * derivation);
    Triangle a{1, 0, 1};
    for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
        const Frame seen{scale * a.a11, 0, frame.x, scale * a.a21, scale * a.a22, frame.y};
        sample<N>(layer, seen, spacing, scratch.samples, scratch.patch);
        const Moments m = moments<N>(scratch.patch, scratch.weights);

        const float trace = m.xx + m.yy, determinant = m.xx * m.yy - m.xy * m.xy;
        if (!(determinant > 1e-6F * (trace * trace))) return ShapeOutcome::unstructured;
        // L of L L^T = (yy, -xy; -xy, xx) / size, the inverse of m scaled to a determinant of 1.
        const float size = std::sqrt(determinant);
        const float l11 = std::sqrt(m.yy / size), l21 = -m.xy / size / l11, l22 = 1 / l11;
        a = {a.a11 * l11, a.a21 * l11 + a.a22 * l21, a.a22 * l22};
        if (!(anisotropy(a) <= options.max_anisotropy)) return ShapeOutcome::elongated;
        if (anisotropy({l11, l21, l22}) * (1 - options.convergence) < 1) {
            frame.a11 = scale * a.a11, frame.a12 = 0;
            frame.a21 = scale * a.a21, frame.a22 = scale * a.a22;
            return ShapeOutcome::converged;
        }
    }
    return ShapeOutcome::unconverged;
}

struct Job {
    const ScaleSpace& space;
    const AffineShapeOptions& options;
    std::span<Frame> frames;
    std::span<ShapeOutcome> outcomes;
};

template <std::size_t N>
ALWAYS_INLINE void adapt_all(const Job& job) {
    static const Weights weights = window_weights();
    Scratch scratch{weights, {}, {}};
    for (std::size_t k = 0; k < job.frames.size(); ++k)
        job.outcomes[k] = adapt<N>(job.space, job.options, scratch, job.frames[k]);
}

void adapt_scalar(const Job& job) {
    adapt_all<4>(job);
}
#if TROUVAILLE_X86
TARGET_AVX2 void adapt_avx2(const Job& job) {
    adapt_all<8>(job);
}
TARGET_AVX512 void adapt_avx512(const Job& job) {
    adapt_all<16>(job);
}
constexpr void (*variants[isa_count])(const Job&) = {adapt_scalar, adapt_avx2, adapt_avx512};
#else
constexpr void (*variants[isa_count])(const Job&) = {adapt_scalar, nullptr, nullptr};
#endif

}  // namespace

AffineShapes affine_shapes(const ScaleSpace& space, std::span<const Keypoint> keypoints,
                           const AffineShapeOptions& options, int threads) {
    AffineShapes shapes{std::vector<Frame>(keypoints.size()),
                        std::vector<ShapeOutcome>(keypoints.size())};
    std::ranges::transform(keypoints, shapes.frames.begin(), &Keypoint::frame);
    const auto adapt = pick(variants);
    parallel_for(keypoints.size(), grain_keypoints, threads,
                 [&](std::size_t begin, std::size_t end) {
                     adapt({space, options, std::span(shapes.frames).subspan(begin, end - begin),
                            std::span(shapes.outcomes).subspan(begin, end - begin)});
                 });
    return shapes;
}

}  // namespace trouvaille
