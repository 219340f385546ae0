// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/bits.hpp"

namespace trouvaille {

/// Whether `checks` are enough for all of n points that are alive (one bit each; none: all are).
/// They are counted only if `checks` are half of n or more: with fewer alive an index is as a rule
/// built again.
inline bool compares_all(std::span<const std::uint64_t> alive, std::size_t n,
                         std::uint64_t checks) {
    return checks >= n || (checks >= n / 2 && checks >= count_bits(alive, n));
}

}  // namespace trouvaille
