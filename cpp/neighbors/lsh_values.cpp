// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "neighbors/lsh_functions.hpp"
#include "neighbors/lsh_rows.hpp"
#include "neighbors/project.hpp"

namespace trouvaille {
namespace {

constexpr float farthest = 0x1p20F;

}  // namespace

template <class T>
void hash_values(const HashFunctions& functions, MatrixView<const T> points,
                 MatrixView<float> values) {
    const std::size_t dims = functions.dims();
    static thread_local std::vector<float> centered;
    centered.resize(points.rows * dims);
    for (std::size_t i = 0; i < points.rows; ++i) {
        const std::span row(centered.data() + i * dims, dims);
        lsh::widen(points.row(i), row, functions.packed_bits);
        for (std::size_t d = 0; d < dims; ++d) row[d] -= functions.center[d];
    }
    const MatrixView<const float> rows{centered.data(), points.rows, dims};
    project(rows, functions.directions, functions.offsets, values, 1);
    for (float& value : std::span(values.data, values.rows * values.cols))
        value = std::max(-farthest, std::min(farthest, value));  // NaN becomes farthest
}

template void hash_values(const HashFunctions&, MatrixView<const std::uint8_t>, MatrixView<float>);
template void hash_values(const HashFunctions&, MatrixView<const float>, MatrixView<float>);

}  // namespace trouvaille
