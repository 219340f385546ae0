// SPDX-License-Identifier: Apache-2.0
#pragma once

// What rows sum up to, in float32 where that is enough (quick_mixture.hpp): first all posteriors of
// a block of rows, then the sums of each component over those of its rows that count. Private to
// aggregate/.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "aggregate/doubles.hpp"
#include "aggregate/exact_sums.hpp"
#include "aggregate/quick_mixture.hpp"
#include "aggregate/tiles.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/float_pack.hpp"

namespace trouvaille::aggregate {

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
          logs_(block_rows() * log_size_) {
        for (Hits& hits : hits_) {
            hits.rows.resize(block_rows() + width);
            hits.shares.resize(block_rows() + width);
        }
    }

    /// They stay in the first cache.
    std::size_t block_rows() const {
        return std::clamp<std::size_t>(12288 / mixture_.padded_dims / 16 * 16, 16, 192);
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
        for (std::size_t k = 0; k < mixture_.components; ++k) {
            const double* inverses = &mixture_.exact.inverses[k * mixture_.exact.padded_dims];
            double *first = &first_[place(k, 0)], *second = &second_[place(k, 0)];
            for (std::size_t d = 0; d < mixture_.dims; ++d) {
                first[d] *= inverses[d];
                second[d] *= inverses[d] * inverses[d];
            }
        }
        if (any_exact_) add_exact();
    }

    /// At most block_rows() rows.
    template <class Tiles, class T>
    ALWAYS_INLINE void add(MatrixView<const T> x) {
        for (std::size_t i = 0; i < x.rows; ++i) center_row(x.row(i), i);
        for (std::size_t k = 0; k < mixture_.padded_components; k += Tiles::floats)
            for (std::size_t i = 0; i < x.rows; i += tile_rows) find_log_densities<Tiles>(i, k);
        for (std::size_t i = 0; i < x.rows; ++i) {
            prefetch(x.row(x.rows + i), x.cols);  // of the next block
            if (find_posteriors<Tiles>(i)) continue;
            exact_.add<Tiles>(x.slice(i, i + 1));
            any_exact_ = true;
            std::fill_n(&rows_[i * row_size_], mixture_.padded_dims, 0.0F);
            std::fill_n(&shares_[i * share_size_], mixture_.padded_components, 0.0F);
        }
        for (std::size_t i = x.rows; i % width > 0; ++i)
            std::fill_n(&shares_[i * share_size_], mixture_.padded_components, 0.0F);
        for (std::size_t k = 0; k < mixture_.padded_components; k += Tiles::floats)
            add_posteriors<Tiles>(x.rows, k);
        for (std::size_t k = 0; k < mixture_.padded_components; k += width) {
            for (Hits& hits : hits_) hits.count = 0;
            for (std::size_t i = 0; i < x.rows; i += width) find_hits<Tiles>(i, k);
            for (std::size_t c = 0; c < width; ++c) add_all_moments<Tiles>(k + c, hits_[c]);
        }
    }

  private:
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
    static constexpr std::size_t tile_rows = 8, tile_vectors = 4;
    static constexpr std::size_t summed = 32;       // squares, in float32
    static constexpr float least_share = 0x1p-20F;  // of a component, beside other rows
    static constexpr float nothing = 1e-16F;        // of a row, whatever others have

    template <class Tiles>
    using Vector = Floats<Tiles::floats>;
    template <class Tiles>
    using Half = typename Tiles::Half;

    std::size_t place(std::size_t k, std::size_t d) const { return k * mixture_.padded_dims + d; }

    template <class T>
    ALWAYS_INLINE static void prefetch(const T* row, std::size_t n) {
        const char* bytes = reinterpret_cast<const char*>(row);
        for (std::size_t b = 0; b < n * sizeof(T); b += 64) __builtin_prefetch(bytes + b);
    }

    template <class T>
    ALWAYS_INLINE void center_row(const T* x, std::size_t i) {
        const float* center = mixture_.center.data();
        float* row = &rows_[i * row_size_];
        const std::size_t dims = mixture_.dims;
#pragma GCC ivdep
        for (std::size_t d = 0; d < dims; ++d) row[d] = static_cast<float>(x[d]) - center[d];
    }

