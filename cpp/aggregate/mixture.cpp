// SPDX-License-Identifier: Apache-2.0
#include "aggregate/mixture.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "aggregate/doubles.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/panels.hpp"

namespace trouvaille {
namespace {

using aggregate::Doubles;
using aggregate::lanes;
using aggregate::load_doubles;
using aggregate::whole_lanes;
using exact::AlignedVector;

constexpr std::size_t block_rows = 48;  // their doubles and posteriors stay in the first cache

/// A mixture as it is computed with: filled up to whole vectors, of dimensions by means and inverse
/// deviations of 0, so that z is 0, and of components by such as no row belongs to.
struct Prepared {
    explicit Prepared(const Mixture& mixture)
        : components(mixture.means.rows),
          dims(mixture.means.cols),
          padded_components(whole_lanes(components)),
          padded_dims(whole_lanes(dims)),
          means(checked_mul(padded_components, padded_dims, "components * dimensions")),
          inverses(means.size()),
          panels(2 * padded_components * dims),
          offsets(padded_components, -1e300) {
        for (std::size_t k = 0; k < components; ++k) {
            double offset = std::log(mixture.weights[k]) -
                            0.5 * static_cast<double>(dims) * std::log(2 * std::numbers::pi);
            double* panel = &panels[k / lanes * 2 * lanes * dims + k % lanes];
            for (std::size_t d = 0; d < dims; ++d, panel += 2 * lanes) {
                const double mean = mixture.means.row(k)[d], variance = mixture.variances.row(k)[d];
                panel[0] = means[k * padded_dims + d] = mean;
                panel[lanes] = inverses[k * padded_dims + d] = 1 / std::sqrt(variance);
                offset -= 0.5 * std::log(variance);
            }
            offsets[k] = offset;
        }
    }

    std::size_t components, dims, padded_components, padded_dims;
    AlignedVector<double> means, inverses;  // by component
    AlignedVector<double> panels;           // the same of eight components side by side, in turns
    AlignedVector<double> offsets;          // log p(x, k) + |z|^2 / 2
};

/// What the rows of a part sum up to; see `mixture_sums`.
class Sums {
  public:
    explicit Sums(const Prepared& mixture)
        : mixture_(mixture),
          posteriors_(mixture.padded_components),
          first_(mixture.means.size()),
          second_(mixture.means.size()),
          rows_(block_rows * mixture.padded_dims),
          shares_(block_rows * mixture.padded_components) {}

    double posterior(std::size_t k) const { return posteriors_[k]; }
    double first(std::size_t k, std::size_t d) const { return first_[place(k, d)]; }
    double second(std::size_t k, std::size_t d) const { return second_[place(k, d)]; }
    double likelihood() const { return likelihood_ + std::log(totals_); }

    void clear() {
        for (auto* sums : {&posteriors_, &first_, &second_})
            std::fill(sums->begin(), sums->end(), 0.0);
        likelihood_ = 0;
        totals_ = 1;
    }

    /// At most block_rows rows. The tiles of `Rows` rows times eight components, and of
    /// `Components` times eight dimensions, are what fits the registers.
    template <std::size_t Rows, std::size_t Components, class T>
    ALWAYS_INLINE void add(MatrixView<const T> x) {
        for (std::size_t i = 0; i < x.rows; ++i)
            for (std::size_t d = 0; d < x.cols; ++d)
                rows_[i * mixture_.padded_dims + d] = static_cast<double>(x.row(i)[d]);
        for (std::size_t k = 0; k < mixture_.padded_components; k += lanes)
            for (std::size_t i = 0; i < x.rows; i += Rows) find_log_densities<Rows>(i, k);
        for (std::size_t i = 0; i < x.rows; ++i) find_posteriors(i);
        for (std::size_t d = 0; d < mixture_.padded_dims; d += lanes)
            for (std::size_t k = 0; k < mixture_.padded_components; k += Components)
                add_moments<Components>(x.rows, k, d);
    }

  private:
    std::size_t place(std::size_t k, std::size_t d) const { return k * mixture_.padded_dims + d; }

    /// log p(x, k) of rows i, i + 1, ... and components k, k + 1, ... to k + 7.
    template <std::size_t Rows>
    ALWAYS_INLINE void find_log_densities(std::size_t i, std::size_t k) {
        const double *rows = &rows_[i * mixture_.padded_dims],
                     *panel = &mixture_.panels[2 * k * mixture_.dims];
        Doubles squares[Rows] = {};
        for (std::size_t d = 0; d < mixture_.dims; ++d, panel += 2 * lanes) {
            const Doubles mean = load_doubles(panel), inverse = load_doubles(panel + lanes);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                const Doubles z = (mean - rows[r * mixture_.padded_dims + d]) * inverse;
                squares[r] += z * z;
            }
        }
        const Doubles offset = load_doubles(&mixture_.offsets[k]);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
            store(&shares_[(i + r) * mixture_.padded_components + k], offset - 0.5 * squares[r]);
    }

