// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "neighbors/hamming_lists.hpp"
#include "neighbors/hamming_scan.hpp"
#include "neighbors/multi_index.hpp"
#include "neighbors/multi_index_walk.hpp"
#include "neighbors/project.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

using Codes = MatrixView<const std::uint8_t>;
using Lists = std::vector<std::vector<HammingNeighbor>>;

struct Answers {
    std::vector<std::int32_t> distances;
    std::vector<std::int64_t> ids;
    bool operator==(const Answers&) const = default;
};

template <class Search>
Answers answers(std::size_t n, std::size_t k, Search search) {
    Answers found{std::vector<std::int32_t>(n * k), std::vector<std::int64_t>(n * k)};
    search(MatrixView<std::int32_t>{found.distances.data(), n, k},
           MatrixView<std::int64_t>{found.ids.data(), n, k});
    return found;
}

/// What the search means: all distances, sorted.
Answers sorted(Codes points, Codes queries, std::size_t k) {
    return answers(queries.rows, k, [&](auto distances, auto ids) {
        for (std::size_t i = 0; i < queries.rows; ++i) {
            std::vector<std::pair<std::int32_t, std::int64_t>> all(points.rows);
            for (std::size_t j = 0; j < points.rows; ++j) {
                all[j] = {0, static_cast<std::int64_t>(j)};
                for (std::size_t b = 0; b < points.cols; ++b)
                    all[j].first +=
                        std::popcount(static_cast<unsigned>(points.row(j)[b] ^ queries.row(i)[b]));
            }
            std::sort(all.begin(), all.end());
            all.resize(k, {std::numeric_limits<std::int32_t>::max(), -1});
            for (std::size_t place = 0; place < k; ++place) {
                distances.row(i)[place] = all[place].first;
                ids.row(i)[place] = all[place].second;
            }
        }
    });
}

bool same(const Lists& a, const Lists& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
        return std::ranges::equal(x, y, [](const HammingNeighbor& p, const HammingNeighbor& q) {
            return p.score == q.score && p.id == q.id;
        });
    });
}

/// The tables of some points, which must outlive them.
struct Tables {
    Tables(Codes points, std::size_t m)
        : rows(m * points.rows),
          codes(m * points.rows * points.cols),
          directories(directory_places(8 * points.cols, m)),
          index{points,
                {rows.data(), m, points.rows},
                {codes.data(), m * points.rows, points.cols},
                directories} {
        build_multi_index(points, {rows.data(), m, points.rows},
                          {codes.data(), m * points.rows, points.cols}, directories, 2);
    }

    std::vector<std::uint32_t> rows;
    std::vector<std::uint8_t> codes;
    std::vector<std::uint32_t> directories;
    MultiIndex index;
};

}  // namespace

