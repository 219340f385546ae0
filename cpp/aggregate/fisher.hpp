// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "aggregate/mixture.hpp"
#include "aggregate/normalize.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// The Fisher vectors of photos, 2 K D numbers: with T the number of a photo's descriptors and the
/// sums of `mixture_sums`, the gradients by the means and by the deviations,
///   sum(p z) / (T sqrt(w)), then sum(p (z^2 - 1)) / (T sqrt(2 w)),
/// and then what normalize.hpp says. A photo without descriptors has a vector of zeros.
///
/// Photo i is rows offsets[i] to offsets[i + 1] of `x`. Small mixtures, those whose Gaussians are
/// far from each other beside their width, and rows that are far from all are computed with in
/// float64, all else in float32 and without shares of descriptors that are nothing beside those of
/// others (quick_sums.hpp). Of vectors of random mixtures, 99 in 100 are within 3e-6 of the largest
/// number of the formula's before the power, and within 2e-6 of it after a root and `unit`; the
/// worst of 10,000 within 8e-6 and 2e-5: with tiny weights or one descriptor many times, and after
/// a root where a number all but cancels. The same bits on every instruction set and for any number
/// of threads.
///
/// Requires what `mixture_sums` does, and out.cols == 2 K D. Parallel over photos; scratch memory
/// is a copy of the mixture, and some rows of sums a thread. Safe to call from many threads; throws
/// Interrupted.
///
/// Sanchez, Perronnin, Mensink, Verbeek. Image classification with the Fisher vector: theory and
/// practice. IJCV 2013.
template <class T>
void fisher_vectors(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                    const Mixture& mixture, const Normalization& normalization,
                    MatrixView<float> out, int threads);

}  // namespace trouvaille
