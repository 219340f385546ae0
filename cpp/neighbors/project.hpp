// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// out[i][j] = -offsets[j] + x[i][0] * weights[0][j] + x[i][1] * weights[1][j] + ..., in float32,
/// each product and each sum rounded, in this order. So the value of a row depends on nothing but
/// the row: not on where it stands, nor on the instruction set, nor on the number of threads; a
/// BLAS gives no such promise, and bits that hang on a sign need it.
///
/// Requires weights of x.cols rows, out of x.rows rows, and offsets of as many places as both have
/// columns. Scratch memory is a copy of the weights, but for no more than sixteen rows. Safe to
/// call from many threads; throws Interrupted (core/interrupt.hpp).
template <class T>
void project(MatrixView<const T> x, MatrixView<const float> weights, std::span<const float> offsets,
             MatrixView<float> out, int threads);

}  // namespace trouvaille
