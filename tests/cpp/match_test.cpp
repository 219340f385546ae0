// SPDX-License-Identifier: Apache-2.0
#include "geometry/match.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "geometry/match_pair.hpp"
#include "geometry/match_words.hpp"

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

TEST(a_burst_of_one_word_equals_a_plain_loop) {
    constexpr std::size_t n = 130, m = 70, dims = 20;
    for (const std::uint64_t limit : {2, 256}) {
        Random random(limit, 5);
        const auto x = draw<std::uint8_t>(random, n * dims, limit);
        const auto y = draw<std::uint8_t>(random, m * dims, limit);
        const std::vector<std::uint32_t> words(n, 7), own(m, 7);
        const std::vector<std::int32_t> bounds(n, 1 << 30);
        const MatchQuery query{rows_of(x, dims), rows_of(words, 1), bounds};
        const std::vector<MatchCandidate> candidates{{own, rows_of(y, dims)}};
        for_each_isa([&] {
            const Matches found = match_shortlist(query, candidates, 1000, 1);
            std::vector<Match> matches;
            for (std::size_t t = 0; t < found.pairs.size(); ++t)
                matches.emplace_back(found.values[t], found.pairs[t].query,
                                     found.pairs[t].candidate);
            CHECK(matches == mutual_nearest(query, candidates[0], 1000));
            CHECK(!matches.empty());
        });
    }
}

namespace {

template <class T>
double squared_distance(const T* a, const T* b, std::size_t dims) {
    double sum = 0;
    for (std::size_t d = 0; d < dims; ++d)
        sum += (static_cast<double>(a[d]) - b[d]) * (static_cast<double>(a[d]) - b[d]);
    return sum;
}

// Row by row, of whole numbers. Says of each query its match, or the number of rows.
template <class T>
std::vector<std::size_t> pairs_by_a_plain_loop(MatrixView<const T> x, MatrixView<const T> y,
                                               const PairOptions& options) {
    std::vector<std::size_t> matches;
    for (std::size_t q = 0; q < x.rows; ++q) {
        const auto to_row = [&](std::size_t i) {
            return squared_distance(x.row(q), y.row(i), x.cols);
        };
        const std::size_t row = nearest(y.rows, to_row);
        const auto from_query = [&](std::size_t i) {
            return squared_distance(x.row(i), y.row(row), x.cols);
        };
        double second = -1;  // none
        for (std::size_t i = 0; i < y.rows; ++i)
            if (i != row && (second < 0 || to_row(i) < second)) second = to_row(i);
        const double ratio = second < 0 ? 0 : second == 0 ? 1 : std::sqrt(to_row(row) / second);
        const bool good = ratio <= options.max_ratio && to_row(row) <= options.max_distance &&
                          (!options.mutual || nearest(x.rows, from_query) == q);
        matches.push_back(good ? row : y.rows);
    }
    return matches;
}

template <class T>
void check_pair(std::size_t n, std::size_t m, std::size_t dims, std::uint64_t limit) {
    Random random(n * 1000 + m, dims);
    const auto a = draw<T>(random, n * dims, limit), b = draw<T>(random, m * dims, limit);
    const auto x = rows_of(a, dims), y = rows_of(b, dims);
    for (const PairOptions& options :
         {PairOptions{0.8, true, true}, PairOptions{1, true, true}, PairOptions{0.9, true, false},
          PairOptions{1, true, true, static_cast<double>(limit * limit * dims) / 8}}) {
        const auto expected = pairs_by_a_plain_loop(x, y, options);
        for_each_isa([&] {
            for (const int threads : {1, 5}) {
                const auto found = match_pair(x, y, options, threads);
                std::vector<std::size_t> matches(n, m);
                for (const MatchPair& pair : found.pairs)
                    matches[static_cast<std::size_t>(pair.query)] =
                        static_cast<std::size_t>(pair.candidate);
                CHECK(matches == expected);
                CHECK(found.ratios.size() == found.pairs.size());
            }
        });
    }
}

}  // namespace

TEST(pairs_equal_a_plain_loop) {
    for (const std::uint64_t limit : {2, 256})
        for (const std::size_t dims : {1, 4, 130})
            for (const auto& [n, m] :
                 {std::pair<std::size_t, std::size_t>{1, 1}, {7, 1}, {70, 65}}) {
                check_pair<std::uint8_t>(n, m, dims, limit);
                check_pair<float>(n, m, dims, limit);
            }
}

TEST(words_match_within_bounds) {
    // Word 7, the second of feature 0, is a burst in the first candidate; word 9 one in the query.
    const std::vector<std::uint32_t> words{3, 7, 5, 9, 6, 9, 4, 9};
    const std::vector<double> weights{2, 1, 2, 1, 0, 1, 2, 1};
    const std::vector<std::uint32_t> candidates{3, 3, 7, 7, 7, 9, 6, 5, 4};
    const std::vector<std::int64_t> offsets{0, 8, 8, 9};
    for (const int threads : {1, 3}) {
        const auto found =
            match_words(rows_of(words, 2), rows_of(weights, 2), candidates, offsets, 2, threads);
        const std::vector<std::pair<int, int>> expected{{0, 0}, {0, 1}, {1, 7}, {3, 0}};
        CHECK_EQUAL(found.pairs.size(), expected.size());
        for (std::size_t i = 0; i < std::min(found.pairs.size(), expected.size()); ++i) {
            CHECK_EQUAL(found.pairs[i].query, expected[i].first);
            CHECK_EQUAL(found.pairs[i].candidate, expected[i].second);
            CHECK_EQUAL(found.values[i], 2);
        }
        CHECK((found.offsets == std::vector<std::int64_t>{0, 3, 3, 4}));
    }
}
