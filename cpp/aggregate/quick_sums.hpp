// SPDX-License-Identifier: Apache-2.0
#pragma once

// What rows sum up to, in float32 where that is enough: twice as many at a time as in float64.
// Private to aggregate/.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "aggregate/doubles.hpp"
#include "aggregate/exact_sums.hpp"
#include "aggregate/parts.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"

namespace trouvaille::aggregate {

/// A mixture as float32 takes it, of numbers less the mixture's mean; filled up as ExactMixture.
///
/// z = (x - mean) / deviation is rounded to about 2^-24 (|z| + |mean| / deviation), its squares are
/// summed in float32 32 at a time, and these sums in float64, as are all differences of log
/// densities: a posterior is right to some 1e-6 of it (1e-5 where weights are tiny) if the row is
/// as near to its Gaussian as rows are, |z|^2 at most `enough`. Others, a row in a thousand, are
/// left to ExactSums.
struct QuickMixture {
    static constexpr std::size_t width = 16;

    explicit QuickMixture(const Mixture& mixture)
        : exact(mixture),
          components(mixture.means.rows),
          dims(mixture.means.cols),
          padded_components((components + width - 1) / width * width),
          padded_dims((dims + width - 1) / width * width),
          center(padded_dims),
          means(checked_mul(padded_components, padded_dims, "components * dimensions")),
          inverses(means.size()),
          panels(2 * means.size()),
          exact_means(components * dims),
          offsets(padded_components, -1e300),
          least(padded_components, 1e300) {
        double weight = 0, steepest = 0;  // the largest |mean| / deviation
        double widest = 0, narrowest = 1e300, squares = 0;
        for (const double w : mixture.weights) weight += w;
        for (std::size_t d = 0; d < dims; ++d) {
            double mean = 0;
            for (std::size_t k = 0; k < components; ++k)
                mean += mixture.weights[k] / weight * mixture.means.row(k)[d];
            center[d] = static_cast<float>(mean);
        }
        const double enough = 4 * static_cast<double>(dims) + 64;
        for (std::size_t k = 0; k < components; ++k) {
            float* panel = &panels[k / width * 2 * width * dims + k % width];
            for (std::size_t d = 0; d < dims; ++d, panel += 2 * width) {
                const double mean = mixture.means.row(k)[d] - double{center[d]};
                const double inverse = exact.inverses[k * exact.padded_dims + d];
                exact_means[k * dims + d] = mean;
                panel[0] = means[k * padded_dims + d] = static_cast<float>(mean);
                panel[width] = inverses[k * padded_dims + d] = static_cast<float>(inverse);
                steepest = std::max(steepest, std::abs(mean) * inverse);
                squares += mean * inverse * mean * inverse;
                widest = std::max(widest, 1 / inverse);
                narrowest = std::min(narrowest, 1 / inverse);
            }
            offsets[k] = exact.offsets[k];
            least[k] = offsets[k] - enough / 2;
        }
        const auto [low, high] = std::minmax_element(
            exact.offsets.begin(), exact.offsets.begin() + static_cast<std::ptrdiff_t>(components));
        steep = steepest > 8 || squares > 2 * static_cast<double>(components * dims);
        // So that no number overflows, and e^-60 z^2 is nothing for any z. Small mixtures are no
        // trouble as they are.
        sane = steepest < 64 && *high - *low < 200 && narrowest > 1e-12 && widest < 1e12 &&
               widest < 1e6 * narrowest && components * dims >= 1024;
    }

    ExactMixture exact;
    std::size_t components, dims, padded_components, padded_dims;
    AlignedVector<float> center, means, inverses, panels;  // as ExactMixture has them
    AlignedVector<double> exact_means;                     // less the center
    AlignedVector<double> offsets;                         // log p(x, k) + |z|^2 / 2
    AlignedVector<double> least;                           // log p(x, k) where |z|^2 is `enough`
    bool sane;                                             // or float32 is not enough
    bool steep;  // or sums of p x and p x^2 tell those of p z and p z^2
};

/// As ExactSums, without likelihoods; requires a mixture that is sane.
class QuickSums {
  public:
    explicit QuickSums(const QuickMixture& mixture)
        : mixture_(mixture),
          exact_(mixture.exact),
          posteriors_(mixture.padded_components),
          first_(mixture.means.size()),
          second_(mixture.means.size()),
          row_size_(mixture.padded_dims + width),
          share_size_(mixture.padded_components + width),
          log_size_(mixture.padded_components + lanes),
          rows_(block_rows() * row_size_),
          shares_(block_rows() * share_size_),
          logs_(block_rows() * log_size_) {}

    /// They stay in the first cache.
    std::size_t block_rows() const {
        return std::clamp<std::size_t>(6144 / mixture_.padded_dims / 16 * 16, 16, 96);
    }

    double posterior(std::size_t k) const { return posteriors_[k]; }
    const double* first(std::size_t k) const { return &first_[place(k, 0)]; }
    const double* second(std::size_t k) const { return &second_[place(k, 0)]; }

