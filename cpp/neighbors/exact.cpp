// SPDX-License-Identifier: Apache-2.0
#include "neighbors/exact.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <type_traits>
#include <vector>

#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/exact_compare.hpp"

namespace trouvaille {
namespace {

using exact::Best;
using exact::Item;
using exact::Within;

// What follows is done for so many queries at a time: it bounds the scratch memory.
constexpr std::size_t wave_rows = 12'288;

template <class Point>
using KeyOf = std::conditional_t<std::is_same_v<Point, std::uint8_t>, std::int32_t, float>;

/// Offers the keys of rows first, first + 1, ..., which may come after those of later rows: then
/// one that is as far as the worst still ranks before it.
template <class Key, class Found>
void offer(const Key* keys, std::size_t n, std::size_t first, Found& found) {
    constexpr std::size_t together = 16;
    for (std::size_t begin = 0; begin < n; begin += together) {
        const std::size_t end = std::min(n, begin + together);
        const bool all = !found.full();
        const Key worst = all ? exact::farthest<Key> : found.worst().score;
        bool any = all;
        for (std::size_t j = begin; j < end; ++j) any |= keys[j] <= worst;
        if (!any) continue;
        for (std::size_t j = begin; j < end; ++j)
            found.push(keys[j], static_cast<std::uint32_t>(first + j));
    }
}

// Slices of about 1 MiB; their keys stay in the cache.
template <Metric metric, class Query, class Point, class Found>
void compare_few(MatrixView<const Query> queries, MatrixView<const Point> points, Found* found,
                 int threads) {
    const std::size_t row_bytes = std::max<std::size_t>(points.cols * sizeof(Point), 1);
    const std::size_t slice = std::clamp<std::size_t>((std::size_t{1} << 20) / row_bytes, 4, 2048);
    std::mutex mutex;
    parallel_for(points.rows, slice, threads, [&](std::size_t begin, std::size_t end) {
        const std::size_t n = end - begin;
        std::vector<KeyOf<Point>> keys(queries.rows * n);
        exact::compare_rows<metric>(queries, points.slice(begin, end), keys.data());
        const std::lock_guard lock(mutex);
        for (std::size_t q = 0; q < queries.rows; ++q) offer(&keys[q * n], n, begin, found[q]);
    });
}

/// Below so many queries the points are not packed.
template <class Point>
constexpr std::size_t few = 8;

template <Metric metric, class Query, class Point, class Found>
void compare(MatrixView<const Query> queries, MatrixView<const Point> points, Found* found,
             int threads) {
    if (queries.rows < few<Point>) {
        compare_few<metric>(queries, points, found, threads);
    } else {
        exact::compare_panels<metric>(queries, points, found, threads);
    }
}

template <class Query, class Point, class Found>
void compare(Metric metric, MatrixView<const Query> queries, MatrixView<const Point> points,
             Found* found, int threads) {
    switch (metric) {
        case Metric::l2:
            return compare<Metric::l2>(queries, points, found, threads);
        case Metric::inner_product:
            return compare<Metric::inner_product>(queries, points, found, threads);
        case Metric::l1:
            return compare<Metric::l1>(queries, points, found, threads);
    }
}

template <class Key>
void write_row(Metric metric, Best<Key>& best, Key* distances, std::int64_t* ids) {
    for (const Item<Key>& item : best.sorted()) {
        *distances++ = key_or_distance(metric, item.score);
        *ids++ = item.id;
    }
}

template <class Key>
Key missing(Metric metric) {
    if (metric != Metric::inner_product) return exact::farthest<Key>;
    if (std::numeric_limits<Key>::has_infinity) return -std::numeric_limits<Key>::infinity();
    return std::numeric_limits<Key>::lowest();
}

/// compare(queries, found, first) offers all points to found[i] of each query i; the number of the
/// first query is `first`.
template <class Query, class Point, class Key, class Compare>
void find_nearest(Metric metric, MatrixView<const Query> queries, MatrixView<const Point> points,
                  MatrixView<Key> distances, MatrixView<std::int64_t> ids, int threads,
                  Compare compare_all) {
    assert(queries.cols == points.cols);
    assert(distances.rows == queries.rows && ids.rows == queries.rows);
    assert(distances.cols == ids.cols);
    static_cast<void>(checked_cast<std::uint32_t>(points.rows, "the number of rows"));
    const std::size_t k = ids.cols, places = std::min(k, points.rows);
    std::fill_n(distances.data, queries.rows * k, missing<Key>(metric));
    std::fill_n(ids.data, queries.rows * k, -1);
    if (places == 0) return;
    std::vector<Item<Key>> storage(
        checked_mul(std::min(queries.rows, wave_rows), places, "queries * k"));
    std::vector<Best<Key>> best;
    for (std::size_t wave = 0; wave < queries.rows; wave += wave_rows) {
        const std::size_t n = std::min(wave_rows, queries.rows - wave);
        best.clear();
        for (std::size_t i = 0; i < n; ++i)
            best.emplace_back(std::span(storage).subspan(i * places, places));
        compare_all(queries.slice(wave, wave + n), best.data(), wave);
        parallel_for(n, (std::size_t{1} << 14) / k + 1, threads,
                     [&](std::size_t begin, std::size_t end) {
                         for (std::size_t i = begin; i < end; ++i)
                             write_row(metric, best[i], distances.row(wave + i), ids.row(wave + i));
                     });
    }
}

template <class Query, class Point, class Key>
void nearest(MatrixView<const Query> queries, MatrixView<const Point> points,
             MatrixView<Key> distances, MatrixView<std::int64_t> ids, int threads, Metric metric) {
    find_nearest(metric, queries, points, distances, ids, threads,
                 [&](MatrixView<const Query> wave, Best<Key>* best, std::size_t) {
                     compare(metric, wave, points, best, threads);
                 });
}

// The smallest keys that are not within the radius, or the largest of all numbers: no distance
// between bytes is as large.
std::int32_t limit_of(double key, std::int32_t) {
    constexpr double largest = std::numeric_limits<std::int32_t>::max();
    return static_cast<std::int32_t>(std::clamp(std::floor(key) + 1, -largest, largest));
}

float limit_of(double key, float) {
    constexpr float largest = std::numeric_limits<float>::max();
    constexpr float infinity = std::numeric_limits<float>::infinity();
    if (key >= largest) return infinity;
    if (key < -largest) return -infinity;
    const auto rounded = static_cast<float>(key);
    return rounded > key ? rounded : std::nextafter(rounded, infinity);
}

template <class Query, class Point>
NeighborsWithin<KeyOf<Point>> within(MatrixView<const Query> queries,
                                     MatrixView<const Point> points, double radius, int threads,
                                     Metric metric) {
    using Key = KeyOf<Point>;
    assert(queries.cols == points.cols);
    static_cast<void>(checked_cast<std::uint32_t>(points.rows, "the number of rows"));
    const Key limit = limit_of(key_or_distance(metric, radius), Key{});
    NeighborsWithin<Key> result;
    for (std::size_t wave = 0; wave < queries.rows; wave += wave_rows) {
        const std::size_t n = std::min(wave_rows, queries.rows - wave);
        std::vector<Within<Key>> found(n, Within<Key>(limit));
        if (points.rows > 0)
            compare(metric, queries.slice(wave, wave + n), points, found.data(), threads);
        parallel_for(n, 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) found[i].sort();
        });
        for (Within<Key>& of_query : found) {
            for (const Item<Key>& item : of_query.items()) {
                result.distances.push_back(key_or_distance(metric, item.score));
                result.ids.push_back(item.id);
            }
            result.offsets.push_back(static_cast<std::int64_t>(result.ids.size()));
            of_query = Within<Key>(limit);  // gives its memory back
        }
    }
    return result;
}

}  // namespace

