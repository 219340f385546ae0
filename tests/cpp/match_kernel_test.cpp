// SPDX-License-Identifier: Apache-2.0
#include "index/match_kernel.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "index/residuals.hpp"
#include "index/signatures.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

/// Features of photos, and the block that is built of them: arrays of exactly their size, so that
/// a sanitizer sees what reads beyond.
struct Photos {
    std::size_t num_words, bytes, n;
    std::vector<std::uint32_t> words;
    std::vector<std::uint16_t> photos;
    std::vector<std::uint8_t> rows;
    std::vector<std::uint16_t> sorted_photos;
    std::vector<std::uint8_t> sorted_rows;
    SignatureDirectory directory;
    std::vector<double> factors;
    std::vector<std::int64_t> ids;

    Photos(Random& random, std::size_t features, std::size_t num_words_, std::size_t bytes_,
           std::size_t n_)
        : num_words(num_words_), bytes(bytes_), n(n_) {
        words = draw<std::uint32_t>(random, features, num_words);
        photos = draw<std::uint16_t>(random, features, n);
        std::sort(photos.begin(), photos.end());
        rows = draw<std::uint8_t>(random, features * bytes, 4);  // near to each other
        sorted_photos.resize(features);
        sorted_rows.resize(features * bytes);
        directory = build_signatures(words, photos, rows_of(rows, bytes), num_words, sorted_photos,
                                     {sorted_rows.data(), features, bytes});
        for (std::size_t p = 0; p < n; ++p) {
            factors.push_back(1 + static_cast<double>(p % 3));
            ids.push_back(static_cast<std::int64_t>(1000 - p));
        }
    }

    Signatures postings() const {
        return {directory.words, directory.starts, sorted_photos, rows_of(sorted_rows, bytes)};
    }
    MatchBlock block() const { return {postings(), {}, factors, ids}; }
};

int distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes) {
    int sum = 0;
    for (std::size_t i = 0; i < bytes; ++i)
        sum += std::popcount(static_cast<unsigned>(a[i] ^ b[i]));
    return sum;
}

struct Answers {
    std::vector<double> scores;
    std::vector<std::int64_t> ids;
    bool operator==(const Answers&) const = default;
};

Answers search(const Photos& photos, const MatchQueries& queries, const MatchKernel& kernel,
               std::size_t k, int threads) {
    const std::size_t n = queries.factors.size();
    Answers found{std::vector<double>(n * k), std::vector<std::int64_t>(n * k)};
    const MatchBlock blocks[] = {photos.block()};
    search_match_kernel(blocks, queries, kernel, {found.scores.data(), n, k},
                        {found.ids.data(), n, k}, threads);
    return found;
}

/// The best of one query's photos, pair by pair.
Answers expected(const Photos& photos, const MatchQueries& queries,
                 const std::vector<double>& similarities, std::size_t k) {
    std::vector<std::pair<double, std::int64_t>> all(photos.n);
    for (std::size_t p = 0; p < photos.n; ++p) all[p] = {0, photos.ids[p]};
    for (std::size_t q = 0; q < queries.words.size(); ++q)
        for (std::size_t i = 0; i < photos.words.size(); ++i)
            if (photos.words[i] == queries.words[q]) {
                const auto d = static_cast<std::size_t>(distance(
                    queries.signatures.row(q), &photos.rows[i * photos.bytes], photos.bytes));
                all[photos.photos[i]].first += queries.weights[q] * similarities[d];
            }
    for (std::size_t p = 0; p < photos.n; ++p)
        all[p].first = all[p].first * photos.factors[p] * queries.factors[0];
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    all.resize(k, {-std::numeric_limits<double>::infinity(), -1});
    Answers best;
    for (const auto& [score, id] : all) {
        best.scores.push_back(score);
        best.ids.push_back(id);
    }
    return best;
}

struct Query {
    std::vector<std::int64_t> offsets;
    std::vector<double> factors{0.5}, weights;
    std::vector<std::uint32_t> words, features;
    std::vector<std::uint8_t> rows;
    std::size_t bytes;

    Query(Random& random, std::size_t n, std::size_t num_words, std::size_t bytes_)
        : bytes(bytes_) {
        offsets = {0, static_cast<std::int64_t>(n)};
        words = draw<std::uint32_t>(random, n, num_words + 1);  // one is in no photo
        rows = draw<std::uint8_t>(random, n * bytes, 4);
        for (std::size_t i = 0; i < n; ++i) {
            weights.push_back(1.25);
            features.push_back(static_cast<std::uint32_t>(i / 2));
        }
    }
    MatchQueries view() const {
        return {offsets, factors, words, weights, features, rows_of(rows, bytes)};
    }
};

/// Halves, so that no sum is rounded.
std::vector<double> similarities_of(std::size_t bytes) {
    std::vector<double> similarities(8 * bytes + 1);
    for (std::size_t d = 0; d <= 3 * bytes; ++d)
        similarities[d] = static_cast<double>(3 * bytes - d) / 2;
    return similarities;
}

