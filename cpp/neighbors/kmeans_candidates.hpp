// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/simd.hpp"

namespace trouvaille::kmeans {

/// Points by estimate: of a stream the `n` least, and some more that are nearly as small.
class Candidates {
  public:
    void start(std::size_t n) {
        n_ = n;
        slack_ = std::max(least_slack, n / 2);  // or many would be cut off a few at a time
        size_ = 0;
        limit_ = std::numeric_limits<float>::infinity();
    }

    /// Beyond it a point is not wanted.
    float limit() const { return limit_; }

    /// Room for so many more, before they are added.
    void reserve(std::size_t more) {
        if (size_ + more + lanes <= estimates_.size()) return;
        estimates_.resize(size_ + more + lanes);
        places_.resize(size_ + more + lanes);
    }
    float* estimates() { return &estimates_[size_]; }
    std::uint32_t* places() { return &places_[size_]; }

    void add(std::size_t more) {
        size_ += more;
        if (size_ >= n_ + slack_) cut();
    }

    std::span<const std::uint32_t> finish() {
        if (size_ > n_) cut();
        return std::span(places_).first(size_);
    }

  private:
    static constexpr std::size_t least_slack = 128, bins = 128, lanes = 4;

    /// Counts the points in bins of equal width and keeps those in the first ones; only where they
    /// are nearly all alike must they be sorted.
    void cut() {
        const auto [least, most] = range();
        const float scale = static_cast<float>(bins) / (most - least);
        if (scale > 0 && scale < std::numeric_limits<float>::max()) keep_bins(least, scale);
        if (size_ >= n_ + slack_ / 2) keep_exactly();
    }

    std::pair<float, float> range() {
        Floats<lanes> low = splat<lanes>(estimates_[0]), high = low;
        for (std::size_t i = size_; i % lanes != 0; ++i) estimates_[i] = estimates_[0];
        for (std::size_t i = 0; i < size_; i += lanes) {
            const auto some = load<lanes>(&estimates_[i]);
            low = min(low, some);
            high = max(high, some);
        }
        return {std::min({low[0], low[1], low[2], low[3]}),
                std::max({high[0], high[1], high[2], high[3]})};
    }

    void keep_bins(float least, float scale) {
        const auto bin_of = [=](float estimate) {
            return std::min(static_cast<std::int32_t>((estimate - least) * scale),
                            std::int32_t{bins - 1});
        };
        std::array<std::uint32_t, bins> counts{};
        for (std::size_t i = 0; i < size_; ++i)
            ++counts[static_cast<std::size_t>(bin_of(estimates_[i]))];
        std::int32_t last = 0;
        for (std::size_t points = counts[0]; points < n_;)
            points += counts[static_cast<std::size_t>(++last)];
        std::size_t kept = 0;
        float largest = least;
        for (std::size_t i = 0; i < size_; ++i) {
            const float estimate = estimates_[i];
            const bool keeps = bin_of(estimate) <= last;
            estimates_[kept] = estimate;
            places_[kept] = places_[i];
            kept += keeps;
            largest = std::max(largest, keeps ? estimate : least);
        }
        size_ = kept;
        limit_ = largest;
    }

    /// The smaller place first among equals.
    void keep_exactly() {
        std::vector<std::pair<float, std::uint32_t>> sorted(size_);
        for (std::size_t i = 0; i < size_; ++i) sorted[i] = {estimates_[i], places_[i]};
        const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(n_);
        std::nth_element(sorted.begin(), end - 1, sorted.end());
        limit_ = (end - 1)->first;
        size_ = n_;
        for (std::size_t i = 0; i < n_; ++i) {
            estimates_[i] = sorted[i].first;
            places_[i] = sorted[i].second;
        }
    }

    std::size_t n_ = 0, slack_ = 0, size_ = 0;
    float limit_ = 0;
    std::vector<float> estimates_;
    std::vector<std::uint32_t> places_;
};

}  // namespace trouvaille::kmeans
