// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "index/inverted_file.hpp"

using namespace trouvaille;
using trouvaille::test::for_each_isa;

namespace {

constexpr std::size_t n_words = 20;

// Rows of a few words with whole values from -2 to 3, repeated words and empty rows among them, and
// the same as a dense matrix.
struct Rows {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint32_t> words;
    std::vector<double> values, dense;

    Rows(std::size_t n, std::uint64_t seed) : dense(n * n_words) {
        for (std::size_t row = 0; row < n; ++row) {
            Random random(seed, row);
            for (std::uint64_t left = random.below(6); left > 0; --left) {
                words.push_back(static_cast<std::uint32_t>(random.below(n_words)));
                values.push_back(static_cast<double>(random.below(6)) - 2);
                dense[row * n_words + words.back()] += values.back();
            }
            offsets.push_back(static_cast<std::int64_t>(words.size()));
        }
    }
    std::size_t size() const { return offsets.size() - 1; }
    SparseRows view() const { return {offsets, words, values}; }
};

struct Lists {
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint32_t> documents;
    std::vector<double> values;

    explicit Lists(const Rows& rows)
        : offsets(n_words + 1), documents(rows.words.size()), values(rows.words.size()) {
        const std::size_t kept = transpose(rows.view(), offsets, documents, values);
        documents.resize(kept);
        values.resize(kept);
    }
    Postings<double> view() const { return {offsets, documents, values}; }
};

struct Found {
    std::vector<double> scores;
    std::vector<std::int64_t> ids;

    bool operator==(const Found&) const = default;
};

Found search(const Lists& lists, std::size_t n, const Weights& weights,
             std::span<const std::int64_t> ids, const Rows& queries, std::size_t k, int threads) {
    const std::size_t m = queries.size();
    Found found{std::vector<double>(m * k), std::vector<std::int64_t>(m * k)};
    search_inverted_file(lists.view(), n, weights, ids, queries.view(), {found.scores.data(), m, k},
                         {found.ids.data(), m, k}, threads);
    return found;
}

// Scores every document and sorts. Exact for whole numbers and weights that are powers of two.
Found dense_search(const Rows& documents, const Weights& weights, std::span<const std::int64_t> ids,
                   const Rows& queries, std::size_t k) {
    Found found;
    for (std::size_t q = 0; q < queries.size(); ++q) {
        std::vector<double> query(n_words);
        double squares = 0;
        for (std::size_t w = 0; w < n_words; ++w) {
            query[w] = queries.dense[q * n_words + w] * weights.words[w];
            squares += query[w] * query[w];
        }
        const double norm = weights.normalize_queries && squares > 0 ? std::sqrt(squares) : 1;
        std::vector<std::pair<double, std::int64_t>> all;  // by falling score: of the negative
        for (std::size_t d = 0; d < documents.size(); ++d) {
            double sum = 0;
            for (std::size_t w = 0; w < n_words; ++w)
                if (query[w] != 0)
                    sum += query[w] * weights.words[w] * documents.dense[d * n_words + w];
            const auto id = ids.empty() ? static_cast<std::int64_t>(d) : ids[d];
            all.emplace_back(-(sum / norm * weights.documents[d]), id);
        }
        const auto last = static_cast<std::ptrdiff_t>(std::min(k, all.size()));
        std::partial_sort(all.begin(), all.begin() + last, all.end());
        all.resize(k, {std::numeric_limits<double>::infinity(), -1});
        for (const auto& [negative, id] : all) {
            found.scores.push_back(-negative);
            found.ids.push_back(id);
        }
    }
    return found;
}

}  // namespace

TEST(transpose_lists_what_is_not_zero) {
    for (const std::size_t n : {0, 1, 70, 1000}) {
        const Rows rows(n, 1);
        const Lists lists(rows);
        std::vector<double> dense(rows.dense.size());
        for (std::size_t w = 0; w < n_words; ++w)
            for (std::uint64_t i = lists.offsets[w]; i < lists.offsets[w + 1]; ++i) {
                CHECK(i == lists.offsets[w] || lists.documents[i - 1] < lists.documents[i]);
                CHECK(lists.values[i] != 0);
                dense[lists.documents[i] * n_words + w] = lists.values[i];
            }
        CHECK_EQUAL(dense, rows.dense);
        CHECK_EQUAL(lists.offsets.front(), 0u);
        CHECK_EQUAL(lists.offsets.back(), lists.documents.size());
    }
}

TEST(search_equals_a_dense_loop) {
    // Around groups of 64 and blocks of 32,768 documents. Values are few: most scores are tied.
    for (const std::size_t n : {1, 63, 64, 65, 32'768, 32'833}) {
        const Rows documents(n, 2), queries(40, 3);
        const Lists lists(documents);
        std::vector<double> of_words(n_words), of_documents(n);
        for (std::size_t w = 0; w < n_words; ++w) of_words[w] = w % 3 == 0 ? 0.5 : 2;
        for (std::size_t d = 0; d < n; ++d) of_documents[d] = d % 3 == 0 ? 1 : 0.25;
        std::vector<std::int64_t> backwards(n);
        for (std::size_t d = 0; d < n; ++d) backwards[d] = static_cast<std::int64_t>(2 * (n - d));
        const Weights weights{of_words, of_documents};
        for (const auto& ids : {std::vector<std::int64_t>(), backwards})
            for (const std::size_t k : {1, 70}) {
                const Found expected = dense_search(documents, weights, ids, queries, k);
                for_each_isa([&] {
                    for (const int threads : {1, 5})
                        CHECK(search(lists, n, weights, ids, queries, k, threads) == expected);
                });
            }
    }
}

TEST(cosines_are_within_rounding_of_a_dense_loop) {
    constexpr std::size_t n = 300, k = 300;
    const Rows documents(n, 4), queries(40, 5);
    const Lists lists(documents);
    std::vector<double> of_words(n_words), of_documents(n);
    for (std::size_t w = 0; w < n_words; ++w) of_words[w] = std::log(2.0 + static_cast<double>(w));
    document_norms(lists.view(), of_words, of_documents);
    for (double& norm : of_documents) norm = norm > 0 ? 1 / norm : 0;
    const Weights weights{of_words, of_documents, true};
    const Found expected = dense_search(documents, weights, {}, queries, k);
    const Found scalar = search(lists, n, weights, {}, queries, k, 1);
    for (std::size_t i = 0; i < expected.scores.size(); ++i) {
        CHECK(std::abs(scalar.scores[i] - expected.scores[i]) < 1e-14);
        CHECK(std::abs(scalar.scores[i]) < 1 + 1e-14);
    }
    for_each_isa([&] {
        for (const int threads : {1, 5})
            CHECK(search(lists, n, weights, {}, queries, k, threads) == scalar);
    });
}
