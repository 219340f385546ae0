// SPDX-License-Identifier: Apache-2.0
#include "neighbors/exact.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <type_traits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "draw.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

constexpr Metric metrics[] = {Metric::l2, Metric::inner_product, Metric::l1};

template <class Point>
using QueryOf = std::conditional_t<std::is_same_v<Point, Half>, float, Point>;
template <class Point>
using DistanceOf = std::conditional_t<std::is_same_v<Point, std::uint8_t>, std::int32_t, float>;

// Whole numbers below 2^11, whose products sum to whole numbers that a float holds.
double value(std::uint8_t x) {
    return x;
}
double value(float x) {
    return x;
}
double value(Half x) {
    const auto bits = static_cast<unsigned>(x);
    const int exponent = static_cast<int>(bits >> 10) - 15;
    return bits == 0 ? 0 : std::ldexp(1 + (bits & 1023) / 1024.0, exponent);
}

Half half_of(unsigned x) {
    if (x == 0) return Half{};
    const int exponent = std::ilogb(x);
    const auto fraction = static_cast<unsigned>(std::ldexp(x, 10 - exponent)) - 1024;
    return static_cast<Half>((static_cast<unsigned>(exponent + 15) << 10) | fraction);
}

template <class Point>
std::vector<Point> drawn(Random& random, std::size_t n, std::uint64_t limit) {
    if constexpr (std::is_same_v<Point, Half>) {
        std::vector<Half> halves;
        for (const std::uint8_t x : draw<std::uint8_t>(random, n, limit))
            halves.push_back(half_of(x));
        return halves;
    } else {
        return draw<Point>(random, n, limit);
    }
}

template <class Query, class Point>
double distance(Metric metric, const Query* a, const Point* b, std::size_t dims) {
    double sum = 0;
    for (std::size_t d = 0; d < dims; ++d) {
        const double x = value(a[d]), y = value(b[d]);
        if (metric == Metric::inner_product) sum += x * y;
        if (metric == Metric::l2) sum += (x - y) * (x - y);
        if (metric == Metric::l1) sum += std::abs(x - y);
    }
    return sum;
}

using Ranked = std::vector<std::pair<double, std::int64_t>>;  // keys and rows

template <class Query, class Point>
Ranked ranked(Metric metric, const Query* query, MatrixView<const Point> points) {
    Ranked all;
    for (std::size_t i = 0; i < points.rows; ++i)
        all.emplace_back(
            key_or_distance(metric, distance(metric, query, points.row(i), points.cols)), i);
    std::sort(all.begin(), all.end());
    return all;
}

template <class Point>
void check_metric(Metric metric, MatrixView<const QueryOf<Point>> queries,
                  MatrixView<const Point> points, std::size_t k, int threads) {
    const std::size_t n = queries.rows;
    std::vector<DistanceOf<Point>> distances(n * k);
    std::vector<std::int64_t> ids(n * k);
    exact_neighbors(queries, points, {distances.data(), n, k}, {ids.data(), n, k}, threads, metric);
    const double radius =
        distance(metric, queries.row(0), points.row(points.rows / 2), points.cols);
    const auto within = exact_neighbors_within(queries, points, radius, threads, metric);
    CHECK_EQUAL(within.offsets.size(), n + 1);
    std::size_t at = 0;
    for (std::size_t q = 0; q < n; ++q) {
        const Ranked all = ranked(metric, queries.row(q), points);
        for (std::size_t j = 0; j < k; ++j) {
            const bool exists = j < all.size();
            CHECK_EQUAL(ids[q * k + j], exists ? all[j].second : -1);
            if (exists)
                CHECK(static_cast<double>(distances[q * k + j]) ==
                      key_or_distance(metric, all[j].first));
        }
        for (const auto& [key, row] : all) {
            if (key > key_or_distance(metric, radius)) break;
            CHECK_EQUAL(within.ids[at], row);
            CHECK(static_cast<double>(within.distances[at++]) == key_or_distance(metric, key));
        }
        CHECK_EQUAL(static_cast<std::size_t>(within.offsets[q + 1]), at);
    }
}

// Around panels of 8 to 64 rows, and 8 queries, where points begin to be packed.
template <class Point>
void check_sizes() {
    for (const std::uint64_t limit : {2, 256})
        for (const std::size_t dims : {1, 15, 16, 130})
            for (const std::size_t rows : {1, 17, 65})
                for (const std::size_t n : {1, 7, 13}) {
                    Random random(n * 1000 + rows, dims);
                    const auto q = drawn<QueryOf<Point>>(random, n * dims, limit);
                    const auto x = drawn<Point>(random, rows * dims, limit);
                    for (const Metric metric : metrics)
                        for_each_isa([&] {
                            check_metric<Point>(metric, rows_of(q, dims), rows_of(x, dims), 5, 1);
                            check_metric<Point>(metric, rows_of(q, dims), rows_of(x, dims), 1, 5);
                        });
                }
}

}  // namespace

TEST(bytes_equal_a_sort_by_every_metric) {
    check_sizes<std::uint8_t>();
}

TEST(floats_equal_a_sort_by_every_metric) {
    check_sizes<float>();
}

TEST(halves_equal_a_sort_by_every_metric) {
    check_sizes<Half>();
}

TEST(the_largest_numbers_of_bytes) {
    const std::size_t dims = max_byte_dims;
    const std::vector<std::uint8_t> black(dims, 0), white(9 * dims, 255);
    for (const std::size_t n : {1, 9})
        for_each_isa([&] {
            const MatrixView<const std::uint8_t> queries{white.data(), n, dims};
            for (const Metric metric : metrics) {
                check_metric<std::uint8_t>(metric, queries, {white.data(), 2, dims}, 3, 1);
                check_metric<std::uint8_t>(metric, queries, {black.data(), 1, dims}, 3, 1);
            }
        });
}
