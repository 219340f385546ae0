// SPDX-License-Identifier: Apache-2.0
// For the sanitizers: the laws are in tests/test_neighbors_lsh.py.
#include "neighbors/lsh.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
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
    LSHData data;
    std::size_t dims;

    Built(MatrixView<const T> rows, const HashOptions& options, int threads)
        : points(rows.rows * rows.cols), dims(rows.cols) {
        data = build_lsh<T>(rows, options, {points.data(), rows.rows, rows.cols}, threads);
    }

    LSH<T> view() const { return data.view(rows_of(points, dims)); }
};

template <class T>
struct Found {
    std::vector<Distance<T>> distances;
    std::vector<std::int64_t> ids;

    bool operator==(const Found&) const = default;
};

template <class T>
Found<T> found(const LSH<T>& lsh, MatrixView<const T> queries, std::size_t k,
               const LSHSearchOptions& options, int threads) {
    const std::size_t n = queries.rows;
    Found<T> result{std::vector<Distance<T>>(n * k), std::vector<std::int64_t>(n * k)};
    search_lsh<T>(lsh, queries, options, {result.distances.data(), n, k}, {result.ids.data(), n, k},
                  threads);
    return result;
}

template <class T>
void check_threads(const HashOptions& options, std::size_t dims, std::uint64_t limit) {
    Random random(dims, limit);
    const auto numbers = draw<T>(random, 300 * dims, limit);
    const std::vector<std::uint64_t> alive(5, 0x5555555555555555);
    const auto queries = rows_of(numbers, dims).slice(0, 30);
    for (const std::size_t n : {1, 17, 300}) {
        const auto rows = rows_of(numbers, dims).slice(0, n);
        const Built<T> one(rows, options, 1), many(rows, options, 3);
        check_lsh(many.view());
        for (const std::uint64_t checks : {1, 40, 1000})
            for (const std::span<const std::uint64_t> bits :
                 {std::span<const std::uint64_t>{}, std::span<const std::uint64_t>{alive}})
                CHECK(found(one.view(), queries, 5, {checks, 0, 9, bits}, 1) ==
                      found(many.view(), queries, 5, {checks, 0, 9, bits}, 4));
    }
}

HashOptions options_of(HashFamily family, std::size_t tables, bool packed_bits) {
    HashOptions options;
    options.family = family;
    options.tables = tables;
    options.functions = 5;
    options.sketch_bytes = 6;
    options.packed_bits = packed_bits;
    return options;
}

}  // namespace

TEST(the_same_for_any_number_of_threads) {
    for_each_isa([] {
        for (const std::size_t dims : {1, 3, 64})
            for (const std::size_t tables : {1, 3}) {
                for (const HashFamily family : {HashFamily::hyperplanes, HashFamily::stable}) {
                    const HashOptions options = options_of(family, tables, false);
                    check_threads<std::uint8_t>(options, dims, 256);
                    check_threads<float>(options, dims, 256);
                    check_threads<std::uint8_t>(options, dims, 2);
                }
                check_threads<std::uint8_t>(options_of(HashFamily::bits, tables, true), dims, 256);
            }
    });
}

TEST(searches_at_once) {
    Random random(1, 2);
    const auto numbers = draw<std::uint8_t>(random, 1000 * 20, 256);
    const auto points = rows_of(numbers, 20), queries = points.slice(0, 200);
    const Built<std::uint8_t> built(points, options_of(HashFamily::stable, 2, false), 2);
    const LSHSearchOptions options{100, 0, 20, {}};
    const auto expected = found(built.view(), queries, 5, options, 1);
    std::vector<Found<std::uint8_t>> results(8);
    std::vector<std::thread> threads;
    for (auto& result : results)
        threads.emplace_back([&] { result = found(built.view(), queries, 5, options, 2); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == expected);
}

TEST(damage_is_refused_or_harmless) {
    Random random(3, 4);
    const auto numbers = draw<std::uint8_t>(random, 400 * 10, 256);
    const auto points = rows_of(numbers, 10), queries = points.slice(0, 9);
    const Built<std::uint8_t> whole(points, options_of(HashFamily::stable, 3, false), 1);
    std::size_t refused = 0, searched = 0;
    for (int trial = 0; trial < 600; ++trial) {
        Built<std::uint8_t> damaged = whole;
        const auto bit = static_cast<std::uint32_t>(1u << random.below(9));
        LSHData& data = damaged.data;
        switch (random.below(6)) {
            case 0:
                data.rows[random.below(400)] ^= bit;
                break;
            case 1:
                data.orders[random.below(800)] ^= bit;
                break;
            case 2:
                data.slots[random.below(data.slots.size())].begin ^= bit;
                break;
            case 3:
                data.slots[random.below(data.slots.size())].key ^= bit;
                break;
            case 4:
                data.functions.directions[random.below(data.functions.directions.size())] =
                    std::numeric_limits<float>::quiet_NaN();
                break;
            default:
                data.panels[random.below(data.panels.size())] ^= 0x55;
        }
        try {
            check_lsh(damaged.view());
        } catch (const std::invalid_argument&) {
            ++refused;
            continue;
        }
        ++searched;
        for (const std::int64_t id : found(damaged.view(), queries, 12, {90, 0, 30, {}}, 1).ids)
            CHECK(id >= -1 && id < 400);
    }
    CHECK(refused > 50);
    CHECK(searched > 50);
}
