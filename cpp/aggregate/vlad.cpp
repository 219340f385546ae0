// SPDX-License-Identifier: Apache-2.0
#include "aggregate/vlad.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <vector>

#include "aggregate/doubles.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/lloyd.hpp"

namespace trouvaille {
namespace {

constexpr double smallest_share_log = -27.631021115928547;  // log 1e-12

/// The arguments of `vlad`.
template <class T>
struct Task {
    MatrixView<const T> x;
    std::span<const std::int64_t> offsets;
    MatrixView<const T> words;
    MatrixView<const std::int64_t> ids;
    MatrixView<const float> weights;
    bool unit_residuals;
    Normalization normalization;
    Normalize normalize;
    MatrixView<float> out;
};

template <class T>
ALWAYS_INLINE void add_residual(const T* x, const T* word, std::size_t dims, double weight,
                                double* sums) {
    for (std::size_t d = 0; d < dims; ++d)
        sums[d] += weight * (static_cast<double>(x[d]) - static_cast<double>(word[d]));
}

template <class T>
ALWAYS_INLINE void add_unit_residual(const T* x, const T* word, std::size_t dims, double weight,
                                     double* residual, double* sums) {
    for (std::size_t d = 0; d < dims; ++d)
        residual[d] = static_cast<double>(x[d]) - static_cast<double>(word[d]);
    const double length = __builtin_sqrt(aggregate::squared_length(residual, dims));
    if (length == 0) return;
    for (std::size_t d = 0; d < dims; ++d) sums[d] += weight * (residual[d] / length);
}

/// Sums of residuals of bytes, by way of sums of bytes in 16 bits: whole numbers, so that any way
/// to them gives the same.
class ByteSums {
  public:
    ByteSums(MatrixView<const std::uint8_t> words, double* sums)
        : words_(words), sums_(sums), totals_(words.rows * words.cols), counts_(words.rows) {}

    ALWAYS_INLINE void add(const std::uint8_t* x, std::size_t word) {
        std::uint16_t* totals = &totals_[word * words_.cols];
#pragma GCC ivdep
        for (std::size_t d = 0; d < words_.cols; ++d)
            totals[d] = static_cast<std::uint16_t>(totals[d] + x[d]);
        if (++counts_[word] == most_rows) move(word);
    }

    ALWAYS_INLINE void finish() {
        for (std::size_t c = 0; c < words_.rows; ++c)
            if (counts_[c] > 0) move(c);
    }

  private:
    static constexpr std::uint32_t most_rows = 257;  // of bytes fit 16 bits

    ALWAYS_INLINE void move(std::size_t c) {
        std::uint16_t* totals = &totals_[c * words_.cols];
        const std::uint8_t* word = words_.row(c);
        double* sums = sums_ + c * words_.cols;
        const auto count = static_cast<std::int32_t>(counts_[c]);
#pragma GCC ivdep
        for (std::size_t d = 0; d < words_.cols; ++d) {
            sums[d] += static_cast<std::int32_t>(totals[d]) - count * std::int32_t{word[d]};
            totals[d] = 0;
        }
        counts_[c] = 0;
    }

