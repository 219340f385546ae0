// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

inline constexpr std::size_t max_signature_photos = 65'536;  // of a block: 16 bits each
inline constexpr std::size_t max_signature_words = std::size_t{1} << 24;

/// Postings [begin, end) of a block.
struct PostingRange {
    std::size_t begin = 0, end = 0;

    std::size_t size() const { return end - begin; }
};

/// A block of photos as an inverted file of binary signatures: a list for each word, of which the
/// signatures lie side by side, and the photos that they belong to beside them. Photos ascend in a
/// list, one of several features as often as it has them.
///
/// List i is [starts[i], starts[i + 1]), of word words[i]; words ascend. If nearly all words have
/// a list, `words` is empty and the lists are those of all words: found by one look, not by
/// bisection.
struct Signatures {
    std::span<const std::uint32_t> words;
    std::span<const std::uint64_t> starts;  // one more than there are lists
    std::span<const std::uint16_t> photos;  // a posting
    MatrixView<const std::uint8_t> rows;    // a posting: packed bits

    bool listed() const { return words.size() + 1 == starts.size(); }
    std::size_t n_lists() const { return starts.size() - 1; }
    std::uint32_t word(std::size_t i) const {
        return listed() ? words[i] : static_cast<std::uint32_t>(i);
    }
    PostingRange list(std::size_t i) const { return {starts[i], starts[i + 1]}; }

    /// The postings of a word, of which there may be none.
    PostingRange find(std::uint32_t word) const {
        if (!listed()) return word < n_lists() ? list(word) : PostingRange{};
        const auto at = std::lower_bound(words.begin(), words.end(), word);
        if (at == words.end() || *at != word) return {};
        return list(static_cast<std::size_t>(at - words.begin()));
    }
};

/// Words and starts of `Signatures`.
struct SignatureDirectory {
    std::vector<std::uint32_t> words;
    std::vector<std::uint64_t> starts;
};

/// Puts postings in the order of their words; those of one word stay in the order they are in, in
/// which photos must ascend. Writes photos and rows; returns the directory.
///
/// Requires words below num_words <= max_signature_words and spans of one length. O(postings +
/// num_words); throws Interrupted (core/interrupt.hpp).
SignatureDirectory build_signatures(std::span<const std::uint32_t> words,
                                    std::span<const std::uint16_t> photos,
                                    MatrixView<const std::uint8_t> rows, std::size_t num_words,
                                    std::span<std::uint16_t> sorted_photos,
                                    MatrixView<std::uint8_t> sorted_rows);

/// Throws std::invalid_argument unless the arrays, which may be anybody's, are a block of so many
/// words and photos, with signatures of `bits` bits: what other functions here require of blocks.
void check_signatures(const Signatures& block, std::size_t num_words, std::size_t photos,
                      std::size_t bits);

/// Copies the signatures of a photo's features, whose words ascend, to `rows`, a row a feature; of
/// the features of one word in the order of its list. Returns false if the lists lack one of them.
/// Logarithmic in the length of a list; throws Interrupted.
bool take_signatures(const Signatures& block, std::uint16_t photo,
                     std::span<const std::uint32_t> words, MatrixView<std::uint8_t> rows);

/// counts[w] += the number of photos that have word w, of those that `alive` has (core/bits.hpp).
void add_photo_counts(const Signatures& block, std::span<const std::uint64_t> alive,
                      std::span<std::int64_t> counts);

/// sums[p] += weights[w] * s over the words w of each photo p, words ascending, where s is
///   n^2 for n postings, if there are no `similarities`: a norm of weighted term frequencies;
///   otherwise the sum of similarities[d] over all n^2 pairs of the postings' signatures, d the
///   bits in which a pair differs: how similar a match kernel finds the photo to itself.
void add_self_similarities(const Signatures& block, std::span<const double> weights,
                           std::span<const double> similarities, std::span<double> sums);

/// The same of rows, whose equal words stand side by side: those of photo p are
/// [offsets[p], offsets[p + 1]).
void add_self_similarities(std::span<const std::int64_t> offsets,
                           std::span<const std::uint32_t> words,
                           MatrixView<const std::uint8_t> rows, std::span<const double> weights,
                           std::span<const double> similarities, std::span<double> sums);

}  // namespace trouvaille
