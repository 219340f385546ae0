// SPDX-License-Identifier: Apache-2.0
#pragma once

// What rows sum up to, in float64; see mixture.hpp. Private to aggregate/.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

#include "aggregate/doubles.hpp"
#include "aggregate/mixture.hpp"
#include "core/size.hpp"
#include "core/target.hpp"
#include "neighbors/panels.hpp"

namespace trouvaille::aggregate {

using exact::AlignedVector;

/// A mixture as it is computed with: filled up to whole vectors, of dimensions by means and inverse
/// deviations of 0, so that z is 0, and of components by such as no row belongs to.
struct ExactMixture {
    explicit ExactMixture(const Mixture& mixture)
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

    /// Vectors that a row is compared with.
    std::size_t work() const { return padded_components * padded_dims / lanes; }

    std::size_t components, dims, padded_components, padded_dims;
    AlignedVector<double> means, inverses;  // by component
    AlignedVector<double> panels;           // the same of eight components side by side, in turns
    AlignedVector<double> offsets;          // log p(x, k) + |z|^2 / 2
};

/// What the rows of a part sum up to; see `mixture_sums`.
class ExactSums {
  public:
    explicit ExactSums(const ExactMixture& mixture)
        : mixture_(mixture),
          posteriors_(mixture.padded_components),
          first_(mixture.means.size()),
          second_(mixture.means.size()),
          rows_(block_rows() * mixture.padded_dims),
          shares_(block_rows() * mixture.padded_components) {}

    /// They and their posteriors stay in the cache.
    static constexpr std::size_t block_rows() { return 48; }

    double posterior(std::size_t k) const { return posteriors_[k]; }
    const double* first(std::size_t k) const { return &first_[place(k, 0)]; }
    const double* second(std::size_t k) const { return &second_[place(k, 0)]; }
    double likelihood() const { return likelihood_ + std::log(totals_); }

    void finish() {}
    void clear() {
        for (auto* sums : {&posteriors_, &first_, &second_})
            std::fill(sums->begin(), sums->end(), 0.0);
        likelihood_ = 0;
        totals_ = 1;
    }

    /// At most block_rows() rows.
    template <class Tiles, class T>
    ALWAYS_INLINE void add(MatrixView<const T> x) {
        for (std::size_t i = 0; i < x.rows; ++i)
            for (std::size_t d = 0; d < x.cols; ++d)
                rows_[i * mixture_.padded_dims + d] = static_cast<double>(x.row(i)[d]);
        for (std::size_t k = 0; k < mixture_.padded_components; k += lanes)
            for (std::size_t i = 0; i < x.rows; i += Tiles::rows)
                find_log_densities<Tiles::rows>(i, k);
        for (std::size_t i = 0; i < x.rows; ++i) find_posteriors(i);
        for (std::size_t d = 0; d < mixture_.padded_dims; d += lanes)
            for (std::size_t k = 0; k < mixture_.padded_components; k += Tiles::components)
                add_moments<Tiles::components>(x.rows, k, d);
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
        const double largest = aggregate::largest(most);
        Doubles totals{};
        for (std::size_t k = 0; k < n; k += lanes) {
            // No less than what is nothing, but a normal number even times a small z.
            const Doubles less = max(load_doubles(row + k) - largest, Doubles{} - 600);
            const Doubles share = exponential(less);
            totals += share;
            store(row + k, share);
        }
        const double total = sum(totals), inverse = 1 / total;
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

    const ExactMixture& mixture_;
    AlignedVector<double> posteriors_, first_, second_;
    AlignedVector<double> rows_, shares_;  // of a block: x, and log densities or posteriors
    double likelihood_ = 0, totals_ = 1;   // a sum of logs, and the product of others
};

}  // namespace trouvaille::aggregate
