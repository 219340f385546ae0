// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// The photo that is matched: its features' descriptors, the words each may share with a feature
/// of a candidate (its nearest few, distinct), and how near a match must be.
struct MatchQuery {
    MatrixView<const std::uint8_t> descriptors;
    MatrixView<const std::uint32_t> words;        ///< one row a feature, as many columns as wanted
    std::span<const std::int32_t> max_distances;  ///< squared; one a feature
};

/// One photo of the shortlist: each feature's word, in any order, and its descriptor.
struct MatchCandidate {
    std::span<const std::uint32_t> words;
    MatrixView<const std::uint8_t> descriptors;
};

struct MatchPair {
    std::int32_t query, candidate;
};

/// Matches of all candidates, one after the other: candidate i owns the places offsets[i] to
/// offsets[i + 1] of `pairs` and of `values`.
template <class Value>
struct MatchesOf {
    /// Those of one candidate.
    struct Part {
        std::vector<MatchPair> pairs;
        std::vector<Value> values;
    };
    std::vector<MatchPair> pairs;
    std::vector<Value> values;
    std::vector<std::int64_t> offsets;

    explicit MatchesOf(std::span<const Part> parts = {}) : offsets{0} {
        std::size_t n = 0;
        for (const Part& part : parts) n += part.pairs.size();
        pairs.reserve(n);
        values.reserve(n);
        for (const Part& part : parts) {
            pairs.insert(pairs.end(), part.pairs.begin(), part.pairs.end());
            values.insert(values.end(), part.values.begin(), part.values.end());
            offsets.push_back(static_cast<std::int64_t>(pairs.size()));
        }
    }
};

using Matches = MatchesOf<std::int32_t>;  ///< the values are squared distances

/// Tentative matches between a query and each photo of a shortlist, from the words they share.
///
/// A query feature q and a candidate's feature c are compared if c's word is one of q's, by the
/// squared Euclidean distance of their bytes. They match if each is the other's nearest among
/// those compared (the smaller number among equals), and the distance is at most
/// max_distances[q]. A candidate's matches are in ascending order of the query's feature, and the
/// nearest max_matches (ties by that order) if there are more.
///
/// Requires equal dimensions, at most max_byte_dims of neighbors/exact.hpp, and at most 2^31 - 1
/// features a photo; words may be any numbers. Throws std::length_error if query.words has 2^32
/// numbers or more. Integers, so the same for every instruction set. Parallel over candidates; a
/// thread holds 8 bytes for each feature of the two photos. Throws Interrupted
/// (core/interrupt.hpp), also from within a candidate.
///
/// Work is proportional to the pairs that share a word. Those of a burst, a word that 64 features
/// or more of either photo have, are compared in tiles, as exact_neighbors does, in a tenth of the
/// time a pair, and from a copy of their rows. So of n query features of k words and m of a
/// candidate at most 63 (n k + m) pairs are compared one by one, and at most n m in tiles.
///
/// Philbin, Chum, Isard, Sivic, Zisserman. Lost in quantization: improving particular object
/// retrieval in large scale image databases. CVPR 2008.
Matches match_shortlist(const MatchQuery& query, std::span<const MatchCandidate> candidates,
                        std::size_t max_matches, int threads);

}  // namespace trouvaille