    MatrixView<const std::uint8_t> words_;
    double* sums_;
    std::vector<std::uint16_t> totals_;
    std::vector<std::uint32_t> counts_;
};

/// Bytes that have one word each, whole: the photos [begin, end).
ALWAYS_INLINE void aggregate_bytes(const Task<std::uint8_t>& task, std::size_t begin,
                                   std::size_t end) {
    std::vector<double> sums(task.out.cols);
    ByteSums of_bytes(task.words, sums.data());
    InterruptPoll poll;
    for (std::size_t photo = begin; photo < end; ++photo) {
        std::fill(sums.begin(), sums.end(), 0.0);
        poll.did(sums.size());
        polled_for(static_cast<std::size_t>(task.offsets[photo]),
                   static_cast<std::size_t>(task.offsets[photo + 1]), task.words.cols / 8 + 1, poll,
                   [&](std::size_t i) {
                       of_bytes.add(task.x.row(i), static_cast<std::size_t>(task.ids.row(i)[0]));
                   });
        of_bytes.finish();
        task.normalize(sums, task.normalization, task.out.row(photo));
    }
}

/// Photos [begin, end).
template <class T>
ALWAYS_INLINE void aggregate_photos(const Task<T>& task, std::size_t begin, std::size_t end) {
    if constexpr (sizeof(T) == 1)
        if (task.ids.cols == 1 && task.weights.cols == 0 && !task.unit_residuals)
            return aggregate_bytes(task, begin, end);
    const std::size_t dims = task.words.cols, k = task.ids.cols;
    std::vector<double> sums(task.out.cols), residual(dims);
    InterruptPoll poll;
    for (std::size_t photo = begin; photo < end; ++photo) {
        std::fill(sums.begin(), sums.end(), 0.0);
        poll.did(sums.size());
        const auto first = static_cast<std::size_t>(task.offsets[photo]);
        const auto last = static_cast<std::size_t>(task.offsets[photo + 1]);
        polled_for(first, last, k * (dims / 8 + 1), poll, [&](std::size_t i) {
            for (std::size_t j = 0; j < k; ++j) {
                const auto word = static_cast<std::size_t>(task.ids.row(i)[j]);
                const double weight = task.weights.cols > 0 ? task.weights.row(i)[j] : 1.0;
                double* of_word = sums.data() + word * dims;
                if (task.unit_residuals) {
                    add_unit_residual(task.x.row(i), task.words.row(word), dims, weight,
                                      residual.data(), of_word);
                } else {
                    add_residual(task.x.row(i), task.words.row(word), dims, weight, of_word);
                }
            }
        });
        task.normalize(sums, task.normalization, task.out.row(photo));
    }
}

template <class T>
void photos_scalar(const Task<T>& task, std::size_t begin, std::size_t end) {
    aggregate_photos(task, begin, end);
}

#if TROUVAILLE_X86
template <class T>
[[gnu::flatten]] TARGET_AVX2 void photos_avx2(const Task<T>& task, std::size_t begin,
                                              std::size_t end) {
    aggregate_photos(task, begin, end);
}

template <class T>
[[gnu::flatten]] TARGET_AVX512 void photos_avx512(const Task<T>& task, std::size_t begin,
                                                  std::size_t end) {
    aggregate_photos(task, begin, end);
}

template <class T>
constexpr decltype(&photos_scalar<T>) variants[isa_count] = {photos_scalar<T>, photos_avx2<T>,
                                                             photos_avx512<T>};
#else
template <class T>
constexpr decltype(&photos_scalar<T>) variants[isa_count] = {photos_scalar<T>, photos_scalar<T>,
                                                             photos_scalar<T>};
#endif

template <class Distance>
void soften(const Distance* distances, std::size_t k, double scale, float* weights) {
    double total = 0;
    std::vector<double> shares(aggregate::whole_lanes(k));
    for (std::size_t begin = 0; begin < k; begin += aggregate::lanes) {
        aggregate::Doubles less = aggregate::Doubles{} + 1;
        for (std::size_t j = begin; j < std::min(k, begin + aggregate::lanes); ++j)
            less[j - begin] =
                scale * (static_cast<double>(distances[0]) - static_cast<double>(distances[j]));
        aggregate::Doubles share = aggregate::exponential(less);
        for (std::size_t l = 0; l < aggregate::lanes; ++l) {
            const bool counts = less[l] >= smallest_share_log && less[l] <= 0;
            shares[begin + l] = counts ? share[l] : 0;  // infinite distances have no difference
        }
    }
    shares[0] = 1;
    for (std::size_t j = 0; j < k; ++j) total += shares[j];
    for (std::size_t j = 0; j < k; ++j) weights[j] = static_cast<float>(shares[j] / total);
}

}  // namespace

template <class T>
void vlad(MatrixView<const T> x, std::span<const std::int64_t> offsets, MatrixView<const T> words,
          MatrixView<const std::int64_t> ids, MatrixView<const float> weights, bool unit_residuals,
          const Normalization& normalization, MatrixView<float> out, int threads) {
    kmeans::Nearest<T> nearest(ids.cols == 0 ? x.rows : 0);
    if (ids.cols == 0) {
        kmeans::find_nearest(x, words, nearest, threads);
        ids = {nearest.ids.data(), x.rows, 1};
    }
    assert(words.cols == x.cols && ids.rows == x.rows && offsets.size() == out.rows + 1);
    assert(weights.cols == 0 || (weights.rows == x.rows && weights.cols == ids.cols));
    assert(out.cols == checked_mul(words.rows, words.cols, "words * dimensions"));
    const Task<T> task{
        x, offsets, words, ids, weights, unit_residuals, normalization, normalizer(), out};
    // About a million operations a chunk.
    const std::size_t photos = std::max<std::size_t>(out.rows, 1);
    const std::size_t numbers = x.rows / photos * ids.cols * x.cols + 2 * out.cols;
    const std::size_t grain = (std::size_t{1} << 20) / (numbers + 1) + 1;
    const auto run = pick(variants<T>);
    parallel_for(out.rows, grain, threads,
                 [&](std::size_t begin, std::size_t end) { run(task, begin, end); });
}

template <class Distance>
void soft_weights(MatrixView<const Distance> distances, double scale, MatrixView<float> weights,
                  int threads) {
    assert(distances.rows == weights.rows && distances.cols == weights.cols);
    const std::size_t k = distances.cols;
    parallel_for(distances.rows, (std::size_t{1} << 16) / (k + 8) + 1, threads,
                 [&](std::size_t begin, std::size_t end) {
                     for (std::size_t i = begin; i < end; ++i)
                         soften(distances.row(i), k, scale, weights.row(i));
                 });
}

template void vlad(MatrixView<const std::uint8_t>, std::span<const std::int64_t>,
                   MatrixView<const std::uint8_t>, MatrixView<const std::int64_t>,
                   MatrixView<const float>, bool, const Normalization&, MatrixView<float>, int);
template void vlad(MatrixView<const float>, std::span<const std::int64_t>, MatrixView<const float>,
                   MatrixView<const std::int64_t>, MatrixView<const float>, bool,
                   const Normalization&, MatrixView<float>, int);
template void soft_weights(MatrixView<const std::int32_t>, double, MatrixView<float>, int);
template void soft_weights(MatrixView<const float>, double, MatrixView<float>, int);

}  // namespace trouvaille
