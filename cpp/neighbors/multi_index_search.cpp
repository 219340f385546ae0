// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "neighbors/multi_index.hpp"
#include "neighbors/multi_index_walk.hpp"

namespace trouvaille {
namespace {

using namespace hamming;
using Alive = std::span<const std::uint64_t>;

template <class Goal>
bool walk_scalar(Walk<Goal>& walk) {
    return walk.run();
}

#if TROUVAILLE_X86
template <class Goal>
TARGET_AVX2 bool walk_avx2(Walk<Goal>& walk) {  // for the instruction that counts bits
    return walk.run();
}

template <class Goal>
constexpr decltype(&walk_scalar<Goal>) variants[isa_count] = {walk_scalar<Goal>, walk_avx2<Goal>,
                                                              walk_avx2<Goal>};
#else
template <class Goal>
constexpr decltype(&walk_scalar<Goal>) variants[isa_count] = {walk_scalar<Goal>, walk_scalar<Goal>,
                                                              walk_scalar<Goal>};
#endif

/// The numbers of the queries for which answer(i) is false. Once nearly all of the first ones are,
/// the others are not asked: their answer is a scan's.
template <class Answer>
std::vector<std::size_t> left_to_a_scan(std::size_t n, int threads, Answer answer) {
    std::vector<std::uint8_t> answered(n);
    const auto ask = [&](std::size_t first, std::size_t last) {
        parallel_for(last - first, 4, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = first + begin; i < first + end; ++i) answered[i] = answer(i);
        });
        return static_cast<std::size_t>(
            std::count(answered.begin() + static_cast<std::ptrdiff_t>(first),
                       answered.begin() + static_cast<std::ptrdiff_t>(last), 1));
    };
    const std::size_t probes = std::min<std::size_t>(n, 32);
    if (8 * ask(0, probes) >= probes) ask(probes, n);
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < n; ++i)
        if (!answered[i]) left.push_back(i);
    return left;
}

/// Some rows of a matrix, one behind the other.
std::vector<std::uint8_t> gathered(MatrixView<const std::uint8_t> from,
                                   const std::vector<std::size_t>& rows) {
    std::vector<std::uint8_t> to(rows.size() * from.cols);
    for (std::size_t i = 0; i < rows.size(); ++i)
        std::copy_n(from.row(rows[i]), from.cols, to.data() + i * from.cols);
    return to;
}

void scan_rest(const MultiIndex& index, MatrixView<const std::uint8_t> queries, Alive alive,
               const std::vector<std::size_t>& left, MatrixView<std::int32_t> distances,
               MatrixView<std::int64_t> ids, int threads) {
    const std::size_t k = ids.cols;
    const auto codes = gathered(queries, left);
    std::vector<std::int32_t> near(left.size() * k);
    std::vector<std::int64_t> rows(left.size() * k);
    hamming_neighbors(index.points, {codes.data(), left.size(), queries.cols}, alive,
                      {near.data(), left.size(), k}, {rows.data(), left.size(), k}, threads);
    for (std::size_t i = 0; i < left.size(); ++i) {
        std::copy_n(&near[i * k], k, distances.row(left[i]));
        std::copy_n(&rows[i * k], k, ids.row(left[i]));
    }
}

}  // namespace

void search_multi_index(const MultiIndex& index, MatrixView<const std::uint8_t> queries,
                        Alive alive, MatrixView<std::int32_t> distances,
                        MatrixView<std::int64_t> ids, int threads) {
    const std::size_t k = ids.cols;
    assert(queries.cols == index.points.cols && k >= 1);
    if (k >= index.points.rows)
        return hamming_neighbors(index.points, queries, alive, distances, ids, threads);
    const auto substrings = substrings_of(8 * index.points.cols, index.rows.rows);
    const auto walk = pick(variants<NearestGoal>);
    const auto left = left_to_a_scan(queries.rows, threads, [&](std::size_t i) {
        std::vector<HammingNeighbor> storage(k);
        NearestGoal goal{TopK<std::int32_t, std::uint32_t, std::less<std::int32_t>>(storage)};
        Walk<NearestGoal> way(index, substrings, alive, queries.row(i), goal);
        if (!walk(way) || !goal.best.full()) return false;
        std::size_t place = 0;
        for (const HammingNeighbor& neighbor : goal.best.sorted()) {
            distances.row(i)[place] = neighbor.score;
            ids.row(i)[place++] = neighbor.id;
        }
        return true;
    });
    if (left.size() == queries.rows)
        return hamming_neighbors(index.points, queries, alive, distances, ids, threads);
    if (!left.empty()) scan_rest(index, queries, alive, left, distances, ids, threads);
}

void search_multi_index_within(const MultiIndex& index, MatrixView<const std::uint8_t> queries,
                               std::int32_t radius, Alive alive,
                               std::span<std::vector<HammingNeighbor>> found, int threads) {
    assert(queries.cols == index.points.cols && found.size() == queries.rows);
    const auto substrings = substrings_of(8 * index.points.cols, index.rows.rows);
    const auto walk = pick(variants<WithinGoal>);
    const auto left = left_to_a_scan(queries.rows, threads, [&](std::size_t i) {
        found[i].clear();
        WithinGoal goal{radius, found[i]};
        Walk<WithinGoal> way(index, substrings, alive, queries.row(i), goal);
        if (!walk(way)) return false;
        std::sort(found[i].begin(), found[i].end(), [](const auto& a, const auto& b) {
            return ranks_before(a, b, std::less<std::int32_t>{});
        });
        return true;
    });
    if (left.empty()) return;
    const auto codes = gathered(queries, left);
    std::vector<std::vector<HammingNeighbor>> rest(left.size());
    hamming_neighbors_within(index.points, {codes.data(), left.size(), queries.cols}, radius, alive,
                             rest, threads);
    for (std::size_t i = 0; i < left.size(); ++i) found[left[i]] = std::move(rest[i]);
}

}  // namespace trouvaille
