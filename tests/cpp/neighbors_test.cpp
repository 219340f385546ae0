// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "neighbors/exact.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

template <class T>
using DistanceOf = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

template <class T>
struct Neighbors {
    std::vector<DistanceOf<T>> distances;
    std::vector<std::int64_t> ids;

    bool operator==(const Neighbors&) const = default;
};

template <class T>
Neighbors<T> found(MatrixView<const T> queries, MatrixView<const T> database, std::size_t k,
                   int threads) {
    const std::size_t n = queries.rows;
    Neighbors<T> result{std::vector<DistanceOf<T>>(n * k), std::vector<std::int64_t>(n * k)};
    exact_neighbors(queries, database, {result.distances.data(), n, k}, {result.ids.data(), n, k},
                    threads);
    return result;
}

// Sorts every row of a database by distance(query, row), a function of their numbers.
template <class T, class Distance>
Neighbors<T> sorted(std::size_t queries, std::size_t rows, std::size_t k, Distance distance) {
    using Limits = std::numeric_limits<DistanceOf<T>>;
    const DistanceOf<T> farthest = Limits::has_infinity ? Limits::infinity() : Limits::max();
    Neighbors<T> result;
    for (std::size_t q = 0; q < queries; ++q) {
        std::vector<std::pair<DistanceOf<T>, std::int64_t>> all(k, {farthest, -1});
        for (std::size_t i = 0; i < rows; ++i)
            all.emplace_back(distance(q, i), static_cast<std::int64_t>(i));
        std::sort(all.begin() + static_cast<std::ptrdiff_t>(k), all.end());
        std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(k), all.end());
        for (std::size_t j = 0; j < k; ++j) {
            result.distances.push_back(all[j].first);
            result.ids.push_back(all[j].second);
        }
    }
    return result;
}

template <class T, class Sum>
Sum squared_distance(const T* a, const T* b, std::size_t dims) {
    Sum sum = 0;
    for (std::size_t d = 0; d < dims; ++d) sum += (Sum{a[d]} - Sum{b[d]}) * (Sum{a[d]} - Sum{b[d]});
    return sum;
}

template <class T>
void check(MatrixView<const T> queries, MatrixView<const T> database, std::size_t k,
           const Neighbors<T>& expected) {
    for (const int threads : {1, 5, 3 + static_cast<int>(std::thread::hardware_concurrency())})
        if (found(queries, database, k, threads) != expected)
            test::fail(__FILE__, __LINE__,
                       std::to_string(queries.rows) + " queries, " + std::to_string(database.rows) +
                           " rows, " + std::to_string(queries.cols) + " dimensions, k " +
                           std::to_string(k) + ", threads " + std::to_string(threads));
}

// Random rows of whole numbers below `limit`, whose distances a float holds exactly.
template <class T>
void check_whole_numbers(std::size_t n, std::size_t rows, std::size_t dims, std::uint64_t limit) {
    Random random(n * 1000 + rows, dims);
    const auto queries = draw<T>(random, n * dims, limit);
    const auto database = draw<T>(random, rows * dims, limit);
    const auto q = rows_of(queries, dims), x = rows_of(database, dims);
    for (const std::size_t k : {1, 5}) {
        const auto expected = sorted<T>(n, rows, k, [&](std::size_t a, std::size_t b) {
            return squared_distance<T, DistanceOf<T>>(q.row(a), x.row(b), dims);
        });
        for_each_isa([&] { check(q, x, k, expected); });
    }
}

