// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/target.hpp"

namespace trouvaille {

/// Bits that are set, by the instruction for it where the caller's target has one.
struct CountedByInstruction {
    ALWAYS_INLINE static std::size_t count(std::uint64_t x) {
        return static_cast<std::size_t>(std::popcount(x));
    }
};

/// The number of bits in which two rows of `bytes` bytes differ, a word at a time.
template <class Counted>
ALWAYS_INLINE std::int32_t differing_bits(const std::uint8_t* a, const std::uint8_t* b,
                                          std::size_t bytes) {
    static_assert(std::endian::native == std::endian::little);
    const auto differing = [&](std::size_t at, std::size_t size) {
        std::uint64_t x = 0, y = 0;
        std::memcpy(&x, a + at, size);
        std::memcpy(&y, b + at, size);
        return x ^ y;
    };
    std::size_t sum = 0, i = 0;
    for (; i + 8 <= bytes; i += 8) sum += Counted::count(differing(i, 8));
    if (i < bytes && bytes >= 8) {  // the last eight bytes, but for those that are counted
        sum += Counted::count(differing(bytes - 8, 8) >> 8 * (i + 8 - bytes));
        return static_cast<std::int32_t>(sum);
    }
    if (i + 4 <= bytes) {
        sum += Counted::count(differing(i, 4));
        i += 4;
    }
    for (; i < bytes; ++i) sum += Counted::count(differing(i, 1));
    return static_cast<std::int32_t>(sum);
}

}  // namespace trouvaille
