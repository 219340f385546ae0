// SPDX-License-Identifier: Apache-2.0
#pragma once

// Walks over all postings of a block, one by one: for what need not be fast.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/interrupt.hpp"
#include "index/block.hpp"

namespace trouvaille {

/// body(document, value) for every posting of a run, in order.
template <class Body>
void for_each_posting(const Block& block, const Run& run, Body body) {
    constexpr std::size_t piece = 256;
    float values[piece];
    std::uint16_t documents[piece];
    std::size_t word = 0;
    std::uint64_t bits = run.bitmap ? bitmap_word(run.documents, 0) : 0;
    for (std::size_t i = 0; i < run.size; i += piece) {
        const std::size_t n = std::min<std::size_t>(run.size - i, piece);
        if (run.values == nullptr)
            std::fill_n(values, n, run.value);
        else
            decode_values(block, run, i, n, values);
        if (run.bitmap) {
            for (std::size_t j = 0; j < n; ++j) {
                while (bits == 0) bits = bitmap_word(run.documents, ++word);
                documents[j] = static_cast<std::uint16_t>(
                    64 * word + static_cast<std::size_t>(std::countr_zero(bits)));
                bits &= bits - 1;
            }
        } else {
            std::copy_n(run.documents + i, n, documents);
        }
        for (std::size_t j = 0; j < n; ++j) body(documents[j], values[j]);
    }
}

/// The same for every posting of a list, run after run.
template <class Body>
void for_each_posting(const Block& block, List list, Body body) {
    Run run;
    for (Runs runs(block, list); runs.next(run);) for_each_posting(block, run, body);
}

/// body(word, list) for every list that is not empty, in the order of the words. Throws
/// Interrupted.
template <class Body>
void for_each_list(const Block& block, Body body) {
    InterruptPoll poll;
    for (std::size_t i = 0; i < block.lists(); ++i) {
        const List list{block.starts[i], block.starts[i + 1]};
        poll.did(1 + list.end - list.begin);
        if (!list.empty()) body(block.word(i), list);
    }
}

}  // namespace trouvaille
