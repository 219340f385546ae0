// SPDX-License-Identifier: Apache-2.0
#include "neighbors/graph_copies.hpp"

#include <bit>
#include <type_traits>
#include <utility>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"

namespace trouvaille::graph {
namespace {

template <class T>
std::uint64_t hash_of(const T* row, std::size_t dims) {
    std::uint64_t hash = dims;
    for (std::size_t d = 0; d < dims; ++d) {
        std::uint64_t word;
        if constexpr (std::is_same_v<T, float>)
            word = std::bit_cast<std::uint32_t>(row[d] + 0.0f);  // -0 equals 0
        else
            word = row[d];
        hash = (hash ^ word) * 0x9E3779B97F4A7C15;
        hash ^= hash >> 32;
    }
    return hash;
}

}  // namespace

template <class T>
std::vector<std::uint64_t> equal_rows(MatrixView<const T> points, std::size_t begin, int threads) {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes(points.rows - begin);
    parallel_for(hashes.size(), 2048, threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i)
            hashes[i] = {hash_of(points.row(begin + i), points.cols),
                         static_cast<std::uint32_t>(begin + i)};
    });
    InterruptPoll poll;
    std::sort(hashes.begin(), hashes.end(), [&poll](const auto& a, const auto& b) {
        poll.did(1);
        return a < b;
    });
    std::vector<std::uint64_t> copies;
    std::vector<std::uint32_t> distinct;  // rows of one hash
    for (std::size_t i = 0; i < hashes.size(); ++i) {
        if (i == 0 || hashes[i].first != hashes[i - 1].first) distinct.clear();
        const std::uint32_t row = hashes[i].second;
        const T* values = points.row(row);
        const auto same = std::find_if(distinct.begin(), distinct.end(), [&](std::uint32_t other) {
            poll.did(points.cols);
            return std::equal(values, values + points.cols, points.row(other));
        });
        if (same == distinct.end())
            distinct.push_back(row);
        else
            copies.push_back(copy_of(*same, row));
    }
    std::sort(copies.begin(), copies.end());
    return copies;
}

template std::vector<std::uint64_t> equal_rows(MatrixView<const std::uint8_t>, std::size_t, int);
template std::vector<std::uint64_t> equal_rows(MatrixView<const float>, std::size_t, int);

}  // namespace trouvaille::graph