TEST(scan_is_exact) {
    for (const std::size_t bytes : {1, 4, 8, 11, 16, 32, 40, 64, 70})
        for (const std::size_t n : {1, 31, 32, 64, 70, 16'500}) {
            Random random(bytes, n);
            const auto points = draw<std::uint8_t>(random, n * bytes, 4);
            for (const std::size_t n_queries : {1, 3, 9, 33}) {
                if (n > 100 && n_queries > 9) continue;
                const auto queries = draw<std::uint8_t>(random, n_queries * bytes, 4);
                const Codes x = rows_of(points, bytes), q = rows_of(queries, bytes);
                for (const std::size_t k : {1, 40}) {
                    const Answers expected = sorted(x, q, k);
                    for_each_isa([&] {
                        CHECK(answers(q.rows, k, [&](auto distances, auto ids) {
                                  hamming_neighbors(x, q, {}, distances, ids, 3);
                              }) == expected);
                    });
                }
            }
        }
}

TEST(lists_of_all_points_have_what_a_scan_finds) {
    const std::vector<std::int64_t> starts{0, 0, 700, 700, 701, 1500};
    const std::vector<std::int64_t> numbers{4, 1, 0, 3, 2};
    for (const std::size_t bytes : {1, 8, 11}) {
        Random random(bytes, 1);
        const auto points = draw<std::uint8_t>(random, 1500 * bytes, 4);
        const auto queries = draw<std::uint8_t>(random, 9 * bytes, 4);
        const Codes x = rows_of(points, bytes), q = rows_of(queries, bytes);
        std::vector<std::uint32_t> members(1500);
        for (std::size_t i = 0; i < 1500; ++i)
            members[i] = static_cast<std::uint32_t>((i * 7) % 1500);
        std::vector<std::int64_t> lists;
        std::vector<std::uint8_t> repeated;
        for (std::size_t i = 0; i < q.rows; ++i)
            for (const std::int64_t number : numbers) {
                lists.push_back(number);
                repeated.insert(repeated.end(), q.row(i), q.row(i) + bytes);
            }
        for (const std::size_t k : {1, 40, 1600}) {
            const Answers expected = sorted(x, q, k);
            for (const Codes codes : {q, Codes{repeated.data(), q.rows, 5 * bytes}})
                for_each_isa([&] {
                    CHECK(answers(q.rows, k, [&](auto distances, auto ids) {
                              hamming_neighbors_in_lists(x, {starts, members}, codes,
                                                         {lists.data(), q.rows, 5}, distances, ids,
                                                         3);
                          }) == expected);
                });
        }
    }
}

TEST(multi_index_finds_what_a_scan_finds) {
    for (const std::size_t bytes : {1, 2, 8})
        for (const std::size_t m : {std::size_t{4}, 8 * bytes}) {
            Random random(bytes, m);
            const auto points = draw<std::uint8_t>(random, 20'000 * bytes, 16);
            const Codes x = rows_of(points, bytes), q = x.slice(0, 40);
            const Tables tables(x, m);
            check_multi_index(tables.index);
            for (const std::size_t k : {1, 20}) {
                const Answers expected = answers(q.rows, k, [&](auto distances, auto ids) {
                    hamming_neighbors(x, q, {}, distances, ids, 1);
                });
                for_each_isa([&] {
                    CHECK(answers(q.rows, k, [&](auto distances, auto ids) {
                              search_multi_index(tables.index, q, {}, distances, ids, 2);
                          }) == expected);
                });
            }
            for (const std::int32_t radius : {0, 3, 100}) {
                Lists expected(q.rows), found(q.rows);
                hamming_neighbors_within(x, q, radius, {}, expected, 1);
                search_multi_index_within(tables.index, q, radius, {}, found, 2);
                CHECK(same(found, expected));
            }
        }
}

TEST(walk_answers_what_is_near_and_leaves_what_is_far) {
    Random random(1, 2);
    const auto points = draw<std::uint8_t>(random, 20'000 * 8, 256);
    const Codes x = rows_of(points, 8);
    const Tables tables(x, 4);
    const auto substrings = hamming::substrings_of(64, 4);
    const auto answered = [&](const std::uint8_t* query, std::int32_t radius) {
        std::vector<HammingNeighbor> found;
        hamming::WithinGoal goal{radius, found};
        return hamming::Walk<hamming::WithinGoal>(tables.index, substrings, {}, query, goal).run();
    };
    CHECK(answered(x.row(77), 3));
    CHECK(!answered(x.row(77), 30));
}

TEST(damaged_tables_are_refused) {
    Random random(3, 4);
    const auto points = draw<std::uint8_t>(random, 100 * 2, 256);
    Tables tables(rows_of(points, 2), 2);
    check_multi_index(tables.index);
    std::swap(tables.directories[0], tables.directories[256]);
    CHECK_THROWS(std::invalid_argument, check_multi_index(tables.index));
    std::swap(tables.directories[0], tables.directories[256]);
    tables.rows[150] = 100;
    CHECK_THROWS(std::invalid_argument, check_multi_index(tables.index));
}

TEST(projections_are_sums_in_one_order) {
    for (const std::size_t dims : {1, 7, 130})
        for (const std::size_t cols : {1, 64, 65}) {
            Random random(dims, cols);
            const auto x = draw<std::uint8_t>(random, 67 * dims, 256);
            const auto weights = draw<float>(random, dims * cols, 1'000);
            const auto offsets = draw<float>(random, cols, 1'000);
            std::vector<float> expected(67 * cols);
            for (std::size_t i = 0; i < 67; ++i)
                for (std::size_t j = 0; j < cols; ++j) {
                    float sum = -offsets[j];
                    for (std::size_t d = 0; d < dims; ++d)
                        sum += static_cast<float>(x[i * dims + d]) * weights[d * cols + j];
                    expected[i * cols + j] = sum;
                }
            for_each_isa([&] {
                std::vector<float> out(67 * cols);
                project<std::uint8_t>(rows_of(x, dims), rows_of(weights, cols), offsets,
                                      {out.data(), 67, cols}, 2);
                CHECK(out == expected);
            });
        }
}