template <class T>
void check_sizes(std::uint64_t limit) {
    // Around panels of 8 to 64 rows and groups of 4 to 12 queries, with k beyond the rows.
    for (const std::size_t dims : {1, 4, 127, 128, 130})
        for (const std::size_t rows : {1, 4, 8, 15, 16, 17, 33, 64, 65})
            for (const std::size_t n : {1, 6, 13}) check_whole_numbers<T>(n, rows, dims, limit);
    check_whole_numbers<T>(385, 33, 4, limit);     // blocks of 192 queries
    check_whole_numbers<T>(12'289, 2, 1, limit);   // waves of 12,288 queries
    check_whole_numbers<T>(3, 8'200, 130, limit);  // slices of 1 MiB
}

}  // namespace

TEST(bytes_equal_a_sort) {
    check_sizes<std::uint8_t>(256);
}

TEST(floats_equal_a_sort) {
    check_sizes<float>(256);
}

TEST(ties_go_to_the_smaller_id) {
    for (const std::size_t dims : {1, 4, 130}) {
        check_whole_numbers<std::uint8_t>(13, 200, dims, 2);
        check_whole_numbers<float>(13, 200, dims, 2);
        check_whole_numbers<std::uint8_t>(13, 200, dims, 1);  // all rows are equal
        check_whole_numbers<float>(13, 200, dims, 1);
    }
}

namespace {

// Random rows between `low` and low + 1. Far from 0 the distances are as small as the rounding of
// the scores that sift them.
void check_fractions(std::size_t dims, double low) {
    constexpr std::size_t n = 13, rows = 65;
    Random random(7, dims);
    std::vector<float> numbers((n + rows) * dims);
    for (float& number : numbers) number = static_cast<float>(low + random.uniform());
    const auto all = rows_of(numbers, dims);
    const auto q = all.slice(0, n), x = all.slice(n, n + rows);
    // A database of one row cannot prefer another: its distance is taken as it is.
    std::vector<float> distances;
    for (std::size_t i = 0; i < rows; ++i)
        for (const float d : found(q, x.slice(i, i + 1), 1, 1).distances) distances.push_back(d);
    const auto distance = [&](std::size_t a, std::size_t b) { return distances[b * n + a]; };
    for (std::size_t a = 0; a < n; ++a)
        for (std::size_t b = 0; b < rows; ++b) {
            const double exact = squared_distance<float, double>(q.row(a), x.row(b), dims);
            const double tolerance = (static_cast<double>(dims) / 16 + 8) * 0x1p-24;
            CHECK(std::abs(distance(a, b) - exact) <= tolerance * exact);
        }
    for (const std::size_t k : {1, 5}) {
        const auto expected = sorted<float>(n, rows, k, distance);
        for_each_isa([&] { check(q, x, k, expected); });
    }
}

}  // namespace

TEST(fractions_are_sorted_by_their_rounded_distances) {
    for (const std::size_t dims : {1, 4, 127, 128, 130})
        for (const double low : {0, 100, 1000}) check_fractions(dims, low);
}

namespace {

// Both directions of one search are two searches.
void check_both_ways(std::size_t n, std::size_t rows, std::size_t dims, std::uint64_t limit) {
    Random random(n * 1000 + rows, dims);
    const auto queries = draw<std::uint8_t>(random, n * dims, limit);
    const auto database = draw<std::uint8_t>(random, rows * dims, limit);
    const auto q = rows_of(queries, dims), x = rows_of(database, dims);
    for (const std::size_t k : {1, 2, 5}) {
        const auto forward = found(q, x, k, 1), back = found(x, q, 1, 1);
        for_each_isa([&] {
            for (const int threads : {1, 5}) {
                Neighbors<std::uint8_t> one{std::vector<std::int32_t>(n * k),
                                            std::vector<std::int64_t>(n * k)};
                Neighbors<std::uint8_t> other{std::vector<std::int32_t>(rows),
                                              std::vector<std::int64_t>(rows)};
                exact_neighbors_both_ways(q, x, {one.distances.data(), n, k},
                                          {one.ids.data(), n, k}, other.distances, other.ids,
                                          threads);
                CHECK(one == forward);
                CHECK(other == back);
            }
        });
    }
}

}  // namespace

TEST(both_ways_equal_two_searches) {
    for (const std::uint64_t limit : {1, 2, 256})
        for (const std::size_t dims : {1, 4, 128, 130})
            for (const std::size_t rows : {1, 15, 16, 17, 64, 65, 200})
                for (const std::size_t n : {1, 6, 13, 200}) check_both_ways(n, rows, dims, limit);
    check_both_ways(12'289, 5, 4, 256);
    check_both_ways(30, 8'200, 130, 256);
}

TEST(both_ways_of_the_largest_distances) {
    const std::size_t dims = max_byte_dims;
    const std::vector<std::uint8_t> black(2 * dims, 0), white(3 * dims, 255);
    for_each_isa([&] {
        std::vector<std::int32_t> distances(2), reverse_distances(3);
        std::vector<std::int64_t> ids(2), reverse_ids(3);
        exact_neighbors_both_ways({black.data(), 2, dims}, {white.data(), 3, dims},
                                  {distances.data(), 2, 1}, {ids.data(), 2, 1}, reverse_distances,
                                  reverse_ids, 1);
        for (const std::int32_t d : reverse_distances) CHECK_EQUAL(d, 255 * 255 * 32'768);
        for (const std::int64_t id : reverse_ids) CHECK_EQUAL(id, 0);
    });
}