    /// Of the row's log densities.
    ALWAYS_INLINE void find_posteriors(std::size_t i) {
        const std::size_t n = mixture_.padded_components;
        double* row = &shares_[i * n];
        Doubles most = load_doubles(row);
        for (std::size_t k = lanes; k < n; k += lanes) most = max(most, load_doubles(row + k));
        double largest = most[0];
        for (std::size_t l = 1; l < lanes; ++l) largest = std::max(largest, most[l]);
        Doubles totals{};
        for (std::size_t k = 0; k < n; k += lanes) {
            // No less than what is nothing, but a normal number even times a small z.
            const Doubles less = max(load_doubles(row + k) - largest, Doubles{} - 600);
            const Doubles share = aggregate::exponential(less);
            totals += share;
            store(row + k, share);
        }
        const double total = aggregate::sum(totals), inverse = 1 / total;
        for (std::size_t k = 0; k < n; k += lanes) {
            const Doubles posterior = load_doubles(row + k) * inverse;
            store(row + k, posterior);
            store(&posteriors_[k], load_doubles(&posteriors_[k]) + posterior);
        }
        likelihood_ += largest;
        totals_ *= total;
        if (totals_ > 1e200) likelihood_ += std::log(std::exchange(totals_, 1));
    }

    /// To components k, k + 1, ... and dimensions d, d + 1, ... to d + 7, of the first n rows.
    template <std::size_t Components>
    ALWAYS_INLINE void add_moments(std::size_t n, std::size_t k, std::size_t d) {
        Doubles mean[Components], inverse[Components], first[Components], second[Components];
#pragma GCC unroll 8
        for (std::size_t c = 0; c < Components; ++c) {
            mean[c] = load_doubles(&mixture_.means[place(k + c, d)]);
            inverse[c] = load_doubles(&mixture_.inverses[place(k + c, d)]);
            first[c] = load_doubles(&first_[place(k + c, d)]);
            second[c] = load_doubles(&second_[place(k + c, d)]);
        }
        const double *row = &rows_[d], *posteriors = &shares_[k];
        for (std::size_t i = 0; i < n; ++i) {
            const Doubles x = load_doubles(row);
#pragma GCC unroll 8
            for (std::size_t c = 0; c < Components; ++c) {
                const Doubles z = (x - mean[c]) * inverse[c];
                const Doubles weighted = z * posteriors[c];
                first[c] += weighted;
                second[c] += weighted * z;
            }
            row += mixture_.padded_dims;
            posteriors += mixture_.padded_components;
        }
#pragma GCC unroll 8
        for (std::size_t c = 0; c < Components; ++c) {
            store(&first_[place(k + c, d)], first[c]);
            store(&second_[place(k + c, d)], second[c]);
        }
    }

