// SPDX-License-Identifier: Apache-2.0
#include "geometry/match.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "geometry/mutual_matches.hpp"
#include "geometry/word_lists.hpp"
#include "neighbors/exact.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

constexpr std::size_t pairs_at_once = 512;  // between two looks for Ctrl-C

// A word that at least so many features of either photo have is a burst. Smaller groups take less
// time pair by pair than their packing would.
constexpr std::size_t burst = 64;

struct Row {
    std::size_t list;  // the number of its word's list
    std::uint32_t feature;

    auto operator<=>(const Row&) const = default;
};

// One thread's scratch.
struct Scratch : NearestOfBoth {
    std::vector<Row> crowded;  // features whose word is a burst in the query
};

// The rows of some features, one after the other.
std::vector<std::uint8_t> gathered(MatrixView<const std::uint8_t> rows,
                                   std::span<const std::uint32_t> features) {
    std::vector<std::uint8_t> copy(features.size() * rows.cols);
    for (std::size_t i = 0; i < features.size() && rows.cols > 0; ++i)
        std::memcpy(&copy[i * rows.cols], rows.row(features[i]), rows.cols);
    return copy;
}

// Compares all of some features of the query with all of some of the candidate's, both ascending.
void compare_burst(const MatchQuery& query, std::span<const std::uint32_t> queries,
                   const MatchCandidate& candidate, std::span<const std::uint32_t> features,
                   Scratch& scratch) {
    const std::size_t n = queries.size(), m = features.size(), dims = query.descriptors.cols;
    const auto x = gathered(query.descriptors, queries);
    const auto y = gathered(candidate.descriptors, features);
    std::vector<std::int32_t> distances(n), reverse_distances(m);
    std::vector<std::int64_t> ids(n), reverse_ids(m);
    exact_neighbors_both_ways({x.data(), n, dims}, {y.data(), m, dims}, {distances.data(), n, 1},
                              {ids.data(), n, 1}, reverse_distances, reverse_ids, 1);
    for (std::size_t i = 0; i < n; ++i)
        scratch.of_query[queries[i]].offer(distances[i],
                                           features[static_cast<std::size_t>(ids[i])]);
    for (std::size_t j = 0; j < m; ++j)
        scratch.of_candidate[features[j]].offer(reverse_distances[j],
                                                queries[static_cast<std::size_t>(reverse_ids[j])]);
}

// A policy is a distance; the loop below is compiled once for each.
struct Scalar {
    static std::int32_t distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) {
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::int32_t difference = a[i] - b[i];
            sum += difference * difference;
        }
        return sum;
    }
};

#if TROUVAILLE_X86
struct Avx2 {
    TARGET_AVX2
    static inline std::int32_t distance(const std::uint8_t* a, const std::uint8_t* b,
                                        std::size_t n) {
        __m256i sum = _mm256_setzero_si256();
        std::size_t i = 0;
        for (; i + 16 <= n; i += 16) {
            const __m256i x =
                _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i)));
            const __m256i y =
                _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i)));
            const __m256i difference = _mm256_sub_epi16(x, y);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(difference, difference));
        }
        __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
        return _mm_cvtsi128_si32(half) + Scalar::distance(a + i, b + i, n - i);
    }
};

struct Avx512 {
    TARGET_AVX512
    static inline std::int32_t distance(const std::uint8_t* a, const std::uint8_t* b,
                                        std::size_t n) {
        __m512i sum = _mm512_setzero_si512();
        std::size_t i = 0;
        for (; i + 32 <= n; i += 32) {
            const __m512i x =
                _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i)));
            const __m512i y =
                _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + i)));
            const __m512i difference = _mm512_sub_epi16(x, y);
            sum = _mm512_dpwssd_epi32(sum, difference, difference);
        }
        return _mm512_reduce_add_epi32(sum) + Scalar::distance(a + i, b + i, n - i);
    }
};
#endif

