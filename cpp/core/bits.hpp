// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace trouvaille
