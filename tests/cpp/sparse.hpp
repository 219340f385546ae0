// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/random.hpp"
#include "index/build.hpp"

namespace trouvaille::test {

/// Word i of n that are spread over num_words: the first is word 0, the last num_words - 1.
inline std::uint32_t spread_word(std::size_t i, std::size_t n, std::uint64_t num_words) {
    return static_cast<std::uint32_t>(i * (num_words - 1) / (n - 1));
}

/// Random rows. Of its `n_words` different words, word i is in one of i / 2 + 1 rows: the first are
/// kept as bitmaps, the last are rare. Every fifth row is empty. Values are drawn from a few, so
/// that they repeat; a word may repeat within a row, and its sum may be zero if values may be
/// negative.
struct Rows {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint32_t> words;
    std::vector<float> values;

    Rows() = default;
    Rows(std::size_t n, std::uint64_t seed, std::uint64_t num_words, std::span<const float> drawn,
         std::size_t n_words = 24) {
        for (std::size_t row = 0; row < n; ++row) {
            Random random(seed, row);
            for (std::size_t i = n_words; i-- > 0 && row % 5 != 4;) {
                if (random.below(i / 2 + 1) > 0) continue;
                for (std::uint64_t repeats = random.below(8) == 0 ? 2 : 1; repeats > 0; --repeats) {
                    words.push_back(spread_word(i, n_words, num_words));
                    values.push_back(drawn[random.below(drawn.size())]);
                }
            }
            offsets.push_back(static_cast<std::int64_t>(words.size()));
        }
    }

    std::size_t size() const { return offsets.size() - 1; }
    SparseRows view() const { return {offsets, words, values}; }

    /// Row i as a map: sums of what repeats, zeros among them.
    std::map<std::uint32_t, float> row(std::size_t i) const {
        std::map<std::uint32_t, float> sums;
        for (auto e = static_cast<std::size_t>(offsets[i]);
             e < static_cast<std::size_t>(offsets[i + 1]); ++e)
            sums[words[e]] += values[e];
        return sums;
    }

    void append(const std::map<std::uint32_t, float>& row) {
        for (const auto& [word, value] : row) {
            words.push_back(word);
            values.push_back(value);
        }
        offsets.push_back(static_cast<std::int64_t>(words.size()));
    }

    bool operator==(const Rows&) const = default;
};

inline constexpr float whole_values[] = {1, 1, 1, 1, 2, 3, 700};
inline constexpr float signed_values[] = {1, -1, 0.5F, -0.5F, 0.1F, 3, 0};
inline constexpr float positive_values[] = {1, 0.5F, 0.1F, 3, 2.9F};

/// Bits of n documents, of which two in three are set.
inline std::vector<std::uint64_t> random_bits(std::size_t n, std::uint64_t seed) {
    std::vector<std::uint64_t> bits((n + 63) / 64);
    Random random(seed, n);
    for (std::size_t i = 0; i < n; ++i)
        bits[i / 64] |= std::uint64_t{random.below(3) > 0} << i % 64;
    return bits;
}

}  // namespace trouvaille::test