    void clear() {
        for (auto* sums : {&posteriors_, &first_, &second_})
            std::fill(sums->begin(), sums->end(), 0.0);
    }

    /// To sums of p z and p z^2, with the rows left to ExactSums.
    void finish() {
        if (!mixture_.steep)
            for (std::size_t k = 0; k < mixture_.components; ++k) move_to_mean(k);
        if (any_exact_) add_exact();
    }

    /// At most block_rows() rows.
    template <class Tiles, class T>
    ALWAYS_INLINE void add(MatrixView<const T> x) {
        for (std::size_t i = 0; i < x.rows; ++i) center_row(x.row(i), i);
        for (std::size_t k = 0; k < mixture_.padded_components; k += width)
            for (std::size_t i = 0; i < x.rows; i += Tiles::rows) find_log_densities<Tiles>(i, k);
        for (std::size_t i = 0; i < x.rows; ++i) {
            if (find_posteriors<Tiles>(i)) continue;
            exact_.add<Tiles>(x.slice(i, i + 1));
            any_exact_ = true;
            std::fill_n(&rows_[i * row_size_], mixture_.padded_dims, 0.0F);
            std::fill_n(&shares_[i * share_size_], mixture_.padded_components, 0.0F);
        }
        add_posteriors<Tiles>(x.rows);
        if (mixture_.steep) {
            add_all_moments<Tiles, true>(x.rows);
        } else {
            add_all_moments<Tiles, false>(x.rows);
        }
    }

  private:
    /// From sums of p x and p x^2 to those of p z and p z^2.
    void move_to_mean(std::size_t k) {
        const double posterior = posteriors_[k];
        const double *means = &mixture_.exact_means[k * mixture_.dims],
                     *inverses = &mixture_.exact.inverses[k * mixture_.exact.padded_dims];
        double *first = &first_[place(k, 0)], *second = &second_[place(k, 0)];
        for (std::size_t d = 0; d < mixture_.dims; ++d) {
            const double away = first[d] - means[d] * posterior;
            second[d] = (second[d] - means[d] * (first[d] + away)) * inverses[d] * inverses[d];
            first[d] = away * inverses[d];
        }
    }

    void add_exact() {
        for (std::size_t k = 0; k < mixture_.components; ++k) {
            posteriors_[k] += exact_.posterior(k);
            for (std::size_t d = 0; d < mixture_.dims; ++d) {
                first_[place(k, d)] += exact_.first(k)[d];
                second_[place(k, d)] += exact_.second(k)[d];
            }
        }
        exact_.clear();
        any_exact_ = false;
    }

    static constexpr std::size_t width = QuickMixture::width;
    static constexpr std::size_t summed = 32;  // squares, in float32
    using Lanes = Floats<width>;

    std::size_t place(std::size_t k, std::size_t d) const { return k * mixture_.padded_dims + d; }

