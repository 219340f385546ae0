// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/target.hpp"

namespace trouvaille {

/// Asks for every cache line of n items, each once: to ask twice for one that is on its way costs
/// time.
template <class T>
ALWAYS_INLINE void prefetch(const T* items, std::size_t n) {
    constexpr std::uintptr_t line = 64;
    const auto begin = reinterpret_cast<std::uintptr_t>(items);
    for (std::uintptr_t at = begin / line * line; at < begin + n * sizeof(T); at += line)
        __builtin_prefetch(reinterpret_cast<const void*>(at));
}

}  // namespace trouvaille
