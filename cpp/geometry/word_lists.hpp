// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/interrupt.hpp"
#include "core/size.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// A query's rows by word. Words may be any numbers, and are few: a hash table with open addressing
/// finds a word's list. That a word has none, as most have not, a bit of its hash tells first:
/// there are at least 16 bits a word, which fit the first-level cache. Throws std::length_error for
/// 2^32 words or more, Interrupted (core/interrupt.hpp).
class WordLists {
  public:
    explicit WordLists(MatrixView<const std::uint32_t> words) {
        const std::size_t n = checked_mul(words.rows, words.cols, "the query's number of words");
        static_cast<void>(checked_cast<std::uint32_t>(n, "the query's number of words"));
        const std::size_t size = std::bit_ceil(2 * n + 2);  // at least half of the slots are empty
        slots_.resize(size);
        shift_ = 64 - std::countr_zero(size);
        present_.resize(size / (64 / bits_a_slot) + 1);
        InterruptPoll poll;
        for (std::size_t i = 0; i < n; ++i) {
            Slot& slot = slots_[find(words.data[i])];
            slot.word = words.data[i];
            ++slot.end;  // a count, until it becomes the end of the list
            const std::uint64_t bit = bit_of(words.data[i]);
            present_[bit / 64] |= std::uint64_t{1} << bit % 64;
            poll.did(1);
        }
        std::uint32_t end = 0;
        for (Slot& slot : slots_) slot.begin = slot.end = end += slot.end;
        rows_.resize(n);
        for (std::size_t i = n; i-- > 0;) {  // backwards, so that each list ascends
            rows_[--slots_[find(words.data[i])].begin] = static_cast<std::uint32_t>(i / words.cols);
            poll.did(1);
        }
    }

    /// The rows that have `word`, in ascending order.
    std::span<const std::uint32_t> operator[](std::uint32_t word) const {
        const std::uint64_t bit = bit_of(word);
        if ((present_[bit / 64] >> bit % 64 & 1) == 0) return {};
        const Slot& slot = slots_[find(word)];
        return {rows_.data() + slot.begin, slot.end - slot.begin};
    }

    /// A number below the number of words in all that a list which is not empty has for itself.
    std::size_t number_of(std::span<const std::uint32_t> list) const {
        return static_cast<std::size_t>(list.data() - rows_.data());
    }

  private:
    static constexpr unsigned bits_a_slot = 8;
    static constexpr std::uint64_t no_word = std::uint64_t{1} << 32;
    struct Slot {
        std::uint64_t word = no_word;
        std::uint32_t begin = 0, end = 0;
    };

    static std::uint64_t hash(std::uint32_t word) {
        return word * std::uint64_t{0x9E3779B97F4A7C15};
    }
    std::uint64_t bit_of(std::uint32_t word) const {
        return hash(word) >> (shift_ - std::countr_zero(bits_a_slot));
    }

    // The slot of `word`, or the empty one where it would go.
    std::size_t find(std::uint32_t word) const {
        std::size_t i = hash(word) >> shift_;
        while (slots_[i].word != word && slots_[i].word != no_word)
            i = (i + 1) & (slots_.size() - 1);
        return i;
    }

    std::vector<Slot> slots_;
    std::vector<std::uint64_t> present_;
    int shift_ = 0;
    std::vector<std::uint32_t> rows_;
};

}  // namespace trouvaille
