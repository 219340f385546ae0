// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// out[i][c] = scales[c] * sum over d of (x[i][d] - mean[d]) * directions[c][d]; with `unit` each
/// row is divided by its length. With `zeros_stay` a row of zeros stays one: it stands for a photo
/// without features.
///
/// A difference from the mean is rounded to float32 once, so nothing is lost to a mean that is
/// large beside what varies around it. Products are summed in float32, 512 at a time and one after
/// the other, and what these sum up to in float64: within 512 2^-24 of the sum of their magnitudes,
/// some 2^-23 of a row's length as a rule; rows that are too large for that are multiplied in
/// float64. The same bits on every instruction set, for any number
/// of threads, and for a row whatever stands beside it.
///
/// Requires directions.cols == x.cols == mean.size(), out of as many rows as `x`, and as many
/// columns of it and scales as rows of `directions`. Parallel over rows; scratch memory is some
/// hundred rows of float64 a thread. Safe to call from many threads; throws Interrupted.
template <class T>
void whiten(MatrixView<const T> x, std::span<const double> mean, MatrixView<const float> directions,
            std::span<const double> scales, bool zeros_stay, bool unit, MatrixView<float> out,
            int threads);

}  // namespace trouvaille