// Compares some features of the query with feature c of the candidate.
template <class Policy>
ALWAYS_INLINE void compare_one(const MatchQuery& query, std::span<const std::uint32_t> features,
                               const MatchCandidate& candidate, std::uint32_t c, Scratch& scratch,
                               InterruptPoll& poll) {
    const std::size_t pair_work = query.descriptors.cols / 16 + 1;
    const std::uint8_t* descriptor = candidate.descriptors.row(c);
    while (!features.empty()) {
        const std::span some = features.first(std::min(features.size(), pairs_at_once));
        poll.did(some.size() * pair_work);
        for (const std::uint32_t q : some) {
            const std::int32_t distance =
                Policy::distance(query.descriptors.row(q), descriptor, query.descriptors.cols);
            scratch.offer(q, c, distance);
        }
        features = features.subspan(some.size());
    }
}

// Finds for every feature of either photo its nearest of the other, among those of shared words.
template <class Policy>
ALWAYS_INLINE void compare(const MatchQuery& query, const WordLists& by_word,
                           const MatchCandidate& candidate, Scratch& scratch) {
    InterruptPoll poll;
    scratch.crowded.clear();
    for (std::uint32_t c = 0; c < candidate.words.size(); ++c) {
        const std::span features = by_word[candidate.words[c]];
        if (features.size() < burst)
            compare_one<Policy>(query, features, candidate, c, scratch, poll);
        else
            scratch.crowded.push_back({by_word.number_of(features), c});
    }
    std::sort(scratch.crowded.begin(), scratch.crowded.end(), [&](const Row& a, const Row& b) {
        poll.did(1);
        return a < b;
    });
    std::vector<std::uint32_t> rows;
    for (auto row = scratch.crowded.begin(); row != scratch.crowded.end();) {
        const std::size_t list = row->list;
        const std::span features = by_word[candidate.words[row->feature]];
        rows.clear();
        for (; row != scratch.crowded.end() && row->list == list; ++row)
            rows.push_back(row->feature);
        if (rows.size() >= burst) {
            compare_burst(query, features, candidate, rows, scratch);
            continue;
        }
        for (const std::uint32_t c : rows)
            compare_one<Policy>(query, features, candidate, c, scratch, poll);
    }
}

void scalar(const MatchQuery& q, const WordLists& w, const MatchCandidate& c, Scratch& s) {
    compare<Scalar>(q, w, c, s);
}

#if TROUVAILLE_X86
TARGET_AVX2
void avx2(const MatchQuery& q, const WordLists& w, const MatchCandidate& c, Scratch& s) {
    compare<Avx2>(q, w, c, s);
}
TARGET_AVX512
void avx512(const MatchQuery& q, const WordLists& w, const MatchCandidate& c, Scratch& s) {
    compare<Avx512>(q, w, c, s);
}
constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx512};
#else
constexpr decltype(&scalar) variants[isa_count] = {scalar, scalar, scalar};
#endif

}  // namespace

Matches match_shortlist(const MatchQuery& query, std::span<const MatchCandidate> candidates,
                        std::size_t max_matches, int threads) {
    assert(query.words.rows == query.descriptors.rows);
    assert(query.max_distances.size() == query.descriptors.rows);
    const WordLists by_word(query.words);
    std::vector<Matches::Part> parts(candidates.size());
    const auto compare_photos = pick(variants);
    parallel_for(candidates.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        Scratch scratch;
        for (std::size_t i = begin; i < end; ++i) {
            assert(candidates[i].descriptors.rows == candidates[i].words.size());
            scratch.clear(query.descriptors.rows, candidates[i].words.size());
            compare_photos(query, by_word, candidates[i], scratch);
            parts[i] = scratch.mutual([&](std::uint32_t q) { return query.max_distances[q]; });
            keep_nearest(parts[i], max_matches);
        }
    });
    return Matches(parts);
}

}  // namespace trouvaille
