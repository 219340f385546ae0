// SPDX-License-Identifier: Apache-2.0
// For the sanitizers: the laws are in tests/test_neighbors_kd_forest.py.
#include "neighbors/kd_forest.hpp"

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
    KDForestData data;
    std::size_t dims;

    Built(MatrixView<const T> rows, int trees, int threads)
        : points(rows.rows * rows.cols), dims(rows.cols) {
        const KDForestOptions options{.trees = trees, .leaf_size = 5};
        data = build_kd_forest<T>(rows, options, {points.data(), rows.rows, rows.cols}, threads);
    }

    KDForest<T> view() const { return data.view(rows_of(points, dims)); }
};

template <class T>
struct Found {
    std::vector<KDDistance<T>> distances;
    std::vector<std::int64_t> ids;

    bool operator==(const Found&) const = default;
};

template <class T>
Found<T> found(const KDForest<T>& forest, MatrixView<const T> queries, std::size_t k,
               const KDSearchOptions& options, int threads) {
    const std::size_t n = queries.rows;
    Found<T> result{std::vector<KDDistance<T>>(n * k), std::vector<std::int64_t>(n * k)};
    search_kd_forest<T>(forest, queries, options, {result.distances.data(), n, k},
                        {result.ids.data(), n, k}, threads);
    return result;
}

template <class T>
void check_threads(std::size_t dims, std::uint64_t limit) {
    Random random(dims, limit);
    const auto numbers = draw<T>(random, 300 * dims, limit);
    const std::vector<std::uint64_t> alive(5, 0x5555555555555555);
    for (const std::size_t n : {0, 1, 17, 300})
        for (const int trees : {1, 3}) {
            const auto rows = rows_of(numbers, dims).slice(0, n);
            const auto queries = rows_of(numbers, dims).slice(0, 30);
            const Built<T> one(rows, trees, 1), many(rows, trees, 3);
            check_kd_forest(many.view());
            for (const std::uint64_t checks : {1, 40, 1000})
                for (const std::span<const std::uint64_t> bits :
                     {std::span<const std::uint64_t>{}, std::span<const std::uint64_t>{alive}})
                    CHECK(found(one.view(), queries, 5, {checks, bits}, 1) ==
                          found(many.view(), queries, 5, {checks, bits}, 4));
            std::vector<std::vector<KDNeighbor<KDDistance<T>>>> within(queries.rows);
            search_kd_forest_within<T>(one.view(), queries, 1000, {}, within, 2);
            if (n == 300) CHECK(!within[0].empty());  // itself
        }
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
    const Built<std::uint8_t> whole(points, 3, 1);
    std::size_t refused = 0, searched = 0;
    for (int trial = 0; trial < 600; ++trial) {
        Built<std::uint8_t> damaged = whole;
        const auto bit = static_cast<std::uint32_t>(1u << random.below(9));
        switch (random.below(5)) {
            case 0:
                damaged.data.rows[random.below(400)] ^= bit;
                break;
            case 1:
                damaged.data.roots[random.below(3)] ^= bit;
                break;
            case 2:
                damaged.data.orders[random.below(800)] ^= bit;
                break;
            case 3: {
                KDNode& node = damaged.data.nodes[random.below(damaged.data.nodes.size())];
                auto* bytes = reinterpret_cast<std::uint8_t*>(&node);
                bytes[random.below(8)] ^= static_cast<std::uint8_t>(1u << random.below(8));
                break;
            }
            default:
                damaged.data.panels[random.below(damaged.data.panels.size())] ^= 0x55;
        }
        try {
            check_kd_forest(damaged.view());
        } catch (const std::invalid_argument&) {
            ++refused;
            continue;
        }
        ++searched;
        for (const std::int64_t id : found(damaged.view(), queries, 12, {90}, 1).ids)
            CHECK(id >= -1 && id < 400);
    }
    CHECK(refused > 50);
    CHECK(searched > 50);
}
