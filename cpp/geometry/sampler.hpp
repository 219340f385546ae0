// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/random.hpp"

namespace trouvaille {

/// Draws samples of `size` different matches of a pool: a pure function of (seed, trial), but for
/// how far the pool has been opened.
///
/// With an ordered pool, best first, the best are tried first: a set of the n best grows by the
/// paper's rule. From trial `all_from` on, samples are of all, so that a misleading order delays
/// and does not prevent. Chum, Matas. Matching with PROSAC - progressive sample consensus. CVPR
/// 2005.
class Sampler {
  public:
    Sampler(std::span<const std::uint32_t> pool, std::size_t size, bool ordered,
            std::uint64_t all_from, std::uint64_t seed)
        : pool_(pool),
          size_(size),
          seed_(seed),
          open_(ordered ? size : pool.size()),
          all_from_(all_from),
          until_(ordered ? 1 : 0),
          fraction_(growth) {
        for (std::size_t i = 0; i < size; ++i)
            fraction_ *= static_cast<double>(size - i) / static_cast<double>(pool.size() - i);
    }

    /// `trial` counts from 0, and grows from call to call; `words` are the first of its stream,
    /// Random(seed, trial).
    void draw(std::uint64_t trial, const std::array<std::uint32_t, 4>& words,
              std::span<std::uint32_t> sample) {
        if (trial >= all_from_) {
            open_ = pool_.size();
            until_ = 0;
        }
        while (open_ < pool_.size() && static_cast<double>(trial) >= until_) open_more();
        if (size_ == 1) {  // each in turn
            sample[0] = pool_[trial % pool_.size()];
            open_ = std::min<std::size_t>(trial + 1, pool_.size());
            return;
        }
        Random random(seed_, trial, words);
        // The newest of the open ones is in each sample until the next is opened.
        const bool newest = open_ < pool_.size() || static_cast<double>(trial) < until_;
        std::size_t n = open_;
        std::size_t drawn = 0;
        if (newest && open_ > size_) sample[drawn++] = static_cast<std::uint32_t>(--n);
        while (drawn < size_) {
            const auto candidate =
                static_cast<std::uint32_t>(std::uint64_t{random.next()} * n >> 32);
            bool is_new = true;
            for (std::size_t i = 0; i < drawn; ++i) is_new &= sample[i] != candidate;
            sample[drawn] = candidate;
            drawn += is_new ? 1 : 0;
        }
        for (std::uint32_t& place : sample) place = pool_[place];
    }

    /// How many matches the latest sample was drawn from.
    std::size_t open() const { return open_; }

  private:
    // Trials after which all have been sampled as often as in a random order: the paper's.
    static constexpr double growth = 200'000;

    void open_more() {
        const auto n = static_cast<double>(open_), m = static_cast<double>(size_);
        const double next = fraction_ * (n + 1) / (n + 1 - m);
        until_ += std::ceil(next - fraction_);
        fraction_ = next;
        ++open_;
    }

    std::span<const std::uint32_t> pool_;
    std::size_t size_;
    std::uint64_t seed_;
    std::size_t open_;
    std::uint64_t all_from_;
    double until_;     // the trial that opens the next
    double fraction_;  // of `growth` samples of all, those that would be within the open ones
};

}  // namespace trouvaille
