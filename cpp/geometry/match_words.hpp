// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"
#include "geometry/match.hpp"

namespace trouvaille {

/// Tentative matches between a query and each photo of a shortlist from visual words alone. Photo i
/// owns the places offsets[i] to offsets[i + 1] of `candidate_words`, one word a feature.
///
/// Row q of `words` holds the distinct words that query feature q may share with a candidate's, and
/// the same place of `weights` what a pair by that word weighs; by a weight of 0 there is none. A
/// word is stronger for a feature than another if it weighs more or, at the same weight, stands in
/// an earlier column. Each feature is in at most m = max_matches_per_feature pairs of a candidate:
///
///  1. Of the query's features that have a word, the m count for which it is strongest.
///  2. A word that more than m of the candidate's features have is passed over.
///  3. A query feature takes the pairs of its words, the strongest word first, for as long as they
///     are at most m in all.
///
/// What ties at the cut of (1) is left out, too: of a burst of equals nothing tells which is meant.
/// Of a word that a row of `words` holds twice, the first place of positive weight counts.
///
/// Requires weights >= 0, equal shapes, offsets that ascend from 0 to the number of words, and less
/// than 2^31 features a photo. Throws std::length_error for 2^32 words of the query or more. A
/// candidate of c features takes time O(c + words), and 8 bytes for each. Parallel over candidates;
/// throws Interrupted (core/interrupt.hpp).
MatchesOf<double> match_words(MatrixView<const std::uint32_t> words,
                              MatrixView<const double> weights,
                              std::span<const std::uint32_t> candidate_words,
                              std::span<const std::int64_t> offsets,
                              std::size_t max_matches_per_feature, int threads);

}  // namespace trouvaille
