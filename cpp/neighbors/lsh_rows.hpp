// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/target.hpp"
#include "core/view.hpp"

/// Rows of points as numbers.
namespace trouvaille::lsh {

template <class T>
constexpr std::size_t dims_of(MatrixView<const T> points, bool packed_bits) {
    return packed_bits ? 8 * points.cols : points.cols;
}

/// Bit d of a row of packed bits is bit d % 8, the most significant the last, of byte d / 8.
template <class T>
ALWAYS_INLINE void widen(const T* row, std::span<float> values, bool packed_bits) {
    if constexpr (sizeof(T) == 1)
        if (packed_bits) {
            for (std::size_t d = 0; d < values.size(); ++d)
                values[d] = static_cast<float>(row[d / 8] >> d % 8 & 1);
            return;
        }
    for (std::size_t d = 0; d < values.size(); ++d) values[d] = static_cast<float>(row[d]);
}

}  // namespace trouvaille::lsh
