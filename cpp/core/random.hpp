// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace trouvaille {

/// Philox-4x32-10: four random words, a pure function of a counter and a key.
///
/// Salmon, Moraes, Dror, Shaw. Parallel random numbers: as easy as 1, 2, 3. SC 2011.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(b),
                   static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(a)};
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return counter;
}

/// A stream of random numbers that depends on (seed, item) alone: work on item i gives the same
/// bits whichever thread does it, in whatever order or batch.
class Random {
  public:
    constexpr Random(std::uint64_t seed, std::uint64_t item)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          counter_{0, 0, static_cast<std::uint32_t>(item), static_cast<std::uint32_t>(item >> 32)} {
    }

    /// The same stream, its first four words known.
    constexpr Random(std::uint64_t seed, std::uint64_t item,
                     const std::array<std::uint32_t, 4>& first)
        : Random(seed, item) {
        words_ = first;
        counter_[0] = 1;
        used_ = 0;
    }

    constexpr std::uint32_t next() {
        if (used_ == 4) {
            words_ = philox(counter_, key_);
            if (++counter_[0] == 0) ++counter_[1];
            used_ = 0;
        }
        return words_[used_++];
    }

    constexpr std::uint64_t next64() {
        const std::uint64_t low = next();
        return low | std::uint64_t{next()} << 32;
    }

    /// Uniform in [0, n), n >= 1, without bias (rejection; n / 2^64 of the draws at the most).
    constexpr std::uint64_t below(std::uint64_t n) {
        const std::uint64_t unbiased = (0 - n) % n;  // 2^64 mod n: the draws to refuse
        std::uint64_t draw = next64();
        while (draw < unbiased) draw = next64();
        return draw % n;
    }

    /// Uniform in [0, 1), 53 random bits.
    constexpr double uniform() { return static_cast<double>(next64() >> 11) * 0x1.0p-53; }

  private:
    std::array<std::uint32_t, 2> key_;
    std::array<std::uint32_t, 4> counter_;
    std::array<std::uint32_t, 4> words_{};
    std::size_t used_ = 4;
};

}  // namespace trouvaille
