// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace trouvaille {

/// How sure it is that samples of inliers alone have been met, if the best model's inliers are the
/// right ones. Samples are drawn from the first n matches of a pool, n growing with the trials; so
/// where the first ones are better than the rest, few samples are enough.
class Certainty {
  public:
    /// `reliability`: how often a sample of inliers leads to the model.
    Certainty(std::size_t pool, std::size_t sample_size, double reliability)
        : sample_size_(sample_size),
          reliability_(reliability),
          drawn_(pool + 1, 0),
          alone_(pool + 1, 0) {}

    /// `n_samples` more were drawn from the first `n` matches.
    void drew(std::size_t n_samples, std::size_t n) {
        drawn_[n] += n_samples;
        value_ += certainty_of(n_samples, n);
    }

    /// Minus the logarithm of the chance that none was met.
    double value() const { return value_; }

    /// There is a better model: is_inlier(i) of the i-th match of the pool. `chance`: how often a
    /// wrong model explains a match; a start of the pool that is no better than that says nothing.
    /// `passing`: how often a hypothesis of the better model is not given up.
    template <class IsInlier>
    void update(double chance, double passing, IsInlier is_inlier) {
        const std::size_t pool = alone_.size() - 1, fewest = std::min<std::size_t>(16, pool);
        passing_ = passing;
        value_ = 0;
        double inliers = 0;
        for (std::size_t n = 1; n <= pool; ++n) {
            inliers += is_inlier(n - 1) ? 1 : 0;
            const auto all = static_cast<double>(n);
            // Five deviations, for it is the best of many models.
            const double by_chance = chance * all + 5 * std::sqrt(all * chance * (1 - chance));
            const bool tells =
                n >= fewest && inliers >= static_cast<double>(sample_size_) + by_chance;
            alone_[n] = tells ? 1 : 0;
            for (std::size_t i = 0; i < sample_size_ && tells; ++i) {  // no match is drawn twice
                const auto drawn = static_cast<double>(i);
                alone_[n] *= (inliers - drawn) / (all - drawn);
            }
            if (drawn_[n] > 0) value_ += certainty_of(drawn_[n], n);
        }
    }

  private:
    double certainty_of(std::uint64_t n_samples, std::size_t n) const {
        const double met = std::min(alone_[n] * passing_ * reliability_, 1 - 1e-12);
        return -static_cast<double>(n_samples) * std::log1p(-met);
    }

    std::size_t sample_size_;
    double reliability_, passing_ = 1, value_ = 0;
    std::vector<std::uint64_t> drawn_;  // samples from the first n
    std::vector<double> alone_;         // the chance that such a sample is of inliers alone
};

}  // namespace trouvaille
