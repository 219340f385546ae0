// SPDX-License-Identifier: Apache-2.0
#include "geometry/match.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "core/target.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

constexpr std::int32_t none = -1;
constexpr std::int32_t far = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t pairs_at_once = 512;  // between two looks for Ctrl-C

// The query's features by word. Words may be any numbers, and are few: a hash table with open
// addressing finds a word's list, or that it has none.
class FeaturesOfWord {
  public:
    explicit FeaturesOfWord(MatrixView<const std::uint32_t> words) {
        const std::size_t n = checked_mul(words.rows, words.cols, "the query's number of words");
        static_cast<void>(checked_cast<std::uint32_t>(n, "the query's number of words"));
        const std::size_t size = std::bit_ceil(2 * n + 2);  // at least half of the slots are empty
        slots_.resize(size);
        shift_ = 64 - std::countr_zero(size);
        InterruptPoll poll;
        for (std::size_t i = 0; i < n; ++i) {
            Slot& slot = slots_[find(words.data[i])];
            slot.word = words.data[i];
            ++slot.end;  // a count, until it becomes the end of the list
            poll.did(1);
        }
        std::uint32_t end = 0;
        for (Slot& slot : slots_) slot.begin = slot.end = end += slot.end;
        features_.resize(n);
        for (std::size_t i = n; i-- > 0;) {  // backwards, so that each list ascends
            features_[--slots_[find(words.data[i])].begin] =
                static_cast<std::uint32_t>(i / words.cols);
            poll.did(1);
        }
    }

    std::span<const std::uint32_t> operator[](std::uint32_t word) const {
        const Slot& slot = slots_[find(word)];
        return {features_.data() + slot.begin, slot.end - slot.begin};
    }

  private:
    static constexpr std::uint64_t no_word = std::uint64_t{1} << 32;
    struct Slot {
        std::uint64_t word = no_word;
        std::uint32_t begin = 0, end = 0;
    };

    // The slot of `word`, or the empty one where it would go.
    std::size_t find(std::uint32_t word) const {
        std::size_t i = word * std::uint64_t{0x9E3779B97F4A7C15} >> shift_;
        while (slots_[i].word != word && slots_[i].word != no_word)
            i = (i + 1) & (slots_.size() - 1);
        return i;
    }

    std::vector<Slot> slots_;
    int shift_ = 0;
    std::vector<std::uint32_t> features_;
};

struct Nearest {
    std::int32_t feature = none;
    std::int32_t distance = far;
};

// One thread's scratch: who is whose nearest, between the query and one candidate.
struct Scratch {
    std::vector<Nearest> of_query, of_candidate;
};

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

// Finds for every feature of either photo its nearest of the other, among those of shared words.
// Features are visited in ascending order, so that the first of several equals stays.
template <class Policy>
ALWAYS_INLINE void compare(const MatchQuery& query, const FeaturesOfWord& by_word,
                           const MatchCandidate& candidate, Scratch& scratch) {
    const std::size_t pair_work = query.descriptors.cols / 16 + 1;
    InterruptPoll poll;
    for (std::size_t c = 0; c < candidate.words.size(); ++c) {
        const std::uint8_t* descriptor = candidate.descriptors.row(c);
        Nearest& of_c = scratch.of_candidate[c];
        for (std::span features = by_word[candidate.words[c]]; !features.empty();) {
            const std::span some = features.first(std::min(features.size(), pairs_at_once));
            poll.did(some.size() * pair_work);
            for (const std::uint32_t q : some) {
                const std::int32_t distance =
                    Policy::distance(query.descriptors.row(q), descriptor, query.descriptors.cols);
                Nearest& of_q = scratch.of_query[q];
                if (distance < of_q.distance) of_q = {static_cast<std::int32_t>(c), distance};
                if (distance < of_c.distance) of_c = {static_cast<std::int32_t>(q), distance};
            }
            features = features.subspan(some.size());
        }
    }
}

void scalar(const MatchQuery& q, const FeaturesOfWord& w, const MatchCandidate& c, Scratch& s) {
    compare<Scalar>(q, w, c, s);
}

#if TROUVAILLE_X86
TARGET_AVX2
void avx2(const MatchQuery& q, const FeaturesOfWord& w, const MatchCandidate& c, Scratch& s) {
    compare<Avx2>(q, w, c, s);
}
TARGET_AVX512
void avx512(const MatchQuery& q, const FeaturesOfWord& w, const MatchCandidate& c, Scratch& s) {
    compare<Avx512>(q, w, c, s);
}
constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx512};
#else
constexpr decltype(&scalar) variants[isa_count] = {scalar, scalar, scalar};
#endif

struct CandidateMatches {
    std::vector<Matches::Pair> pairs;
    std::vector<std::int32_t> distances;
};

// The mutual nearest that are near enough, in the order of the query's features.
CandidateMatches mutual(const MatchQuery& query, const Scratch& scratch) {
    CandidateMatches result;
    for (std::size_t q = 0; q < scratch.of_query.size(); ++q) {
        const auto [c, distance] = scratch.of_query[q];
        if (c == none || distance > query.max_distances[q]) continue;
        const auto feature = static_cast<std::int32_t>(q);
        if (scratch.of_candidate[static_cast<std::size_t>(c)].feature != feature) continue;
        result.pairs.push_back({feature, c});
        result.distances.push_back(distance);
    }
    return result;
}

// Keeps the nearest `most`, in their order.
void keep_nearest(CandidateMatches& matches, std::size_t most) {
    if (matches.pairs.size() <= most) return;
    std::vector<std::size_t> order(matches.pairs.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(order.begin(), middle, order.end(), [&](std::size_t a, std::size_t b) {
        return matches.distances[a] != matches.distances[b]
                   ? matches.distances[a] < matches.distances[b]
                   : a < b;
    });
    std::sort(order.begin(), middle);
    for (std::size_t i = 0; i < most; ++i) {  // order[i] >= i: nothing is read after it is written
        matches.pairs[i] = matches.pairs[order[i]];
        matches.distances[i] = matches.distances[order[i]];
    }
    matches.pairs.resize(most);
    matches.distances.resize(most);
}

Matches joined(const std::vector<CandidateMatches>& parts) {
    Matches all;
    all.offsets.assign(1, 0);
    for (const CandidateMatches& part : parts) {
        all.pairs.insert(all.pairs.end(), part.pairs.begin(), part.pairs.end());
        all.distances.insert(all.distances.end(), part.distances.begin(), part.distances.end());
        all.offsets.push_back(static_cast<std::int64_t>(all.pairs.size()));
    }
    return all;
}

}  // namespace

Matches match_shortlist(const MatchQuery& query, std::span<const MatchCandidate> candidates,
                        std::size_t max_matches, int threads) {
    assert(query.words.rows == query.descriptors.rows);
    assert(query.max_distances.size() == query.descriptors.rows);
    const FeaturesOfWord by_word(query.words);
    std::vector<CandidateMatches> parts(candidates.size());
    const auto compare_photos = pick(variants);
    parallel_for(candidates.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        Scratch scratch;
        for (std::size_t i = begin; i < end; ++i) {
            assert(candidates[i].descriptors.rows == candidates[i].words.size());
            scratch.of_query.assign(query.descriptors.rows, {});
            scratch.of_candidate.assign(candidates[i].words.size(), {});
            compare_photos(query, by_word, candidates[i], scratch);
            parts[i] = mutual(query, scratch);
            keep_nearest(parts[i], max_matches);
        }
    });
    return joined(parts);
}

}  // namespace trouvaille
