// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/random.hpp"
#include "core/row_set.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// The numbers of up to `count` rows in random order, no two of them equal: fewer only where there
/// are fewer. Takes some 4 bytes a row and 40 for each that is returned.
template <class T>
std::vector<std::size_t> distinct_rows(MatrixView<const T> rows, std::size_t count,
                                       Random& random) {
    std::vector<std::uint32_t> order(rows.rows);
    std::iota(order.begin(), order.end(), std::uint32_t{0});
    std::vector<std::size_t> chosen;
    RowSet<T> seen(rows.cols);
    InterruptPoll poll;
    const auto row_at = [&](std::size_t row) { return rows.row(row); };
    for (std::size_t i = 0; i < order.size() && chosen.size() < count; ++i) {
        std::swap(order[i], order[i + random.below(order.size() - i)]);
        poll.did(8 + rows.cols / 16);
        if (seen.insert(row_at(order[i]), order[i], row_at)) chosen.push_back(order[i]);
    }
    return chosen;
}

}  // namespace trouvaille
