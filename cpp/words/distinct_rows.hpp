// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/checksum.hpp"
#include "core/interrupt.hpp"
#include "core/random.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// A number that is the same for equal rows; zeros of either sign are equal.
template <class T>
std::uint32_t row_hash(const T* row, std::size_t dims, std::vector<T>& scratch) {
    scratch.resize(dims);
    for (std::size_t d = 0; d < dims; ++d) scratch[d] = static_cast<T>(row[d] + T{});
    return crc32c(std::as_bytes(std::span<const T>(scratch)));
}

/// The numbers of up to `count` rows in random order, no two of them equal: fewer only where there
/// are fewer. Takes some 4 bytes a row and 40 for each that is returned.
template <class T>
std::vector<std::size_t> distinct_rows(MatrixView<const T> rows, std::size_t count,
                                       Random& random) {
    std::vector<std::uint32_t> order(rows.rows);
    std::iota(order.begin(), order.end(), std::uint32_t{0});
    std::vector<std::size_t> chosen;
    std::unordered_multimap<std::uint32_t, std::size_t> by_hash;
    std::vector<T> scratch;
    InterruptPoll poll;
    const auto is_new = [&](std::size_t row, std::uint32_t hash) {
        const auto [first, last] = by_hash.equal_range(hash);
        return std::none_of(first, last, [&](const auto& other) {
            poll.did(1 + rows.cols / 16);
            return std::equal(rows.row(row), rows.row(row + 1), rows.row(other.second));
        });
    };
    for (std::size_t i = 0; i < order.size() && chosen.size() < count; ++i) {
        std::swap(order[i], order[i + random.below(order.size() - i)]);
        poll.did(8 + rows.cols / 16);
        const std::uint32_t hash = row_hash(rows.row(order[i]), rows.cols, scratch);
        if (!is_new(order[i], hash)) continue;
        by_hash.emplace(hash, order[i]);
        chosen.push_back(order[i]);
    }
    return chosen;
}

}  // namespace trouvaille
