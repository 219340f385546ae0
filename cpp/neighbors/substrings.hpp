// SPDX-License-Identifier: Apache-2.0
#pragma once

// How multi-index hashing cuts codes. Private to neighbors/.

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/target.hpp"
#include "neighbors/multi_index.hpp"

namespace trouvaille::hamming {

/// One substring: where its bits are in a code, and its directory in those of all.
struct Substring {
    std::size_t begin, length, directory;

    std::size_t values() const { return std::size_t{1} << length; }

    /// Its value in a code: at most 25 bits, so of at most 4 bytes.
    ALWAYS_INLINE std::uint32_t of(const std::uint8_t* code) const {
        const std::size_t first = begin / 8, last = (begin + length - 1) / 8;
        std::uint32_t word = 0;
        for (std::size_t i = first; i <= last; ++i)
            word |= std::uint32_t{code[i]} << (8 * (i - first));
        return word >> begin % 8 & static_cast<std::uint32_t>(values() - 1);
    }
};
static_assert(max_substring_bits + 7 <= 32);

/// All substrings of codes of `bits` bits.
inline std::vector<Substring> substrings_of(std::size_t bits, std::size_t tables) {
    assert(tables >= 1 && tables <= bits);
    std::vector<Substring> all;
    std::size_t directory = 0;
    for (std::size_t t = 0; t < tables; ++t) {
        const std::size_t begin = bits * t / tables, end = bits * (t + 1) / tables;
        all.push_back({begin, end - begin, directory});
        assert(end - begin <= max_substring_bits);
        directory += all.back().values() + 1;
    }
    return all;
}

}  // namespace trouvaille::hamming
