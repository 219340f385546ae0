// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "aggregate/mixture.hpp"
#include "aggregate/normalize.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// The Fisher vectors of photos, 2 K D numbers: with T the number of a photo's descriptors and the
/// sums as above, the gradients by the means and by the deviations,
///   sum(p z) / (T sqrt(w)), then sum(p (z^2 - 1)) / (T sqrt(2 w)),
/// and then what normalize.hpp says. A photo without descriptors has a vector of zeros.
///
/// Sanchez, Perronnin, Mensink, Verbeek. Image classification with the Fisher vector: theory and
/// practice. IJCV 2013.
template <class T>
void fisher_vectors(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                    const Mixture& mixture, const Normalization& normalization,
                    MatrixView<float> out, int threads);

}  // namespace trouvaille
