// SPDX-License-Identifier: Apache-2.0
#include "geometry/match.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "check.hpp"
#include "draw.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

struct Photo {
    std::vector<std::uint32_t> words;
    std::vector<std::uint8_t> descriptors;
};

using Match = std::tuple<std::int32_t, std::int32_t, std::int32_t>;  // distance, query, candidate

// The number of the nearest of `n` features; n if distance(i) is -1 for all: not compared.
template <class Distance>
std::size_t nearest(std::size_t n, Distance distance) {
    std::size_t best = n;
    for (std::size_t i = 0; i < n; ++i)
        if (distance(i) >= 0 && (best == n || distance(i) < distance(best))) best = i;
    return best;
}

std::vector<Match> mutual_nearest(const MatchQuery& query, const MatchCandidate& candidate,
                                  std::size_t max_matches) {
    const std::size_t n = query.words.rows, m = candidate.words.size();
    std::vector<std::int32_t> distances(n * m, -1);
    for (std::size_t q = 0; q < n; ++q)
        for (std::size_t c = 0; c < m; ++c) {
            const std::uint32_t* words = query.words.row(q);
            if (std::count(words, words + query.words.cols, candidate.words[c]) == 0) continue;
            distances[q * m + c] = 0;
            for (std::size_t d = 0; d < query.descriptors.cols; ++d) {
                const int step = query.descriptors.row(q)[d] - candidate.descriptors.row(c)[d];
                distances[q * m + c] += step * step;
            }
        }
    std::vector<Match> matches;
    for (std::size_t q = 0; q < n; ++q) {
        const std::size_t c = nearest(m, [&](std::size_t i) { return distances[q * m + i]; });
        if (c == m || distances[q * m + c] > query.max_distances[q]) continue;
        if (nearest(n, [&](std::size_t i) { return distances[i * m + c]; }) != q) continue;
        matches.emplace_back(distances[q * m + c], static_cast<std::int32_t>(q),
                             static_cast<std::int32_t>(c));
    }
    std::sort(matches.begin(), matches.end());
    matches.resize(std::min(matches.size(), max_matches));
    std::sort(matches.begin(), matches.end(),
              [](const Match& a, const Match& b) { return std::get<1>(a) < std::get<1>(b); });
    return matches;
}

Photo draw_photo(Random& random, std::size_t features, std::size_t dims, std::uint64_t limit) {
    Photo photo{draw<std::uint32_t>(random, features, 12),
                draw<std::uint8_t>(random, features * dims, limit)};
    for (std::uint32_t& word : photo.words) word *= 0x12345678;
    std::sort(photo.words.begin(), photo.words.end());
    return photo;
}

// A query and five photos (one of them empty) of descriptors below `limit`: 2 makes many equal.
void check_matches(std::size_t dims, std::uint64_t limit, std::size_t max_matches) {
    constexpr std::size_t features = 60, words_a_feature = 3;
    Random random(dims, limit);
    const Photo photo = draw_photo(random, features, dims, limit);
    std::vector<std::uint32_t> words;
    for (std::uint32_t q = 0; q < features; ++q)
        for (std::uint32_t j = 0; j < words_a_feature; ++j)
            words.push_back((q % 7 + 2 * j) * 0x12345678);
    const auto far = static_cast<std::uint64_t>(dims) * limit * limit / 4 + 2;
    const auto max_distances = draw<std::int32_t>(random, features, far);
    const MatchQuery query{rows_of(photo.descriptors, dims), rows_of(words, words_a_feature),
                           max_distances};
    std::vector<Photo> photos;
    for (const std::size_t n : {50, 0, 1, 80, 50})
        photos.push_back(draw_photo(random, n, dims, limit));
    std::vector<MatchCandidate> candidates;
    for (const Photo& other : photos)
        candidates.push_back({other.words, rows_of(other.descriptors, dims)});

    for_each_isa([&] {
        for (const int threads : {1, 5}) {
            const Matches found = match_shortlist(query, candidates, max_matches, threads);
            for (std::size_t i = 0; i < candidates.size(); ++i) {
                std::vector<Match> matches;
                for (auto t = static_cast<std::size_t>(found.offsets[i]);
                     t < static_cast<std::size_t>(found.offsets[i + 1]); ++t)
                    matches.emplace_back(found.values[t], found.pairs[t].query,
                                         found.pairs[t].candidate);
                CHECK(matches == mutual_nearest(query, candidates[i], max_matches));
                CHECK(!matches.empty() || candidates[i].words.size() < 2 || max_matches == 0);
            }
        }
    });
}

}  // namespace

TEST(matches_equal_a_plain_loop) {
    for (const std::size_t dims : {1, 4, 15, 16, 127, 128, 130})
        for (const std::uint64_t limit : {2, 256})
            for (const std::size_t max_matches : {0, 3, 1000})
                check_matches(dims, limit, max_matches);
}

TEST(a_query_of_too_many_words_is_refused) {
    const std::uint32_t word = 0;
    const std::int32_t distance = 0;
    const std::uint8_t descriptor = 0;
    for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{1 << 16, 1 << 16},
                                        {std::size_t{1} << 33, std::size_t{1} << 31}}) {
        // Nothing is read through these views.
        const MatchQuery query{{&descriptor, rows, 0}, {&word, rows, columns}, {&distance, rows}};
        CHECK_THROWS(std::length_error, match_shortlist(query, {}, 10, 1));
    }
}
