// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/target.hpp"

namespace trouvaille {

/// Whether `bits`, the least significant of each word first, have bit i. No bits at all: all of
/// them are set.
ALWAYS_INLINE bool has_bit(std::span<const std::uint64_t> bits, std::size_t i) {
    return bits.empty() || (bits[i / 64] >> i % 64 & 1) != 0;
}

/// How many of the first n bits are set.
inline std::size_t count_bits(std::span<const std::uint64_t> bits, std::size_t n) {
    if (bits.empty()) return n;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < n; i += 64) {
        const std::uint64_t beyond = n - i < 64 ? ~std::uint64_t{0} << (n - i) : 0;
        sum += static_cast<std::size_t>(std::popcount(bits[i / 64] & ~beyond));
    }
    return sum;
}

}  // namespace trouvaille
