// SPDX-License-Identifier: Apache-2.0
#include "aggregate/whiten.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aggregate/doubles.hpp"
#include "aggregate/normalize.hpp"
#include "aggregate/tiles.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/size.hpp"
#include "neighbors/float_pack.hpp"

namespace trouvaille {
namespace {

using exact::AlignedVector;

constexpr std::size_t block_rows = 144;  // a multiple of every tile's, as is 12
constexpr std::size_t least_rows = 48;   // of a block, where there are more
constexpr std::size_t chunk = 512;       // dimensions that are summed in float32
constexpr std::size_t panel = 64;        // directions side by side
// Not a power of two, so that rows of a tile are not in each other's place in the cache.
constexpr std::size_t row_size = chunk + 16;

/// The arguments of `whiten`.
template <class T>
struct Task {
    MatrixView<const T> x;
    std::span<const double> mean;
    MatrixView<const float> directions;
    std::span<const double> scales;
    bool zeros_stay;
    Normalization normalization;
    Normalize normalize;
    MatrixView<float> out;
};

/// A block of rows, dimension by dimension.
template <class Tiles, class T>
class Block {
  public:
    static constexpr std::size_t N = Tiles::floats;

    explicit Block(const Task<T>& task)
        : task_(task),
          width_(exact::ceil_div(task.directions.rows, panel) * panel),
          centered_(block_rows * row_size),
          weights_(chunk * panel),
          totals_(checked_mul(block_rows, width_, "rows * directions")) {}

    /// Rows [begin, end), at most block_rows.
    ALWAYS_INLINE void whiten(std::size_t begin, std::size_t end, InterruptPoll& poll) {
        std::fill(totals_.begin(), totals_.end(), 0.0);
        const MatrixView<const T> x = task_.x.slice(begin, end);
        center(x, 0, x.rows, 0);
        for (std::size_t first = 0; first < x.cols; first += chunk) {
            const std::size_t n = std::min(chunk, x.cols - first);
            for (std::size_t c = 0; c < width_; c += panel) {
                poll.did((x.rows + 8) * n * panel / N / 8);
                pack(c, first, n);
                const bool last = c + panel == width_ && first + n < x.cols;
                for (std::size_t i = 0; i < x.rows; i += Tiles::product_rows) {
                    const std::size_t stop = std::min(x.rows, i + Tiles::product_rows);
                    // The next chunk is fetched meanwhile, and then takes the place of this one.
                    if (last) prefetch(x, i, stop, first + n);
                    for (std::size_t j = 0; j < panel; j += Tiles::product_vectors * N)
                        multiply(i, c, j, n);
                    if (last) center(x, i, stop, first + n);
                }
            }
        }
        for (std::size_t i = 0; i < x.rows; ++i) finish(begin + i, i, poll);
    }

  private:
    ALWAYS_INLINE static void prefetch(MatrixView<const T> x, std::size_t i, std::size_t end,
                                       std::size_t first) {
        const std::size_t n = std::min(chunk, x.cols - first);
        for (; i < end; ++i)
            for (std::size_t d = 0; d < n; d += 64 / sizeof(T))
                __builtin_prefetch(x.row(i) + first + d);
    }

    /// A chunk of rows [i, end).
    ALWAYS_INLINE void center(MatrixView<const T> x, std::size_t i, std::size_t end,
                              std::size_t first) {
        const std::size_t n = std::min(chunk, x.cols - first);
        const double* mean = task_.mean.data() + first;
        for (; i < end; ++i) {
            const T* row = x.row(i) + first;
            float* to = &centered_[i * row_size];
#pragma GCC ivdep
            for (std::size_t d = 0; d < n; ++d)
                to[d] = static_cast<float>(static_cast<double>(row[d]) - mean[d]);
        }
    }

    /// n dimensions of directions c, c + 1, ... to c + 63: those of one dimension side by side.
    ALWAYS_INLINE void pack(std::size_t c, std::size_t first, std::size_t n) {
        const std::size_t exist = std::min(panel, task_.directions.rows - c);
        if (exist < panel) std::fill(weights_.begin(), weights_.end(), 0.0F);
        const std::size_t whole_rows = exist / N * N, whole = n / N * N;
        for (std::size_t j = 0; j < whole_rows; j += N)
            for (std::size_t d = 0; d < whole; d += N) {
                Floats<N> square[N];
#pragma GCC unroll 16
                for (std::size_t s = 0; s < N; ++s)
                    square[s] = load<N>(task_.directions.row(c + j + s) + first + d);
                exact::transpose<N>(square);
#pragma GCC unroll 16
                for (std::size_t s = 0; s < N; ++s)
                    store(&weights_[(d + s) * panel + j], square[s]);
            }
        for (std::size_t j = 0; j < exist; ++j) {
            const float* direction = task_.directions.row(c + j) + first;
            for (std::size_t d = j < whole_rows ? whole : 0; d < n; ++d)
                weights_[d * panel + j] = direction[d];
        }
    }