TEST(match_kernel_equals_the_sum_over_pairs) {
    Random random(1, 0);
    for (const std::size_t bytes : {1, 3, 8, 16, 32, 33}) {
        for (const std::size_t num_words : {1, 9, 400}) {
            const Photos photos(random, 500, num_words, bytes, 60);
            const Query query(random, 30, num_words, bytes);
            const auto similarities = similarities_of(bytes);
            const Answers right = expected(photos, query.view(), similarities, 70);
            for_each_isa([&] {
                for (const int threads : {1, 3})
                    CHECK_EQUAL(search(photos, query.view(), {similarities}, 70, threads), right);
            });
        }
    }
}

TEST(bursts_give_the_same_bits_on_every_isa) {
    Random random(2, 0);
    const Photos photos(random, 900, 4, 8, 50);
    const Query query(random, 40, 4, 8);
    const auto similarities = similarities_of(8);
    for (const bool intra : {false, true}) {
        const MatchKernel kernel{similarities, intra, true};
        const Answers first = search(photos, query.view(), kernel, 50, 1);
        CHECK(first.scores.front() > 0);
        for_each_isa([&] {
            for (const int threads : {1, 4})
                CHECK_EQUAL(search(photos, query.view(), kernel, 50, threads), first);
        });
    }
}

TEST(a_block_holds_every_posting_in_order) {
    Random random(3, 0);
    for (const std::size_t num_words : {1, 50, 5'000}) {  // few of the last have a list
        const Photos photos(random, 300, num_words, 5, 20);
        const Signatures block = photos.postings();
        check_signatures(block, num_words, 20, 40);
        CHECK_EQUAL(block.listed() && !block.words.empty(), num_words == 5'000);
        std::size_t found = 0;
        for (std::uint32_t word = 0; word < num_words + 2; ++word)
            for (std::size_t at = block.find(word).begin; at < block.find(word).end; ++at) ++found;
        CHECK_EQUAL(found, std::size_t{300});
        std::vector<std::int64_t> counts(num_words);
        add_photo_counts(block, {}, counts);
        for (std::uint32_t word = 0; word < num_words; ++word) {
            const PostingRange own = block.find(word);
            std::vector<std::uint16_t> having(block.photos.begin() + std::ptrdiff_t(own.begin),
                                              block.photos.begin() + std::ptrdiff_t(own.end));
            having.erase(std::unique(having.begin(), having.end()), having.end());
            CHECK_EQUAL(counts[word], static_cast<std::int64_t>(having.size()));
        }
    }
}

TEST(blocks_that_are_none_are_refused) {
    Random random(4, 0);
    const Photos photos(random, 60, 500, 2, 9);
    const Signatures good = photos.postings();
    const auto refused = [&](const Signatures& block, std::size_t n, std::size_t bits) {
        CHECK_THROWS(std::invalid_argument, check_signatures(block, 500, n, bits));
    };
    check_signatures(good, 500, 9, 16);
    refused(good, 8, 16);
    refused(good, 9, 17);
    refused(good, 9, 9);  // the rows have two bits of a byte: the first may be set, not others
    refused({good.words, good.starts.first(2), good.photos, good.rows}, 9, 16);
    refused({good.words, {}, good.photos, good.rows}, 9, 16);
    refused({good.words, good.starts, good.photos.first(59), good.rows}, 9, 16);
    for (int i = 0; i < 200; ++i) {  // whatever they are changed to, nothing is read outside
        auto words = photos.directory.words;
        auto starts = photos.directory.starts;
        words[random.below(words.size())] = static_cast<std::uint32_t>(random.below(600));
        starts[random.below(starts.size())] = random.next64() >> random.below(64);
        try {
            check_signatures({words, starts, good.photos, good.rows}, 500, 9, 16);
        } catch (const std::invalid_argument&) {
        }
    }
}

TEST(residuals_are_signs_of_sums) {
    const std::vector<std::uint8_t> x{10, 20, 30, 0, 12, 5}, words{11, 11, 0, 9};
    const std::vector<std::int64_t> nearest{0, 1, 0}, offsets{0, 0, 3};
    const auto found = binary_residuals(rows_of(x, 2), rows_of(words, 2), rows_of(nearest, 1),
                                        std::span(offsets), true, 2);
    CHECK_EQUAL(found.offsets, (std::vector<std::int64_t>{0, 0, 2}));
    CHECK_EQUAL(found.words, (std::vector<std::uint32_t>{0, 1}));
    // (10 - 11) + (12 - 11) is not above 0, (20 - 11) + (5 - 11) is; 30 - 0 is, 0 - 9 is not.
    CHECK_EQUAL(found.signatures, (std::vector<std::uint8_t>{2, 1}));
    const auto each = binary_residuals(rows_of(x, 2), rows_of(words, 2), rows_of(nearest, 1),
                                       std::span(offsets), false, 1);
    CHECK_EQUAL(each.words, (std::vector<std::uint32_t>{0, 0, 1}));
    CHECK_EQUAL(each.signatures, (std::vector<std::uint8_t>{2, 1, 1}));
}

}  // namespace
