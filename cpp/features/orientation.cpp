// SPDX-License-Identifier: Apache-2.0
#include "features/orientation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "features/gradient.hpp"
#include "features/patch.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t side = 16;  // samples; the outermost have no gradient
constexpr float spacing = 0.45F;  // of a frame's scale: samples reach to 3.2 times it, two sigma
constexpr std::size_t bins = 36;
constexpr std::size_t grain = 64;  // frames

struct Weights {
    alignas(64) float values[side][side];

    Weights() {
        const auto one = [](std::size_t i) {
            const double x = (static_cast<double>(i) - (side - 1) / 2.0) * spacing / 1.5;
            return i == 0 || i == side - 1 ? 0.0 : std::exp(-x * x / 2);
        };
        for (std::size_t i = 0; i < side; ++i)
            for (std::size_t j = 0; j < side; ++j)
                values[i][j] = static_cast<float>(one(i) * one(j));
    }
};

const Weights& all_weights() {
    static const Weights all;
    return all;
}

struct Scratch {
    Patch<side> patch;
    PatchScratch<side> places;
    alignas(64) float amounts[side][side];
    alignas(64) std::int32_t bin[side][side];
};

template <std::size_t N>
ALWAYS_INLINE void histogram(Scratch& scratch, const Weights& weights, float* histogram) {
    for (std::size_t i = 1; i + 1 < side; ++i)
        for (std::size_t j = 0; j < side; j += N) {
            const float* row = scratch.patch.values[i] + j;
            const auto [magnitude, turn] = gradients<N>(row - side, row, row + side);
            store(scratch.amounts[i] + j, magnitude * load<N>(weights.values[i] + j));
            // A full turn, which rounding may give, is bin 0 again.
            store(scratch.bin[i] + j, to_ints<N>(turn * static_cast<float>(bins)));
        }
    float raw[bins + 1] = {};
    for (std::size_t i = 1; i + 1 < side; ++i)
        for (std::size_t j = 1; j + 1 < side; ++j) raw[scratch.bin[i][j]] += scratch.amounts[i][j];
    raw[0] += raw[bins];
    for (std::size_t k = 0; k < bins; ++k) {
        const auto at = [&](std::size_t shift) { return raw[(k + bins + shift - 2) % bins]; };
        histogram[k] =
            (at(0) + at(4)) * (1 / 16.0F) + (at(1) + at(3)) * (4 / 16.0F) + at(2) * (6 / 16.0F);
    }
}

struct Peak {
    float height, turn;
};

// The histogram's peaks, highest first, at least `least` of the highest.
void find_peaks(const float* histogram, float least, std::vector<Peak>& peaks) {
    peaks.clear();
    const float limit = least * *std::max_element(histogram, histogram + bins);
    for (std::size_t k = 0; k < bins; ++k) {
        const float left = histogram[(k + bins - 1) % bins], right = histogram[(k + 1) % bins];
        const float middle = histogram[k];
        if (middle <= 0 || middle < limit || !(middle > left && middle >= right)) continue;
        // The two falls are summed, not the three heights: these may round to 0.
        const float shift = 0.5F * (left - right) / ((left - middle) + (right - middle));
        peaks.push_back({middle, (static_cast<float>(k) + 0.5F + shift) / bins});
    }
    std::stable_sort(peaks.begin(), peaks.end(),
                     [](const Peak& a, const Peak& b) { return a.height > b.height; });
}

Frame turned(const Frame& frame, float turn) {
    const double angle = -2 * std::numbers::pi * turn;  // y points down
    const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
    return {frame.a11 * c + frame.a12 * s, frame.a12 * c - frame.a11 * s, frame.x,
            frame.a21 * c + frame.a22 * s, frame.a22 * c - frame.a21 * s, frame.y};
}

struct Work {
    const ScaleSpace& space;
    std::span<const Frame> frames;
    const Weights& weights;
};

template <std::size_t N>
ALWAYS_INLINE void histograms(const Work& work, std::size_t begin, std::size_t end, float* to) {
    Scratch scratch;
    for (std::size_t i = begin; i < end; ++i) {
        const Frame& frame = work.frames[i];
        const Layer& layer = work.space.nearest(frame.scale());
        sample<N>(layer, frame, spacing, scratch.places, scratch.patch);
        histogram<N>(scratch, work.weights, to);
        to += bins;
    }
}

using Histograms = void (*)(const Work&, std::size_t, std::size_t, float*);

void histograms_scalar(const Work& w, std::size_t begin, std::size_t end, float* to) {
    histograms<4>(w, begin, end, to);
}
#if TROUVAILLE_X86
TARGET_AVX2 void histograms_avx2(const Work& w, std::size_t begin, std::size_t end, float* to) {
    histograms<8>(w, begin, end, to);
}
TARGET_AVX512 void histograms_avx512(const Work& w, std::size_t begin, std::size_t end, float* to) {
    histograms<16>(w, begin, end, to);
}
constexpr Histograms variants[isa_count] = {histograms_scalar, histograms_avx2, histograms_avx512};
#else
constexpr Histograms variants[isa_count] = {histograms_scalar, nullptr, nullptr};
#endif

}  // namespace

Oriented orient(const ScaleSpace& space, std::span<const Frame> frames,
                const OrientationOptions& options, int threads) {
    const auto compute = pick(variants);
    const Work work{space, frames, all_weights()};
    std::vector<Oriented> parts((frames.size() + grain - 1) / grain);
    parallel_for(frames.size(), grain, threads, [&](std::size_t begin, std::size_t end) {
        float values[grain * bins];
        compute(work, begin, end, values);
        Oriented& part = parts[begin / grain];
        std::vector<Peak> peaks;
        for (std::size_t i = begin; i < end; ++i) {
            find_peaks(values + (i - begin) * bins, options.min_peak, peaks);
            if (peaks.empty()) peaks.push_back({0, 0});
            peaks.resize(std::min(peaks.size(), options.max_orientations));
            for (const Peak& peak : peaks) {
                part.frames.push_back(turned(frames[i], peak.turn));
                part.sources.push_back(static_cast<std::uint32_t>(i));
            }
        }
    });
    Oriented all;
    for (const Oriented& part : parts) {
        all.frames.insert(all.frames.end(), part.frames.begin(), part.frames.end());
        all.sources.insert(all.sources.end(), part.sources.begin(), part.sources.end());
    }
    return all;
}

}  // namespace trouvaille