    const Prepared& mixture_;
    AlignedVector<double> posteriors_, first_, second_;
    AlignedVector<double> rows_, shares_;  // of a block: x, and log densities or posteriors
    double likelihood_ = 0, totals_ = 1;   // a sum of logs, and the product of others
};

template <std::size_t Rows, std::size_t Components, class T>
ALWAYS_INLINE void add_part(Sums& sums, MatrixView<const T> x, std::size_t work,
                            InterruptPoll& poll) {
    static_assert(block_rows % Rows == 0 && lanes % Components == 0);
    for (std::size_t begin = 0; begin < x.rows; begin += block_rows) {
        const MatrixView<const T> block = x.slice(begin, std::min(x.rows, begin + block_rows));
        poll.did(block.rows * work);
        sums.add<Rows, Components>(block);
    }
}

template <class T>
void part_scalar(Sums& sums, MatrixView<const T> x, std::size_t work, InterruptPoll& poll) {
    add_part<1, 1>(sums, x, work, poll);
}

#if TROUVAILLE_X86
template <class T>
[[gnu::flatten]] TARGET_AVX2 void part_avx2(Sums& sums, MatrixView<const T> x, std::size_t work,
                                            InterruptPoll& poll) {
    add_part<4, 1>(sums, x, work, poll);
}

template <class T>
[[gnu::flatten]] TARGET_AVX512 void part_avx512(Sums& sums, MatrixView<const T> x, std::size_t work,
                                                InterruptPoll& poll) {
    add_part<8, 4>(sums, x, work, poll);
}

template <class T>
constexpr decltype(&part_scalar<T>) variants[isa_count] = {part_scalar<T>, part_avx2<T>,
                                                           part_avx512<T>};
#else
template <class T>
constexpr decltype(&part_scalar<T>) variants[isa_count] = {part_scalar<T>, part_scalar<T>,
                                                           part_scalar<T>};
#endif

/// take(i, rows, sums) for each part i.
template <class T, class Take>
void each_part(MatrixView<const T> x, std::span<const std::int64_t> offsets,
               const Prepared& mixture, int threads, Take take) {
    const std::size_t parts = offsets.size() - 1;
    const std::size_t work = mixture.padded_components * mixture.padded_dims / lanes + 1;
    // Some million operations a chunk.
    const std::size_t of_part = (x.rows / std::max<std::size_t>(parts, 1) + 8) * work;
    const std::size_t grain = (std::size_t{1} << 20) / of_part + 1;
    const auto add = pick(variants<T>);
    parallel_for(parts, grain, threads, [&](std::size_t begin, std::size_t end) {
        Sums sums(mixture);
        InterruptPoll poll;
        for (std::size_t i = begin; i < end; ++i) {
            const MatrixView<const T> rows = x.slice(static_cast<std::size_t>(offsets[i]),
                                                     static_cast<std::size_t>(offsets[i + 1]));
            sums.clear();
            add(sums, rows, work, poll);
            take(i, rows.rows, sums);
        }
    });
}

}  // namespace

template <class T>
void mixture_sums(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                  const Mixture& mixture, MatrixView<double> sums, std::span<double> likelihoods,
                  int threads) {
    const std::size_t components = mixture.means.rows, dims = mixture.means.cols;
    assert(dims == x.cols && sums.cols == mixture_sums_size(components, dims));
    assert(offsets.size() == sums.rows + 1 && likelihoods.size() == sums.rows);
    const Prepared prepared(mixture);
    each_part(x, offsets, prepared, threads, [&](std::size_t i, std::size_t, const Sums& of_part) {
        double *posteriors = sums.row(i), *first = posteriors + components,
               *second = first + components * dims;
        for (std::size_t k = 0; k < components; ++k) {
            posteriors[k] = of_part.posterior(k);
            for (std::size_t d = 0; d < dims; ++d) {
                first[k * dims + d] = of_part.first(k, d);
                second[k * dims + d] = of_part.second(k, d);
            }
        }
        likelihoods[i] = of_part.likelihood();
    });
}

template <class T>
void fisher_vectors(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                    const Mixture& mixture, const Normalization& normalization,
                    MatrixView<float> out, int threads) {
    const std::size_t components = mixture.means.rows, dims = mixture.means.cols;
    assert(dims == x.cols && out.cols == 2 * components * dims);
    assert(offsets.size() == out.rows + 1);
    const Prepared prepared(mixture);
    const Normalize normalize = normalizer();
    each_part(x, offsets, prepared, threads,
              [&](std::size_t i, std::size_t rows, const Sums& sums) {
                  std::vector<double> gradients(out.cols);
                  double *means = gradients.data(), *deviations = means + components * dims;
                  for (std::size_t k = 0; rows > 0 && k < components; ++k) {
                      const double weight = mixture.weights[k];
                      const double scale = 1 / (static_cast<double>(rows) * std::sqrt(weight));
                      for (std::size_t d = 0; d < dims; ++d) {
                          *means++ = scale * sums.first(k, d);
                          *deviations++ =
                              scale / std::numbers::sqrt2 * (sums.second(k, d) - sums.posterior(k));
                      }
                  }
                  normalize(gradients, normalization, out.row(i));
              });
}

template void mixture_sums(MatrixView<const std::uint8_t>, std::span<const std::int64_t>,
                           const Mixture&, MatrixView<double>, std::span<double>, int);
template void mixture_sums(MatrixView<const float>, std::span<const std::int64_t>, const Mixture&,
                           MatrixView<double>, std::span<double>, int);
template void fisher_vectors(MatrixView<const std::uint8_t>, std::span<const std::int64_t>,
                             const Mixture&, const Normalization&, MatrixView<float>, int);
template void fisher_vectors(MatrixView<const float>, std::span<const std::int64_t>, const Mixture&,
                             const Normalization&, MatrixView<float>, int);

}  // namespace trouvaille
