// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"
#include "geometry/match.hpp"

namespace trouvaille {

/// The photo that is matched: n features with k distinct words each, and with a signature for each
/// word, since what a feature is compared with differs from word to word.
struct SignedQuery {
    MatrixView<const std::uint32_t> words;      ///< shape (n, k)
    MatrixView<const std::uint8_t> signatures;  ///< row q k + j is that of feature q for its word j
    std::int32_t max_distance;                  ///< bits in which signatures of a match may differ
};

/// One photo of the shortlist: each feature's word, in any order, and its signature.
struct SignedCandidate {
    std::span<const std::uint32_t> words;
    MatrixView<const std::uint8_t> signatures;
};

/// Tentative matches between a query and each photo of a shortlist, from the words that they share
/// and from signatures: as match_shortlist has them, where the distance is the number of bits in
/// which the signatures for the shared word differ.
///
/// Requires n k rows of signatures, all of equal width below 2^28 bytes, and at most 2^31 - 1
/// features a photo; words may be any numbers. Throws std::length_error if there are 2^32 words of
/// the query or more. The same for every instruction set. Work is proportional to the pairs that
/// share a word. Parallel over candidates; a thread holds 8 bytes for each feature of the two
/// photos. Throws Interrupted (core/interrupt.hpp), also from within a candidate.
///
/// Jegou, Douze, Schmid. Hamming embedding and weak geometric consistency for large scale image
/// search. ECCV 2008.
Matches match_signatures(const SignedQuery& query, std::span<const SignedCandidate> candidates,
                         std::size_t max_matches, int threads);

}  // namespace trouvaille
