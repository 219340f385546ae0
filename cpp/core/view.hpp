// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/target.hpp"

namespace trouvaille {

/// A row-major matrix owned by someone else: two words and a pointer, passed by value, on the CPU
/// and to CUDA kernels alike. A vector is a std::span.
template <class T>
struct MatrixView {
    T* data = nullptr;
    std::size_t rows = 0, cols = 0;

    HOST_DEVICE constexpr T* row(std::size_t i) const { return data + i * cols; }

    /// Rows [begin, end).
    HOST_DEVICE constexpr MatrixView slice(std::size_t begin, std::size_t end) const {
        return {row(begin), end - begin, cols};
    }
};

}  // namespace trouvaille
