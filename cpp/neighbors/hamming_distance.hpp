// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "neighbors/row_distances.hpp"

namespace trouvaille {

/// distances[i] = the number of bits in which query and row ids[i] of points differ, for i of
/// [0, n). The one for this machine: taken once a call of a kernel. Requires points.cols < 2^28.
RowDistances<std::uint8_t> hamming_row_distances();

}  // namespace trouvaille
