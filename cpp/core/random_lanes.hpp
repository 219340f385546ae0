// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/simd.hpp"

namespace trouvaille {

/// The first four words of N streams Random(seed, item), Random(seed, item + 1), ...: words[w][l]
/// is word w of stream item + l.
template <std::size_t N>
ALWAYS_INLINE void first_words(std::uint64_t seed, std::uint64_t item, std::uint32_t* words,
                               std::size_t stride) {
    using Lanes = typename VectorOf<std::uint64_t, N>::type;  // 32 bits each
    constexpr std::uint64_t low = 0xFFFF'FFFF;
    Lanes items;
    for (std::size_t l = 0; l < N; ++l) items[l] = item + l;
    Lanes c0{}, c1{}, c2 = items & low, c3 = items >> 32;
    std::uint64_t key0 = seed & low, key1 = seed >> 32;
    for (int round = 0; round < 10; ++round) {
        const Lanes a = c0 * std::uint64_t{0xD2511F53}, b = c2 * std::uint64_t{0xCD9E8D57};
        c0 = (b >> 32) ^ c1 ^ key0;
        c1 = b & low;
        c2 = (a >> 32) ^ c3 ^ key1;
        c3 = a & low;
        key0 = (key0 + 0x9E3779B9) & low;
        key1 = (key1 + 0xBB67AE85) & low;
    }
    const Lanes all[4] = {c0, c1, c2, c3};
    for (std::size_t w = 0; w < 4; ++w)
        store(words + w * stride,
              __builtin_convertvector(all[w], typename VectorOf<std::uint32_t, N>::type));
}

}  // namespace trouvaille