    template <class Tiles>
    ALWAYS_INLINE static Doubles low(Lanes v) {
        return Tiles::widen(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7));
    }
    template <class Tiles>
    ALWAYS_INLINE static Doubles high(Lanes v) {
        return Tiles::widen(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
    }
    template <class Tiles>
    ALWAYS_INLINE static void add_to(double* sums, Lanes v) {
        store(sums, load_doubles(sums) + low<Tiles>(v));
        store(sums + lanes, load_doubles(sums + lanes) + high<Tiles>(v));
    }

    template <class T>
    ALWAYS_INLINE void center_row(const T* x, std::size_t i) {
        const float* center = mixture_.center.data();
        float* row = &rows_[i * row_size_];
        const std::size_t dims = mixture_.dims;
#pragma GCC ivdep
        for (std::size_t d = 0; d < dims; ++d) row[d] = static_cast<float>(x[d]) - center[d];
    }

    /// log p(x, k) of rows i, i + 1, ... and components k, k + 1, ... to k + 15.
    template <class Tiles>
    ALWAYS_INLINE void find_log_densities(std::size_t i, std::size_t k) {
        constexpr std::size_t n_rows = Tiles::rows;
        const float *rows = &rows_[i * row_size_], *panel = &mixture_.panels[2 * k * mixture_.dims];
        Doubles sums[n_rows][2] = {};
        for (std::size_t begin = 0; begin < mixture_.dims; begin += summed) {
            const std::size_t end = std::min(mixture_.dims, begin + summed);
            Lanes squares[n_rows] = {};
            for (std::size_t d = begin; d < end; ++d, panel += 2 * width) {
                const Lanes mean = load<width>(panel), inverse = load<width>(panel + width);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < n_rows; ++r) {
                    const Lanes z = (mean - rows[r * row_size_ + d]) * inverse;
                    squares[r] += z * z;
                }
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < n_rows; ++r) {
                sums[r][0] += low<Tiles>(squares[r]);
                sums[r][1] += high<Tiles>(squares[r]);
            }
        }
#pragma GCC unroll 2
        for (std::size_t half = 0; half < 2; ++half) {
            const std::size_t first = k + half * lanes;
            const Doubles offset = load_doubles(&mixture_.offsets[first]);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < n_rows; ++r)
                store(&logs_[(i + r) * log_size_ + first], offset - 0.5 * sums[r][half]);
        }
    }

    /// False where float32 is not enough for the row.
    template <class Tiles>
    ALWAYS_INLINE bool find_posteriors(std::size_t i) {
        const std::size_t n = mixture_.padded_components;
        const double* logs = &logs_[i * log_size_];
        float* shares = &shares_[i * share_size_];
        Doubles most = load_doubles(logs), over = most - load_doubles(&mixture_.least[0]);
        for (std::size_t k = lanes; k < n; k += lanes) {
            const Doubles log = load_doubles(logs + k);
            most = max(most, log);
            over = max(over, log - load_doubles(&mixture_.least[k]));
        }
        const double largest = aggregate::largest(most);
        if (!(aggregate::largest(over) >= 0)) return false;
        Lanes totals{};
        for (std::size_t k = 0; k < n; k += width) {
            const auto first =
                __builtin_convertvector(load_doubles(logs + k) - largest, Floats<lanes>);
            const auto second =
                __builtin_convertvector(load_doubles(logs + k + lanes) - largest, Floats<lanes>);
            const Lanes less = __builtin_shufflevector(first, second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                                       10, 11, 12, 13, 14, 15);
            const Lanes share = exponential<width>(max(less, splat<width>(-60)));
            totals += share;
            store(shares + k, share);
        }
        const float inverse = static_cast<float>(1 / sum(low<Tiles>(totals) + high<Tiles>(totals)));
        for (std::size_t k = 0; k < n; k += width)
            store(shares + k, load<width>(shares + k) * inverse);
        return true;
    }

    template <class Tiles>
    ALWAYS_INLINE void add_posteriors(std::size_t n) {
        for (std::size_t k = 0; k < mixture_.padded_components; k += width) {
            Doubles first = load_doubles(&posteriors_[k]);
            Doubles second = load_doubles(&posteriors_[k + lanes]);
            for (std::size_t i = 0; i < n; ++i) {
                const Lanes shares = load<width>(&shares_[i * share_size_ + k]);
                first += low<Tiles>(shares);
                second += high<Tiles>(shares);
            }
            store(&posteriors_[k], first);
            store(&posteriors_[k + lanes], second);
        }
    }

    template <class Tiles, bool steep>
    static constexpr std::size_t moment_tile = steep ? Tiles::components : 2 * Tiles::components;

    template <class Tiles, bool steep>
    ALWAYS_INLINE void add_all_moments(std::size_t n) {
        for (std::size_t d = 0; d < mixture_.padded_dims; d += width)
            for (std::size_t k = 0; k < mixture_.padded_components; k += moment_tile<Tiles, steep>)
                add_moments<Tiles, steep>(n, k, d);
    }

    /// To components k, k + 1, ... and dimensions d, d + 1, ... to d + 15, of the first n rows: the
    /// sums of p z and p z^2 where the mixture is steep, else those of p x and p x^2.
    template <class Tiles, bool steep>
    ALWAYS_INLINE void add_moments(std::size_t n, std::size_t k, std::size_t d) {
        constexpr std::size_t count = moment_tile<Tiles, steep>;
        Lanes first[count] = {}, second[count] = {}, mean[count], inverse[count];
#pragma GCC unroll 8
        for (std::size_t c = 0; c < count; ++c) {
            mean[c] = load<width>(&mixture_.means[place(k + c, d)]);
            inverse[c] = load<width>(&mixture_.inverses[place(k + c, d)]);
        }
        const float *row = &rows_[d], *posteriors = &shares_[k];
        for (std::size_t i = 0; i < n; ++i) {
            const Lanes x = load<width>(row), square = x * x;
#pragma GCC unroll 8
            for (std::size_t c = 0; c < count; ++c) {
                const Lanes z = (x - mean[c]) * inverse[c];
                first[c] += (steep ? z : x) * posteriors[c];
                second[c] += (steep ? z * z : square) * posteriors[c];
            }
            row += row_size_;
            posteriors += share_size_;
        }
#pragma GCC unroll 8
        for (std::size_t c = 0; c < count; ++c) {
            add_to<Tiles>(&first_[place(k + c, d)], first[c]);
            add_to<Tiles>(&second_[place(k + c, d)], second[c]);
        }
    }

    const QuickMixture& mixture_;
    ExactSums exact_;  // of the rows for which float32 is not enough
    bool any_exact_ = false;
    AlignedVector<double> posteriors_, first_, second_;
    // From one row to the next: not a power of two, of which few lines at once have a place in a
    // cache.
    std::size_t row_size_, share_size_, log_size_;
    AlignedVector<float> rows_, shares_;  // of a block: x, and posteriors
    AlignedVector<double> logs_;
};

}  // namespace trouvaille::aggregate