    /// Of a tile's rows from i on and its directions from c + j on.
    ALWAYS_INLINE void multiply(std::size_t i, std::size_t c, std::size_t j, std::size_t n) {
        constexpr std::size_t n_rows = Tiles::product_rows, n_vectors = Tiles::product_vectors;
        Floats<N> sums[n_rows][n_vectors] = {};
        const float *rows = &centered_[i * row_size], *weights = &weights_[j];
        for (std::size_t d = 0; d < n; ++d, weights += panel) {
            Floats<N> w[n_vectors];
#pragma GCC unroll 4
            for (std::size_t v = 0; v < n_vectors; ++v) w[v] = load<N>(weights + v * N);
#pragma GCC unroll 16
            for (std::size_t r = 0; r < n_rows; ++r) {
                const float x = rows[r * row_size + d];
#pragma GCC unroll 4
                for (std::size_t v = 0; v < n_vectors; ++v) sums[r][v] += x * w[v];
            }
        }
#pragma GCC unroll 16
        for (std::size_t r = 0; r < n_rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < n_vectors; ++v)
                aggregate::add_to<Tiles>(&totals_[(i + r) * width_ + c + j + v * N], sums[r][v]);
    }

    void finish(std::size_t row, std::size_t i, InterruptPoll& poll) {
        const T* x = task_.x.row(row);
        const std::span<double> totals{&totals_[i * width_], task_.out.cols};
        const auto all_zero = [&] {
            return std::all_of(x, x + task_.x.cols, [](T value) { return value == 0; });
        };
        if (task_.zeros_stay && all_zero()) {
            std::fill(totals.begin(), totals.end(), 0.0);
        } else {
            const auto finite = [](double total) { return std::isfinite(total); };
            if (!std::all_of(totals.begin(), totals.end(), finite)) multiply(x, totals, poll);
            for (std::size_t c = 0; c < totals.size(); ++c) totals[c] *= task_.scales[c];
        }
        task_.normalize(totals, task_.normalization, task_.out.row(row));
    }

    /// The row `x`, which is too large for float32.
    void multiply(const T* x, std::span<double> totals, InterruptPoll& poll) {
        const std::size_t n = task_.x.cols;
        for (std::size_t c = 0; c < totals.size(); ++c) {
            poll.did(n);
            const float* direction = task_.directions.row(c);
            totals[c] = 0;
            for (std::size_t d = 0; d < n; ++d)
                totals[c] += (static_cast<double>(x[d]) - task_.mean[d]) * direction[d];
        }
    }

    const Task<T>& task_;
    std::size_t width_;  // of whole panels
    AlignedVector<float> centered_, weights_;
    AlignedVector<double> totals_;
};

template <class Tiles, class T>
ALWAYS_INLINE void whiten_rows(const Task<T>& task, std::size_t begin, std::size_t end) {
    Block<Tiles, T> block(task);
    InterruptPoll poll;
    for (; begin < end; begin += block_rows)
        block.whiten(begin, std::min(end, begin + block_rows), poll);
}

template <class T>
void rows_scalar(const Task<T>& task, std::size_t begin, std::size_t end) {
    whiten_rows<aggregate::PlainTiles>(task, begin, end);
}

#if TROUVAILLE_X86
template <class T>
[[gnu::flatten]] TARGET_AVX2 void rows_avx2(const Task<T>& task, std::size_t begin,
                                            std::size_t end) {
    whiten_rows<aggregate::Avx2Tiles>(task, begin, end);
}

template <class T>
[[gnu::flatten]] TARGET_AVX512 void rows_avx512(const Task<T>& task, std::size_t begin,
                                                std::size_t end) {
    whiten_rows<aggregate::Avx512Tiles>(task, begin, end);
}

template <class T>
constexpr decltype(&rows_scalar<T>) variants[isa_count] = {rows_scalar<T>, rows_avx2<T>,
                                                           rows_avx512<T>};
#else
template <class T>
constexpr decltype(&rows_scalar<T>) variants[isa_count] = {rows_scalar<T>, rows_scalar<T>,
                                                           rows_scalar<T>};
#endif

}  // namespace

template <class T>
void whiten(MatrixView<const T> x, std::span<const double> mean, MatrixView<const float> directions,
            std::span<const double> scales, bool zeros_stay, bool unit, MatrixView<float> out,
            int threads) {
    assert(mean.size() == x.cols && directions.cols == x.cols && out.rows == x.rows);
    assert(scales.size() == out.cols && directions.rows == out.cols);
    const Task<T> task{x, mean, directions, scales, zeros_stay, {1, 0, unit}, normalizer(), out};
    const auto run = pick(variants<T>);
    // Whole blocks, of which each packs all directions, or so few rows that all threads have some.
    const auto parts = 2 * static_cast<std::size_t>(std::max(threads, 1));
    const std::size_t grain =
        std::clamp(exact::ceil_div(x.rows, parts * 12) * 12, least_rows, block_rows);
    parallel_for(x.rows, grain, threads,
                 [&](std::size_t begin, std::size_t end) { run(task, begin, end); });
}

template void whiten(MatrixView<const std::uint8_t>, std::span<const double>,
                     MatrixView<const float>, std::span<const double>, bool, bool,
                     MatrixView<float>, int);
template void whiten(MatrixView<const float>, std::span<const double>, MatrixView<const float>,
                     std::span<const double>, bool, bool, MatrixView<float>, int);

}  // namespace trouvaille
