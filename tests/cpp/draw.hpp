// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/random.hpp"
#include "core/view.hpp"

namespace trouvaille::test {

/// `n` random whole numbers below `limit`, and so without rounding in a float, too.
template <class T>
std::vector<T> draw(Random& random, std::size_t n, std::uint64_t limit) {
    std::vector<T> numbers(n);
    for (T& number : numbers) number = static_cast<T>(random.below(limit));
    return numbers;
}

template <class T>
MatrixView<const T> rows_of(const std::vector<T>& numbers, std::size_t cols) {
    return {numbers.data(), numbers.size() / cols, cols};
}

}  // namespace trouvaille::test
