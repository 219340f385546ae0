// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace trouvaille {

/// One channel of an image, owned by someone else. Rows lie `stride` values apart.
template <class T>
struct ImageView {
    T* data = nullptr;
    std::size_t width = 0, height = 0, stride = 0;

    T* row(std::size_t y) const { return data + y * stride; }
    T& at(std::size_t x, std::size_t y) const { return row(y)[x]; }
    bool holds(std::ptrdiff_t x, std::ptrdiff_t y) const {
        return x >= 0 && y >= 0 && static_cast<std::size_t>(x) < width &&
               static_cast<std::size_t>(y) < height;
    }
};

/// Where a row or column outside an image of `n` is read from: mirrored at the middle of the first
/// and the last one, as often as it takes (dcb|abcd|cba).
inline std::size_t mirrored(std::ptrdiff_t i, std::size_t n) {
    if (n == 1) return 0;
    const auto last = static_cast<std::ptrdiff_t>(n) - 1, period = 2 * last;
    i %= period;
    if (i < 0) i += period;
    return static_cast<std::size_t>(std::min(i, period - i));
}

}  // namespace trouvaille