void exact_neighbors(MatrixView<const std::uint8_t> queries, MatrixView<const std::uint8_t> points,
                     MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric) {
    assert(queries.cols <= max_byte_dims);
    nearest(queries, points, distances, ids, threads, metric);
}

void exact_neighbors(MatrixView<const float> queries, MatrixView<const float> points,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric) {
    nearest(queries, points, distances, ids, threads, metric);
}

void exact_neighbors(MatrixView<const float> queries, MatrixView<const Half> points,
                     MatrixView<float> distances, MatrixView<std::int64_t> ids, int threads,
                     Metric metric) {
    nearest(queries, points, distances, ids, threads, metric);
}

NeighborsWithin<std::int32_t> exact_neighbors_within(MatrixView<const std::uint8_t> queries,
                                                     MatrixView<const std::uint8_t> points,
                                                     double radius, int threads, Metric metric) {
    assert(queries.cols <= max_byte_dims);
    return within(queries, points, radius, threads, metric);
}

NeighborsWithin<float> exact_neighbors_within(MatrixView<const float> queries,
                                              MatrixView<const float> points, double radius,
                                              int threads, Metric metric) {
    return within(queries, points, radius, threads, metric);
}

NeighborsWithin<float> exact_neighbors_within(MatrixView<const float> queries,
                                              MatrixView<const Half> points, double radius,
                                              int threads, Metric metric) {
    return within(queries, points, radius, threads, metric);
}

void exact_neighbors_both_ways(MatrixView<const std::uint8_t> queries,
                               MatrixView<const std::uint8_t> database,
                               MatrixView<std::int32_t> distances, MatrixView<std::int64_t> ids,
                               std::span<std::int32_t> reverse_distances,
                               std::span<std::int64_t> reverse_ids, int threads) {
    assert(queries.cols <= max_byte_dims && ids.cols >= 1);
    assert(reverse_distances.size() == database.rows && reverse_ids.size() == database.rows);
    exact::NearestQueries reverse(reverse_distances, reverse_ids);
    find_nearest(
        Metric::l2, queries, database, distances, ids, threads,
        [&](MatrixView<const std::uint8_t> wave, Best<std::int32_t>* best, std::size_t first) {
            exact::compare_panels_both_ways(wave, database, best, reverse, first, threads);
        });
}

}  // namespace trouvaille
