// SPDX-License-Identifier: Apache-2.0
#include "features/cs_lbp.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "features/histogram.hpp"
#include "features/patch.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t side = 48;  // samples
constexpr std::size_t radius = 2, inner = side - 2 * radius;
constexpr std::size_t cells = 4, patterns = 16, samples_a_cell = inner / cells;
constexpr float threshold = 0.01F;  // of the range of gray levels
constexpr float smoothing = 0.5F;   // of the frame's scale
constexpr std::size_t grain = 64;   // descriptors

// A count a column of cells: whole numbers, so that no sum depends on its order, and so few that
// none overflows (at most samples_a_cell^2 a cell and row, samples_a_cell^4 a cell).
using Counts = std::array<std::uint16_t, cells>;
static_assert(samples_a_cell * samples_a_cell * samples_a_cell * samples_a_cell < 1 << 16);

// What a row or column counts in each cell, linear between the centres: samples_a_cell at its own.
constexpr auto shares = [] {
    std::array<Counts, inner> all{};
    for (std::size_t i = 0; i < inner; ++i)
        for (std::size_t c = 0; c < cells; ++c) {
            const std::size_t centre = c * samples_a_cell + samples_a_cell / 2;
            const std::size_t distance = i > centre ? i - centre : centre - i;
            all[i][c] = static_cast<std::uint16_t>(samples_a_cell -
                                                   std::min<std::size_t>(distance, samples_a_cell));
        }
    return all;
}();
static_assert(samples_a_cell % 2 == 1);  // a sample lies at each cell's centre

template <std::size_t N>
ALWAYS_INLINE float range(const Patch<side>& patch) {
    const float* values = &patch.values[0][0];
    Floats<N> least = load<N>(values), most = least;
    for (std::size_t k = N; k < side * side; k += N) {
        least = min(least, load<N>(values + k));
        most = max(most, load<N>(values + k));
    }
    float low = least[0], high = most[0];
    for (std::size_t l = 1; l < N; ++l) {
        low = std::min<float>(low, least[l]);
        high = std::max<float>(high, most[l]);
    }
    return high - low;
}

// How much the neighbours (x, y) samples to the right of and above the N samples at `centre` exceed
// the opposite ones.
template <std::size_t N>
ALWAYS_INLINE Floats<N> across(const float* centre, std::ptrdiff_t x, std::ptrdiff_t y) {
    const std::ptrdiff_t to = x - y * static_cast<std::ptrdiff_t>(side);
    return load<N>(centre + to) - load<N>(centre - to);
}

// The same sqrt(2) samples above and to one side: between four samples. Those opposite are of the
// same weights, so the differences are interpolated.
template <std::size_t N>
ALWAYS_INLINE Floats<N> diagonal(const float* centre, std::ptrdiff_t x) {
    constexpr float f = 0.41421356F, near = (1 - f) * (1 - f), mixed = f * (1 - f), far = f * f;
    return across<N>(centre, x, 1) * near +
           (across<N>(centre, 2 * x, 1) + across<N>(centre, x, 2)) * mixed +
           across<N>(centre, 2 * x, 2) * far;
}

template <std::size_t N>
ALWAYS_INLINE Ints<N> patterns_at(const float* centre, float least) {
    const Floats<N> limit = splat<N>(least);
    return (where_negative<N>(bits<N>(limit - across<N>(centre, 2, 0))) & 1) |
           (where_negative<N>(bits<N>(limit - diagonal<N>(centre, 1))) & 2) |
           (where_negative<N>(bits<N>(limit - across<N>(centre, 0, 2))) & 4) |
           (where_negative<N>(bits<N>(limit - diagonal<N>(centre, -1))) & 8);
}

// The patterns of row i, counted in each column of cells. Neighbouring samples, which often have
// the same pattern, are counted in four places, so as not to wait for each other.
template <std::size_t N>
ALWAYS_INLINE void count_row(const Patch<side>& patch, std::size_t i, float least,
                             std::array<Counts, patterns>& counts) {
    alignas(64) std::int32_t found[inner];
    const float* row = &patch.values[i + radius][radius];
    for (std::size_t j = 0; j + N < inner; j += N) store(found + j, patterns_at<N>(row + j, least));
    store(found + inner - N, patterns_at<N>(row + inner - N, least));  // some of them again
    std::uint64_t sums[4][patterns] = {}, share;
    static_assert(sizeof share == sizeof(Counts));  // four sums at once
    static_assert(inner % 4 == 0);
    for (std::size_t j = 0; j < inner; j += 4)
        for (std::size_t k = 0; k < 4; ++k) {
            std::memcpy(&share, &shares[j + k], sizeof share);
            sums[k][found[j + k]] += share;
        }
    for (std::size_t p = 0; p < patterns; ++p)
        sums[0][p] = (sums[0][p] + sums[1][p]) + (sums[2][p] + sums[3][p]);
    std::memcpy(&counts, sums[0], sizeof counts);
}

template <std::size_t N>
ALWAYS_INLINE void histogram(const Patch<side>& patch, float* values) {
    const float levels = range<N>(patch), least = levels * threshold;
    if (levels == 0) {  // no difference exceeds 0: all would be of pattern 0
        std::fill_n(values, cs_lbp_dimensions, 0.0F);
        return;
    }
    std::uint16_t sums[cells][patterns][cells] = {};
    for (std::size_t i = 0; i < inner; ++i) {
        std::array<Counts, patterns> counts;
        count_row<N>(patch, i, least, counts);
        for (std::size_t r = 0; r < cells; ++r)
            for (std::size_t p = 0; p < patterns; ++p)
                for (std::size_t c = 0; c < cells; ++c)
                    sums[r][p][c] =
                        static_cast<std::uint16_t>(sums[r][p][c] + shares[i][r] * counts[p][c]);
    }
    for (std::size_t r = 0; r < cells; ++r)
        for (std::size_t c = 0; c < cells; ++c)
            for (std::size_t p = 0; p < patterns; ++p)
                values[(r * cells + c) * patterns + p] = sums[r][p][c];
}

struct Work {
    const ScaleSpace& space;
    std::span<const Frame> frames;
    CsLbpOptions options;
    MatrixView<std::uint8_t> descriptors;
};

template <std::size_t N>
ALWAYS_INLINE void describe(const Work& work, std::size_t begin, std::size_t end) {
    Patch<side> patch;
    PatchScratch<side> scratch;
    alignas(64) float values[cs_lbp_dimensions];
    const float spacing = work.options.magnification / samples_a_cell;
    for (std::size_t i = begin; i < end; ++i) {
        const Frame& frame = work.frames[i];
        const Layer& layer = work.space.nearest(frame.scale() * smoothing);
        sample<N>(layer, frame, spacing, scratch, patch);
        histogram<N>(patch, values);
        histogram_to_bytes<cs_lbp_dimensions>(values, work.options.root, work.descriptors.row(i));
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

void describe_cs_lbp(const ScaleSpace& space, std::span<const Frame> frames,
                     const CsLbpOptions& options, MatrixView<std::uint8_t> descriptors,
                     int threads) {
    const auto describe = pick(variants);
    const Work work{space, frames, options, descriptors};
    parallel_for(frames.size(), grain, threads,
                 [&](std::size_t begin, std::size_t end) { describe(work, begin, end); });
}

}  // namespace trouvaille
