// SPDX-License-Identifier: Apache-2.0
#pragma once

// What decides for a query of floats; see exact_search.hpp. Private to neighbors/.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/target.hpp"
#include "neighbors/exact_search.hpp"
#include "neighbors/float_keys.hpp"
#include "neighbors/metric.hpp"

namespace trouvaille::exact {

template <class T>
ALWAYS_INLINE double squared_norm_of(const T* row, std::size_t dims) {
    double sums[8] = {};
    std::size_t d = 0;
    for (; d + 8 <= dims; d += 8)
        for (std::size_t j = 0; j < 8; ++j) {
            const double x = widened(row[d + j]);
            sums[j] += x * x;
        }
    for (; d < dims; ++d) sums[0] += double{widened(row[d])} * double{widened(row[d])};
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// Decides by the keys of float_keys.hpp; scores only sift. In float32, by a chain of `dims`
/// operations, the score of query q and row w is
///   l2: q.w - |w|^2 / 2;  inner product: q.w;  l1: -sum |q - w|,
/// and a threshold must pass every row whose key is below `worst`. With u = 2^-24 and
/// g = (2 dims + 32) u, larger than what either the score or the key can accumulate (gamma of
/// dims + 2 fused or 2 dims + 2 plain roundings), and W the largest norm of the panels:
///   l2: |s - exact| <= g (|q| |w| + |w|^2 / 2), exact key <= worst (1 + g), and so
///       s >= (|q|^2 - worst (1 + g)) / 2 - g (|q| W + W^2 / 2);
///   inner product: score and key are both within g |q| W: s >= -worst - 2 g |q| W;
///   l1: both are within a factor of 1 + g: s >= -worst (1 + g)^2.
template <class Kernel>
class FloatJudge {
  public:
    FloatJudge(const float* query, const Panels<Kernel>& panels)
        : query_(query), squared_norm_(squared_norm_of(query, panels.rows.cols)) {
        const double dims = static_cast<double>(panels.rows.cols);
        const double widest = panels.largest_norm, norm = std::sqrt(squared_norm_ * widest);
        relative_ = (2 * dims + 32) * 0x1p-24;
        // Where products underflow, each rounding adds up to half the smallest float instead.
        const double underflow = (dims + 1) * 0x1p-148;
        if (Kernel::metric == Metric::l2) absolute_ = relative_ * (norm + widest / 2) + underflow;
        if (Kernel::metric == Metric::inner_product) absolute_ = 2 * (relative_ * norm + underflow);
        // Where sums overflow, scores mean nothing: with a NaN for a threshold, every row passes.
        if (!(squared_norm_ + widest < 0x1p124))
            absolute_ = std::numeric_limits<double>::quiet_NaN();
    }

    template <class Found>
    ALWAYS_INLINE float threshold(const Found& found) const {
        const double worst =
            found.full() ? double{found.worst().score} : std::numeric_limits<double>::infinity();
        const double score = least_score(worst);
        return static_cast<float>(score - 0x1p-23 * std::abs(score));  // rounded down
    }

    template <class Found>
    ALWAYS_INLINE void offer(const float* scores, std::size_t p, const Panels<Kernel>& panels,
                             Found& found) const {
        const std::size_t begin = p * Kernel::panel;
        const std::size_t valid = std::min(Kernel::panel, panels.rows.rows - begin);
        const auto key = [&](std::size_t j) {
            return float_key<typename Kernel::Vectors, Kernel::metric>(
                query_, panels.rows.row(begin + j), panels.rows.cols);
        };
        const auto id = [&](std::size_t j) {
            return panels.first + static_cast<std::uint32_t>(begin + j);
        };
        if (found.capacity() == 1 && !found.full()) {  // the best row first: hardly another passes
            const std::size_t top =
                static_cast<std::size_t>(std::max_element(scores, scores + valid) - scores);
            found.push(key(top), id(top));
        }
        std::uint32_t rows[Kernel::panel];
        float keys[Kernel::panel];
        const std::size_t passed =
            passing_rows<Kernel::panel>(scores, threshold(found), valid, rows);
        for (std::size_t i = 0; i < passed; ++i)  // apart from the pushes, so that they overlap
            keys[i] = key(rows[i]);
        for (std::size_t i = 0; i < passed; ++i) found.push(keys[i], id(rows[i]));
    }

  private:
    ALWAYS_INLINE double least_score(double worst) const {
        if constexpr (Kernel::metric == Metric::l2)
            return (squared_norm_ - worst * (1 + relative_)) / 2 - absolute_;
        if constexpr (Kernel::metric == Metric::inner_product) return -worst - absolute_;
        return -worst * (1 + 3 * relative_) - absolute_;
    }

    const float* query_;
    double squared_norm_, relative_ = 0, absolute_ = 0;
};

}  // namespace trouvaille::exact
