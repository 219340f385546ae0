// SPDX-License-Identifier: Apache-2.0
// For the sanitizers: the laws are in tests/test_neighbors_graph.py.
#include "neighbors/graph.hpp"

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

constexpr GraphOptions small{.degree = 8, .width = 20};

template <class T>
struct Found {
    std::vector<Distance<T>> distances;
    std::vector<std::int64_t> ids;

    bool operator==(const Found&) const = default;
};

template <class T>
Found<T> found(MatrixView<const T> points, const GraphView& graph, MatrixView<const T> queries,
               std::size_t k, std::size_t width, const std::uint64_t* alive, int threads) {
    const std::size_t n = queries.rows;
    Found<T> result{std::vector<Distance<T>>(n * k), std::vector<std::int64_t>(n * k)};
    search_graph(points, graph, queries, width, alive, {result.distances.data(), n, k},
                 {result.ids.data(), n, k}, threads);
    return result;
}

GraphView view_of(const Graph& graph) {
    const std::size_t n = graph.neighbors.size() / graph.degree;
    return {{graph.neighbors.data(), n, graph.degree}, graph.entry, graph.copies};
}

template <class T>
void check_growth(std::size_t dims, std::uint64_t limit) {
    Random random(dims, limit);
    const auto numbers = draw<T>(random, 600 * dims, limit);
    const auto points = rows_of(numbers, dims), queries = points.slice(0, 30);
    Graph graph;
    for (const std::size_t n : {1, 2, 300, 301, 600}) {
        graph = extend_graph(points.slice(0, n), graph.degree == 0 ? GraphView{} : view_of(graph),
                             small, 3);
        check_graph(view_of(graph), n);
    }
    const std::vector<std::uint64_t> alive(10, 0x5555555555555555);
    for (const std::size_t width : {1, 20, 600})
        for (const std::uint64_t* bits : {static_cast<const std::uint64_t*>(nullptr), alive.data()})
            CHECK(found(points, view_of(graph), queries, 5, width, bits, 1) ==
                  found(points, view_of(graph), queries, 5, width, bits, 4));
}

}  // namespace

TEST(growth) {
    for_each_isa([] {
        for (const std::size_t dims : {1, 3, 64, 70, 130}) {
            check_growth<std::uint8_t>(dims, 256);
            check_growth<float>(dims, 256);
            check_growth<std::uint8_t>(dims, 2);
        }
    });
}

TEST(searches_at_once) {
    Random random(1, 2);
    const auto numbers = draw<std::uint8_t>(random, 1000 * 20, 256);
    const auto points = rows_of(numbers, 20), queries = points.slice(0, 200);
    const Graph graph = extend_graph(points, GraphView{}, small, 2);
    const auto expected = found(points, view_of(graph), queries, 5, 30, nullptr, 1);
    std::vector<Found<std::uint8_t>> results(8);
    std::vector<std::thread> threads;
    for (auto& result : results)
        threads.emplace_back(
            [&] { result = found(points, view_of(graph), queries, 5, 30, nullptr, 2); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == expected);
}

TEST(damage_is_refused_or_harmless) {
    Random random(3, 4);
    auto numbers = draw<std::uint8_t>(random, 400 * 10, 256);
    std::copy_n(numbers.begin(), 100, numbers.begin() + 1000);  // ten copies
    const auto points = rows_of(numbers, 10), queries = points.slice(0, 9);
    const Graph whole = extend_graph(points, GraphView{}, small, 1);
    std::size_t refused = 0, searched = 0;
    for (int trial = 0; trial < 300; ++trial) {
        std::vector<std::uint32_t> edges(whole.neighbors.span().begin(),
                                         whole.neighbors.span().end());
        std::vector<std::uint64_t> copies = whole.copies;
        for (std::uint64_t i = random.below(4); i > 0; --i)
            edges[random.below(edges.size())] ^= 1u << random.below(32);
        if (random.below(3) == 0)
            copies[random.below(copies.size())] ^= std::uint64_t{1} << random.below(64);
        const GraphView graph{{edges.data(), 400, whole.degree},
                              whole.entry ^ static_cast<std::uint32_t>(random.below(2)),
                              copies};
        try {
            check_graph(graph, 400);
        } catch (const std::invalid_argument&) {
            ++refused;
            continue;
        }
        ++searched;
        for (const std::int64_t id : found(points, graph, queries, 12, 15, nullptr, 1).ids)
            CHECK(id >= -1 && id < 400);
        check_graph(view_of(extend_graph(points, graph, small, 1)), 400);
    }
    CHECK(refused > 50);
    CHECK(searched > 50);
}
