// SPDX-License-Identifier: Apache-2.0
// For the sanitizers: the laws are in tests/test_neighbors_kmeans_tree.py.
#include "neighbors/kmeans_tree.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "draw.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

template <class T>
struct Built {
    std::vector<T> points;
    KMeansTreeData data;
    std::size_t dims;

    Built(MatrixView<const T> rows, int levels, int threads)
        : points(rows.rows * rows.cols), dims(rows.cols) {
        const KMeansTreeOptions options{.branching = 5, .levels = levels, .iterations = 2};
        data = build_kmeans_tree<T>(rows, options, {points.data(), rows.rows, rows.cols}, threads);
    }

    /// `old` and more points.
    Built(const Built& old, MatrixView<const T> added, int threads)
        : points(old.points.size() + added.rows * added.cols), dims(old.dims) {
        data = grow_kmeans_tree<T>(old.view(), added, {points.data(), points.size() / dims, dims},
                                   threads);
    }

    KMeansTree<T> view() const { return data.view(rows_of(points, dims)); }
};

template <class T>
struct Found {
    std::vector<Distance<T>> distances;
    std::vector<std::int64_t> ids;

    bool operator==(const Found&) const = default;
};

template <class T>
Found<T> found(const KMeansTree<T>& tree, MatrixView<const T> queries, std::size_t k,
               const KMeansSearchOptions& options, int threads) {
    const std::size_t n = queries.rows;
    Found<T> result{std::vector<Distance<T>>(n * k), std::vector<std::int64_t>(n * k)};
    search_kmeans_tree<T>(tree, queries, options, {result.distances.data(), n, k},
                          {result.ids.data(), n, k}, threads);
    return result;
}

template <class T>
void check_threads(std::size_t dims, std::uint64_t limit) {
    Random random(dims, limit);
    const auto numbers = draw<T>(random, 300 * dims, limit);
    const std::vector<std::uint64_t> alive(5, 0x5555555555555555);
    for (const std::size_t n : {1, 17, 290})
        for (const int levels : {1, 2, 3}) {
            const auto rows = rows_of(numbers, dims);
            const auto queries = rows.slice(0, 30), added = rows.slice(n, n + 10);
            const Built<T> one(rows.slice(0, n), levels, 1), many(rows.slice(0, n), levels, 3);
            const Built<T> grown(one, added, 1), grown_too(many, added, 4);
            check_kmeans_tree(many.view());
            check_kmeans_tree(grown_too.view());
            for (const std::uint64_t checks :
                 {std::uint64_t{1}, std::uint64_t{40}, KMeansSearchOptions::all})
                for (const std::span<const std::uint64_t> bits :
                     {std::span<const std::uint64_t>{}, std::span<const std::uint64_t>{alive}}) {
                    CHECK(found(one.view(), queries, 5, {checks, bits}, 1) ==
                          found(many.view(), queries, 5, {checks, bits}, 4));
                    CHECK(found(grown.view(), queries, 5, {checks, bits}, 1) ==
                          found(grown_too.view(), queries, 5, {checks, bits}, 4));
                }
        }
}

/// Flips a bit of one of them.
template <class Items>
void damage(Items& items, Random& random) {
    auto* bytes = reinterpret_cast<std::uint8_t*>(items.data());
    const std::size_t size = items.size() * sizeof(*items.data());
    bytes[random.below(size)] ^= static_cast<std::uint8_t>(1u << random.below(8));
}

}  // namespace

TEST(the_same_for_any_number_of_threads) {
    for_each_isa([] {
        for (const std::size_t dims : {1, 3, 64, 130}) {
            check_threads<std::uint8_t>(dims, 256);
            check_threads<float>(dims, 256);
            check_threads<std::uint8_t>(dims, 2);
        }
    });
}

TEST(a_tree_of_no_points_finds_none) {
    const std::vector<float> numbers(20);
    const auto queries = rows_of(numbers, 4);
    const Built<float> empty(queries.slice(0, 0), 2, 2);
    check_kmeans_tree(empty.view());
    for (const std::uint64_t checks : {std::uint64_t{10}, KMeansSearchOptions::all})
        for (const std::int64_t id : found(empty.view(), queries, 3, {checks}, 2).ids)
            CHECK_EQUAL(id, -1);
}

TEST(searches_at_once) {
    Random random(1, 2);
    const auto numbers = draw<std::uint8_t>(random, 1000 * 20, 256);
    const auto points = rows_of(numbers, 20), queries = points.slice(0, 200);
    const Built<std::uint8_t> built(points, 2, 2);
    const auto expected = found(built.view(), queries, 5, {100}, 1);
    std::vector<Found<std::uint8_t>> results(8);
    std::vector<std::thread> threads;
    for (auto& result : results)
        threads.emplace_back([&] { result = found(built.view(), queries, 5, {100}, 2); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == expected);
}

TEST(damage_is_refused_or_harmless) {
    Random random(3, 4);
    const auto numbers = draw<std::uint8_t>(random, 400 * 10, 256);
    const auto points = rows_of(numbers, 10), queries = points.slice(0, 9);
    std::size_t refused = 0, searched = 0;
    for (int trial = 0; trial < 400; ++trial) {
        Built<std::uint8_t> damaged(points, 2, 1);
        KMeansTreeData& data = damaged.data;
        switch (random.below(8)) {
            case 0:
                damage(data.rows, random);
                break;
            case 1:
                damage(data.panels, random);
                break;
            case 2:
                damage(data.starts, random);
                break;
            case 3:
                damage(data.children, random);
                break;
            case 4:
                damage(data.blocks, random);
                break;
            case 5:
                damage(data.centers, random);
                break;
            case 6:
                damage(data.axes.directions, random);
                break;
            default:
                damage(data.sketches, random);
        }
        try {
            check_kmeans_tree(damaged.view());
        } catch (const std::invalid_argument&) {
            ++refused;
            continue;
        }
        ++searched;
        for (const std::int64_t id : found(damaged.view(), queries, 12, {90}, 1).ids)
            CHECK(id >= -1 && id < 400);
        const Built<std::uint8_t> grown(damaged, queries, 1);
        check_kmeans_tree(grown.view());
    }
    CHECK(refused > 50);
    CHECK(searched > 50);
}
