// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trouvaille {

/// Whether the numbers are those from 0 on, each once, in any order.
inline bool has_each_once(std::span<const std::uint32_t> numbers) {
    std::vector<bool> met(numbers.size());
    for (const std::uint32_t number : numbers) {
        if (number >= numbers.size() || met[number]) return false;
        met[number] = true;
    }
    return true;
}

}  // namespace trouvaille
