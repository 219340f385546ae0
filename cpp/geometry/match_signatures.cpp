// SPDX-License-Identifier: Apache-2.0
#include "geometry/match_signatures.hpp"

#include <cassert>
#include <vector>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "geometry/mutual_matches.hpp"
#include "geometry/word_lists.hpp"
#include "neighbors/differing_bits.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t pairs_at_once = 512;  // between two looks for Ctrl-C

// Finds for every feature of either photo its nearest of the other, among those of shared words.
// `places` lists for each word where the query's words are it.
ALWAYS_INLINE void compare(const SignedQuery& query, const WordLists& places,
                           const SignedCandidate& candidate, NearestOfBoth& nearest) {
    const std::size_t bytes = query.signatures.cols, k = query.words.cols;
    const std::size_t pair_work = bytes / 32 + 1;
    InterruptPoll poll;
    for (std::uint32_t c = 0; c < candidate.words.size(); ++c) {
        const std::uint8_t* signature = candidate.signatures.row(c);
        std::span list = places[candidate.words[c]];
        poll.did(1);
        while (!list.empty()) {
            const std::span some = list.first(std::min(list.size(), pairs_at_once));
            poll.did(some.size() * pair_work);
            for (const std::uint32_t place : some)
                nearest.offer(static_cast<std::uint32_t>(place / k), c,
                              differing_bits<CountedByInstruction>(query.signatures.row(place),
                                                                   signature, bytes));
            list = list.subspan(some.size());
        }
    }
}

void scalar(const SignedQuery& q, const WordLists& p, const SignedCandidate& c, NearestOfBoth& n) {
    compare(q, p, c, n);
}

#if TROUVAILLE_X86
TARGET_AVX2
void avx2(const SignedQuery& q, const WordLists& p, const SignedCandidate& c, NearestOfBoth& n) {
    compare(q, p, c, n);
}
constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx2};
#else
constexpr decltype(&scalar) variants[isa_count] = {scalar, scalar, scalar};
#endif

}  // namespace

Matches match_signatures(const SignedQuery& query, std::span<const SignedCandidate> candidates,
                         std::size_t max_matches, int threads) {
    assert(query.signatures.rows == query.words.rows * query.words.cols);
    const WordLists places({query.words.data, query.words.rows * query.words.cols, 1});
    std::vector<Matches::Part> parts(candidates.size());
    const auto compare_photos = pick(variants);
    parallel_for(candidates.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        NearestOfBoth nearest;
        for (std::size_t i = begin; i < end; ++i) {
            assert(candidates[i].signatures.rows == candidates[i].words.size());
            nearest.clear(query.words.rows, candidates[i].words.size());
            compare_photos(query, places, candidates[i], nearest);
            parts[i] = nearest.mutual([&](std::uint32_t) { return query.max_distance; });
            keep_nearest(parts[i], max_matches);
        }
    });
    return Matches(parts);
}

}  // namespace trouvaille
