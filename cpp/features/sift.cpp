// SPDX-License-Identifier: Apache-2.0
#include "features/sift.hpp"

#include <algorithm>
#include <cmath>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "features/gradient.hpp"
#include "features/histogram.hpp"
#include "features/patch.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t side = 32;  // samples; the outermost have no gradient
constexpr std::size_t cells = 4, directions = 8;
// 30 rows of gradients are 5 cells: 4, and half on each side.
constexpr std::size_t samples_a_cell = 6;
constexpr std::size_t grain = 64;  // descriptors

// Where a row or column of samples lies among the cells, and how much it weighs.
struct Weights {
    float gaussian[side];     // of one coordinate; a sample's is the product of two
    float cell[cells][side];  // the share of each cell, linear between the two nearest centres
    float zero[side] = {};    // not known to the compiler, which would write a maximum in two steps
    float lower[side];        // the share of the nearest centre below or right of it

    Weights() {
        for (std::size_t i = 0; i < side; ++i) {
            const double place = (static_cast<double>(i) - (side - 1) / 2.0) / samples_a_cell;
            gaussian[i] = static_cast<float>(std::exp(-place * place / 8));
            lower[i] = static_cast<float>(place + 2.5 - std::floor(place + 2.5));
            for (std::size_t c = 0; c < cells; ++c) {
                const double centre = static_cast<double>(c) - (cells - 1) / 2.0;
                const double share = std::max(0.0, 1 - std::abs(place - centre));
                cell[c][i] = static_cast<float>(i == 0 || i == side - 1 ? 0 : share);
            }
        }
    }
};

const Weights& all_weights() {
    static const Weights all;
    return all;
}

// A column's histograms: for each row of cells and direction.
struct Columns {
    alignas(64) float values[cells][directions][side];
};

// Each sample's magnitude, shared between the two directions nearest to its own, is summed over the
// rows between two cells' centres: `near` are the sums, `far` those weighed by the row's share of
// the lower cell. What is not the lower cell's is the upper one's.
template <std::size_t N>
ALWAYS_INLINE void sum_rows(const Patch<side>& patch, const Weights& weights, Columns& columns) {
    const Floats<N> zero = load<N>(weights.zero);
    std::fill_n(&columns.values[0][0][0], cells * directions * side, 0.0F);
    for (std::size_t j = 0; j < side; j += N) {
        for (std::size_t band = 0; band <= cells; ++band) {
            Floats<N> all[directions] = {}, lower[directions] = {};
            for (std::size_t i = 1 + band * samples_a_cell; i <= (band + 1) * samples_a_cell; ++i) {
                const auto [magnitude, turn] = gradients<N>(
                    patch.values[i - 1] + j, patch.values[i] + j, patch.values[i + 1] + j);
                const Floats<N> m =
                    magnitude * (weights.gaussian[i] * load<N>(weights.gaussian + j));
                // m * max(0, 1 - |direction - d|), d = 0 and d = 8 being the same.
                Floats<N> distance = m * (turn * static_cast<float>(directions));
                const Floats<N> first =
                    min(distance, m * static_cast<float>(directions) - distance);
                for (std::size_t d = 0; d < directions; ++d) {
                    const Floats<N> part = max(m - (d == 0 ? first : abs<N>(distance)), zero);
                    all[d] += part;
                    lower[d] += part * weights.lower[i];
                    distance -= m;
                }
            }
            for (std::size_t d = 0; d < directions; ++d) {
                if (band > 0) {
                    float* upper = columns.values[band - 1][d] + j;
                    store(upper, load<N>(upper) + (all[d] - lower[d]));
                }
                if (band < cells) store(columns.values[band][d] + j, lower[d]);
            }
        }
    }
}

// Columns weighed and summed, halves added to halves, until N lanes are left.
template <std::size_t N>
ALWAYS_INLINE Floats<N> dot(const float* column, const float* weight) {
    Floats<N> parts[side / N];
    for (std::size_t i = 0; i < side / N; ++i)
        parts[i] = load<N>(column + i * N) * load<N>(weight + i * N);
    for (std::size_t half = side / N / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) parts[i] += parts[i + half];
    return parts[0];
}

template <std::size_t N>
ALWAYS_INLINE void histogram(const Patch<side>& patch, const Weights& weights, Columns& columns,
                             float* values) {
    sum_rows<N>(patch, weights, columns);
    for (std::size_t i = 0; i < sift_dimensions; i += N) {
        Floats<N> parts[N];
        for (std::size_t l = 0; l < N; ++l) {
            const std::size_t cell = (i + l) / directions, d = (i + l) % directions;
            parts[l] = dot<N>(columns.values[cell / cells][d], weights.cell[cell % cells]);
        }
        store(values + i, sums_of_lanes<N>(parts));
    }
}

struct Work {
    const ScaleSpace& space;
    std::span<const Frame> frames;
    SiftOptions options;
    MatrixView<std::uint8_t> descriptors;
    const Weights& weights;
};

template <std::size_t N>
ALWAYS_INLINE void describe(const Work& work, std::size_t begin, std::size_t end) {
    Patch<side> patch;
    PatchScratch<side> scratch;
    Columns columns;
    alignas(64) float values[sift_dimensions];
    const float spacing = work.options.magnification / samples_a_cell;
    for (std::size_t i = begin; i < end; ++i) {
        const Frame& frame = work.frames[i];
        sample<N>(work.space.nearest(frame.scale()), frame, spacing, scratch, patch);
        histogram<N>(patch, work.weights, columns, values);
        histogram_to_bytes<sift_dimensions>(values, work.options.root, work.descriptors.row(i));
    }
}

void describe_scalar(const Work& w, std::size_t begin, std::size_t end) {
    describe<4>(w, begin, end);
}
#if TROUVAILLE_X86
TARGET_AVX2 void describe_avx2(const Work& w, std::size_t begin, std::size_t end) {
    describe<8>(w, begin, end);
}
TARGET_AVX512 void describe_avx512(const Work& w, std::size_t begin, std::size_t end) {
    describe<16>(w, begin, end);
}
constexpr void (*variants[isa_count])(const Work&, std::size_t, std::size_t) = {
    describe_scalar, describe_avx2, describe_avx512};
#else
constexpr void (*variants[isa_count])(const Work&, std::size_t, std::size_t) = {describe_scalar,
                                                                                nullptr, nullptr};
#endif

}  // namespace

void describe_sift(const ScaleSpace& space, std::span<const Frame> frames,
                   const SiftOptions& options, MatrixView<std::uint8_t> descriptors, int threads) {
    const auto describe = pick(variants);
    const Work work{space, frames, options, descriptors, all_weights()};
    parallel_for(frames.size(), grain, threads,
                 [&](std::size_t begin, std::size_t end) { describe(work, begin, end); });
}

}  // namespace trouvaille
