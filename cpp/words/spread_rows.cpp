// SPDX-License-Identifier: Apache-2.0
#include "words/spread_rows.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "neighbors/row_distances.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t block = 1024;  // rows whose distances are summed by themselves

template <class T>
using Weight = std::conditional_t<std::is_same_v<T, float>, double, std::uint64_t>;

std::uint64_t draw(Random& random, std::uint64_t total) {
    return random.below(total);
}

double draw(Random& random, double total) {
    return random.uniform() * total;
}

/// The place of the drawn number in the running sum of weights, which it lies below; with rounding
/// the last place that has any weight.
template <class W, class Weights>
std::size_t place_of(W& drawn, const Weights& weights, std::size_t n) {
    std::size_t last = n;
    for (std::size_t i = 0; i < n; ++i) {
        const auto weight = static_cast<W>(weights[i]);
        if (weight == 0) continue;
        if (drawn < weight) return i;
        drawn -= weight;
        last = i;
    }
    drawn = std::numeric_limits<W>::max();  // of the place that is returned, the last again
    return last;
}

/// How far each point is from the nearest row drawn.
template <class T>
class Spread {
  public:
    explicit Spread(MatrixView<const T> points)
        : points_(points),
          distances_(points.rows, std::numeric_limits<Distance<T>>::max()),
          sums_((points.rows + block - 1) / block) {}

    void draw_row(std::size_t row, int threads) {
        const T* drawn = points_.row(row);
        parallel_for(sums_.size(), 8, threads, [&](std::size_t begin, std::size_t end) {
            InterruptPoll poll;
            std::uint32_t rows[block];
            Distance<T> fresh[block];
            for (std::size_t b = begin; b < end; ++b) {
                const std::size_t first = b * block, n = std::min(block, points_.rows - first);
                std::iota(rows, rows + n, std::uint32_t{0});
                row_distances_(drawn, points_.slice(first, first + n), rows, n, fresh);
                Weight<T> sum = 0;
                for (std::size_t i = 0; i < n; ++i) {
                    Distance<T>& nearest = distances_[first + i];
                    nearest = std::min(nearest, fresh[i]);
                    sum += static_cast<Weight<T>>(nearest);
                }
                sums_[b] = sum;
                poll.did(n);
            }
        });
    }

    /// points.rows if every point is at one of the rows drawn.
    std::size_t next(Random& random) const {
        const auto total = std::accumulate(sums_.begin(), sums_.end(), Weight<T>{0});
        if (total == 0) return points_.rows;
        Weight<T> drawn = draw(random, total);
        const std::size_t first = place_of(drawn, sums_, sums_.size()) * block;
        return first + place_of(drawn, std::span(distances_).subspan(first),
                                std::min(block, points_.rows - first));
    }

  private:
    MatrixView<const T> points_;
    std::vector<Distance<T>> distances_;
    std::vector<Weight<T>> sums_;
    RowDistances<T> row_distances_ = row_distances<T>();
};

}  // namespace

template <class T>
std::vector<std::int64_t> spread_rows(MatrixView<const T> points, std::size_t count,
                                      std::uint64_t seed, int threads) {
    std::vector<std::int64_t> rows;
    if (points.rows == 0 || count == 0) return rows;
    Random random(seed, 0);
    Spread<T> spread(points);
    for (std::size_t row = random.below(points.rows); row < points.rows;
         row = spread.next(random)) {
        rows.push_back(static_cast<std::int64_t>(row));
        if (rows.size() == count) break;
        spread.draw_row(row, threads);
    }
    return rows;
}

template std::vector<std::int64_t> spread_rows(MatrixView<const std::uint8_t>, std::size_t,
                                               std::uint64_t, int);
template std::vector<std::int64_t> spread_rows(MatrixView<const float>, std::size_t, std::uint64_t,
                                               int);

}  // namespace trouvaille
