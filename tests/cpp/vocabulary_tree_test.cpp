// SPDX-License-Identifier: Apache-2.0
// For the sanitizers: the laws are in tests/test_words_tree.py.
#include "words/vocabulary_tree.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "draw.hpp"
#include "neighbors/exact.hpp"
#include "neighbors/few_centers.hpp"
#include "words/distinct_rows.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

template <class T>
struct Built {
    std::vector<T> centers;
    std::vector<std::uint32_t> children{0};
    std::size_t dims;

    Built(MatrixView<const T> points, std::size_t branching, int depth, int threads)
        : dims(points.cols) {
        std::vector<std::uint32_t> rows(points.rows);
        std::iota(rows.begin(), rows.end(), 0u);
        std::vector<std::int64_t> starts{0, static_cast<std::int64_t>(points.rows)};
        std::uint64_t first = 0;
        for (int level = 0; level < depth && starts.size() > 1; ++level) {
            const SplitOptions options{branching, 3, 7, first};
            auto next = split_nodes<T>(points, rows, starts, options, threads);
            for (const std::uint32_t count : next.children)
                children.push_back(children.back() + count);
            first += next.children.size();
            centers.insert(centers.end(), next.centers.begin(), next.centers.end());
            rows = std::move(next.rows);
            starts = std::move(next.starts);
        }
        children.resize(nodes() + 2, static_cast<std::uint32_t>(nodes()));
    }

    std::size_t nodes() const { return centers.size() / dims; }
    VocabularyTree<T> view() const { return {rows_of(centers, dims), children}; }
    bool operator==(const Built&) const = default;
};

struct Found {
    std::vector<std::int64_t> leaves, path;

    bool operator==(const Found&) const = default;
};

template <class T>
Found found(const VocabularyTree<T>& tree, MatrixView<const T> queries, TreeMetric metric,
            int threads) {
    const std::size_t levels = check_vocabulary_tree(tree.children, tree.centers.rows);
    Found result{std::vector<std::int64_t>(queries.rows),
                 std::vector<std::int64_t>(queries.rows * levels)};
    descend<T>(tree, queries, metric, result.leaves, {result.path.data(), queries.rows, levels},
               threads);
    return result;
}

template <class T>
void check_threads(std::size_t dims, std::uint64_t limit, std::size_t branching, int depth) {
    Random random(dims, limit);
    const auto numbers = draw<T>(random, 700 * dims, limit);
    for (const std::size_t n : {1, 2, 40, 700}) {
        const auto points = rows_of(numbers, dims).slice(0, n);
        const auto queries = rows_of(numbers, dims).slice(0, 70);
        const Built<T> expected(points, branching, depth, 1);
        const Found words = found(expected.view(), queries, TreeMetric::l2, 1);
        for_each_isa([&] {
            for (const int threads : {1, 3}) {
                const Built<T> built(points, branching, depth, threads);
                CHECK(built == expected);
                CHECK(found(built.view(), queries, TreeMetric::l2, threads) == words);
            }
        });
        for (const std::int64_t leaf : words.leaves) {
            const auto node = static_cast<std::size_t>(leaf);
            CHECK(node < expected.nodes());
            CHECK_EQUAL(expected.children[node + 1], expected.children[node + 2]);
        }
    }
}

}  // namespace

TEST(trees_of_bytes) {
    for (const std::size_t dims : {1, 7, 64, 131}) check_threads<std::uint8_t>(dims, 256, 3, 4);
    check_threads<std::uint8_t>(2, 4, 10, 3);  // many equal points
    check_threads<std::uint8_t>(9, 256, 100, 1);
}

TEST(trees_of_floats) {
    for (const std::size_t dims : {1, 7, 64, 131}) check_threads<float>(dims, 256, 3, 4);
    check_threads<float>(2, 4, 10, 3);
}

TEST(bits_from_many_threads) {
    Random random(1, 2);
    const auto numbers = draw<std::uint8_t>(random, 500 * 32, 256);
    const auto points = rows_of(numbers, 32);
    const Built<std::uint8_t> built(points, 4, 3, 2);
    const Found expected = found(built.view(), points, TreeMetric::hamming, 1);
    std::vector<Found> results(8);
    std::vector<std::thread> threads;
    for (Found& result : results)
        threads.emplace_back([&] { result = found(built.view(), points, TreeMetric::hamming, 2); });
    for (std::thread& thread : threads) thread.join();
    for (const Found& result : results) CHECK(result == expected);
}

TEST(damage_is_refused_or_harmless) {
    Random random(3, 4);
    const auto numbers = draw<std::uint8_t>(random, 200 * 3, 256);
    const auto points = rows_of(numbers, 3);
    std::size_t refused = 0, searched = 0;
    for (int trial = 0; trial < 400; ++trial) {
        Built<std::uint8_t> damaged(points, 3, 3, 1);
        const std::size_t at = random.below(damaged.children.size());
        damaged.children[at] += static_cast<std::uint32_t>(random.below(5)) - 2;
        if (random.below(10) == 0) damaged.children.pop_back();
        try {
            for (const std::int64_t leaf : found(damaged.view(), points, TreeMetric::l2, 1).leaves)
                CHECK(static_cast<std::size_t>(leaf) < damaged.nodes());
            ++searched;
        } catch (const std::invalid_argument&) {
            ++refused;
        }
    }
    CHECK(refused > 50);
    CHECK(searched > 50);
}

TEST(few_centers_are_compared_as_many_are) {
    Random random(8, 9);
    // The last is the longest row whose distances fit 32 bits.
    for (const std::size_t dims : {1, 3, 4, 62, 128, 32'768})
        for (const std::size_t k : {1, 15, 16, 17, 128}) {
            const std::size_t n = dims > 1000 ? 9 : 50;
            auto numbers = draw<std::uint8_t>(random, (n + k) * dims, 256);
            for (std::size_t i = 0; i < 2 * dims; ++i)  // the farthest points and centres there are
                numbers[i] = numbers[numbers.size() - 1 - i] = i < dims ? 255 : 0;
            const auto rows = rows_of(numbers, dims);
            const auto points = rows.slice(0, n), centers = rows.slice(n, n + k);
            std::vector<std::int32_t> distances(n), expected(n);
            std::vector<std::int64_t> ids(n), expected_ids(n);
            exact_neighbors(points, centers, {expected.data(), n, 1}, {expected_ids.data(), n, 1},
                            1);
            for_each_isa([&] {
                kmeans::FewCenters<std::uint8_t>(centers).nearest(points, distances.data(),
                                                                  ids.data());
                CHECK(distances == expected);
                CHECK(ids == expected_ids);
            });
        }
}

TEST(distinct_rows_are_all_there_are) {
    const std::vector<float> values{0, -0.0f, 1, 1, 0, 2};
    Random random(5, 6);
    const auto chosen = distinct_rows(rows_of(values, 1), 9, random);
    CHECK_EQUAL(chosen.size(), std::size_t{3});
    CHECK(distinct_rows(rows_of(values, 1), 2, random).size() == 2);
    CHECK(distinct_rows(rows_of(values, 1).slice(0, 0), 2, random).empty());
}