    /// log p(x, k) of rows i, i + 1, ... to i + 7 and a vector of components from k on.
    template <class Tiles>
    ALWAYS_INLINE void find_log_densities(std::size_t i, std::size_t k) {
        constexpr std::size_t n_rows = tile_rows, N = Tiles::floats;
        const float *rows = &rows_[i * row_size_],
                    *panel = &mixture_.panels[k / width * 2 * width * mixture_.dims + k % width];
        Half<Tiles> sums[n_rows][2] = {};
        for (std::size_t begin = 0; begin < mixture_.dims; begin += summed) {
            const std::size_t end = std::min(mixture_.dims, begin + summed);
            Vector<Tiles> squares[n_rows] = {};
            for (std::size_t d = begin; d < end; ++d, panel += 2 * width) {
                const Vector<Tiles> mean = load<N>(panel), inverse = load<N>(panel + width);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < n_rows; ++r) {
                    const Vector<Tiles> z = (mean - rows[r * row_size_ + d]) * inverse;
                    squares[r] += z * z;
                }
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < n_rows; ++r) {
                sums[r][0] += Tiles::low(squares[r]);
                sums[r][1] += Tiles::high(squares[r]);
            }
        }
#pragma GCC unroll 2
        for (std::size_t half = 0; half < 2; ++half) {
            const std::size_t first = k + half * N / 2;
            const Half<Tiles> offset = load_half<Tiles>(&mixture_.offsets[first]);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < n_rows; ++r)
                store(&logs_[(i + r) * log_size_ + first], offset - 0.5 * sums[r][half]);
        }
    }

    /// False where float32 is not enough for the row.
    template <class Tiles>
    ALWAYS_INLINE bool find_posteriors(std::size_t i) {
        constexpr std::size_t N = Tiles::floats, half = N / 2;
        const std::size_t n = mixture_.padded_components;
        const double *logs = &logs_[i * log_size_], *least = mixture_.least.data();
        float* shares = &shares_[i * share_size_];
        Half<Tiles> most = load_half<Tiles>(logs), over = most - load_half<Tiles>(least);
        for (std::size_t k = half; k < n; k += half) {
            const Half<Tiles> log = load_half<Tiles>(logs + k);
            most = max(most, log);
            over = max(over, log - load_half<Tiles>(least + k));
        }
        const double largest = largest_of<Tiles>(most);
        if (!(largest_of<Tiles>(over) >= 0)) return false;
        alignas(64) float totals[width] = {};
        for (std::size_t first = 0; first < width; first += N) {
            Vector<Tiles> total{};
            for (std::size_t k = first; k < n; k += width) {
                const Vector<Tiles> less =
                    Tiles::narrow(load_half<Tiles>(logs + k) - largest,
                                  load_half<Tiles>(logs + k + half) - largest);
                const Vector<Tiles> share = exponential<N>(max(less, splat<N>(-60)));
                total += share;
                store(shares + k, share);
            }
            store(totals + first, total);
        }
        const float inverse = static_cast<float>(1 / sum_of<Tiles>(totals));
        for (std::size_t k = 0; k < n; k += N) store(shares + k, load<N>(shares + k) * inverse);
        return true;
    }

    template <class Tiles>
    ALWAYS_INLINE static double largest_of(Half<Tiles> v) {
        if constexpr (Tiles::floats == 2 * lanes) return aggregate::largest(v);
        double most = v[0];
        for (std::size_t l = 1; l < Tiles::floats / 2; ++l) most = std::max(most, double{v[l]});
        return most;
    }

    /// Of 16 numbers: the second half added to the first, and so on.
    template <class Tiles>
    ALWAYS_INLINE static double sum_of(const float* v) {
        constexpr std::size_t N = Tiles::floats;
        alignas(64) double sums[width];
        for (std::size_t l = 0; l < width; l += N) {
            store(sums + l, Tiles::low(load<N>(v + l)));
            store(sums + l + N / 2, Tiles::high(load<N>(v + l)));
        }
        return sum(load_doubles(sums) + load_doubles(sums + lanes));
    }

    /// Of the first n rows to a vector of components from k on; zeroes what is not to count.
    template <class Tiles>
    ALWAYS_INLINE void add_posteriors(std::size_t n, std::size_t k) {
        constexpr std::size_t N = Tiles::floats;
        float* shares = &shares_[k];
        Vector<Tiles> total{};
        for (std::size_t i = 0; i < n; ++i) total += load<N>(shares + i * share_size_);
        const Vector<Tiles> least =
            max(total * (least_share / static_cast<float>(n)), splat<N>(nothing));
        Half<Tiles> sums[2] = {};
        for (std::size_t i = 0; i < n; ++i, shares += share_size_) {
            const Vector<Tiles> share = load<N>(shares);
            const Ints<N> less = where_negative<N>(trouvaille::bits<N>(share - least));
            const Vector<Tiles> kept = select<N>(less, Vector<Tiles>{}, share);
            store(shares, kept);
            sums[0] += Tiles::low(kept);
            sums[1] += Tiles::high(kept);
        }
        for (std::size_t half = 0; half < 2; ++half) {
            double* to = &posteriors_[k + half * N / 2];
            store(to, load_half<Tiles>(to) + sums[half]);
        }
    }

    /// The rows of a block that count for a component, and their shares.
    struct Hits {
        std::size_t count = 0;
        AlignedVector<std::uint32_t> rows;
        AlignedVector<float> shares;
    };

    /// Of rows i, i + 1, ... to i + 15 and components k, k + 1, ... to k + 15.
    template <class Tiles>
    ALWAYS_INLINE void find_hits(std::size_t i, std::size_t k) {
        const float* shares = &shares_[i * share_size_ + k];
        const auto first = static_cast<std::uint32_t>(i);
        if constexpr (Tiles::compresses) {
            Floats<width> of_components[width];
#pragma GCC unroll 16
            for (std::size_t r = 0; r < width; ++r)
                of_components[r] = load<width>(shares + r * share_size_);
            exact::transpose<width>(of_components);
#pragma GCC unroll 16
            for (std::size_t c = 0; c < width; ++c) {
                Hits& hits = hits_[c];
                hits.count += Tiles::append(of_components[c], first, &hits.rows[hits.count],
                                            &hits.shares[hits.count]);
            }
        } else {
            for (std::size_t c = 0; c < width; ++c) {
                Hits& hits = hits_[c];
                std::size_t n = hits.count;
                for (std::uint32_t r = 0; r < width; ++r) {
                    const float share = shares[r * share_size_ + c];
                    hits.rows[n] = first + r;
                    hits.shares[n] = share;
                    n += share > 0;
                }
                hits.count = n;
            }
        }
    }

    template <class Tiles>
    ALWAYS_INLINE void add_all_moments(std::size_t k, const Hits& hits) {
        constexpr std::size_t step = tile_vectors * Tiles::floats;
        std::size_t d = 0;
        for (; d + step <= mixture_.padded_dims; d += step)
            add_moments<Tiles, tile_vectors>(k, d, hits);
        for (; d < mixture_.padded_dims; d += Tiles::floats) add_moments<Tiles, 1>(k, d, hits);
    }

    /// To component k and so many vectors of dimensions from d on: the sums of p (x - mean) and
    /// p (x - mean)^2.
    template <class Tiles, std::size_t Vectors>
    ALWAYS_INLINE void add_moments(std::size_t k, std::size_t d, const Hits& hits) {
        constexpr std::size_t N = Tiles::floats;
        const std::size_t row_size = row_size_;
        Vector<Tiles> first[Vectors] = {}, second[Vectors] = {};
        const std::uint32_t* numbers = hits.rows.data();
        const float *rows = &rows_[d], *shares = hits.shares.data(),
                    *means = &mixture_.means[place(k, d)];
        for (std::size_t h = 0, n = hits.count; h < n; ++h) {
            const float *row = rows + numbers[h] * row_size, share = shares[h];
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                const Vector<Tiles> away = load<N>(row + v * N) - load<N>(means + v * N);
                const Vector<Tiles> weighted = away * share;
                first[v] += weighted;
                second[v] += weighted * away;
            }
        }
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) {
            add_to<Tiles>(&first_[place(k, d + v * N)], first[v]);
            add_to<Tiles>(&second_[place(k, d + v * N)], second[v]);
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
    Hits hits_[width];  // of as many components
};

}  // namespace trouvaille::aggregate
