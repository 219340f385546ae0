// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// The seeds of k-means++: `count` rows, the first any, each other drawn with a probability in
/// proportion to its squared distance from the nearest row drawn before. Fewer where there are no
/// more distinct ones; none of them is a copy of another.
///
/// Distances are those of neighbors/row_distances.hpp; those of bytes are summed exactly, of floats
/// in double precision by blocks of rows. The same bits for any number of threads and on every
/// instruction set. Takes 4 bytes a point. Requires finite floats whose distances are finite.
/// Throws Interrupted (core/interrupt.hpp).
///
/// Arthur and Vassilvitskii. k-means++: the advantages of careful seeding. SODA 2007.
template <class T>
std::vector<std::int64_t> spread_rows(MatrixView<const T> points, std::size_t count,
                                      std::uint64_t seed, int threads);

}  // namespace trouvaille
