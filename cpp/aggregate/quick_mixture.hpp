// SPDX-License-Identifier: Apache-2.0
#pragma once

// A mixture for sums in float32. Private to aggregate/.

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "aggregate/exact_sums.hpp"
#include "core/size.hpp"

namespace trouvaille::aggregate {

/// A mixture as float32 takes it, of numbers less the mixture's mean; filled up as ExactMixture.
///
/// z = (x - mean) / deviation is rounded to about 2^-24 (|z| + |mean| / deviation), its squares are
/// summed in float32 32 at a time, and these sums in float64, as are all differences of log
/// densities: a posterior is right to some 1e-6 of it (1e-5 where weights are tiny) if the row is
/// as near to its Gaussian as rows are, |z|^2 at most `enough`. Others, a row in a thousand, are
/// left to ExactSums.
///
/// A row counts for a component only from 2^-20 on of what the rows beside it have of it on
/// average: so at most a millionth of any sum of posteriors is left out, and of real descriptors
/// most pairs of rows and components are.
struct QuickMixture {
    static constexpr std::size_t width = 16;

    explicit QuickMixture(const Mixture& mixture)
        : exact(mixture),
          components(mixture.means.rows),
          dims(mixture.means.cols),
          padded_components((components + width - 1) / width * width),
          padded_dims((dims + width - 1) / width * width),
          center(padded_dims),
          means(checked_mul(padded_components, padded_dims, "components * dimensions")),
          inverses(means.size()),
          panels(2 * means.size()),
          offsets(padded_components, -1e300),
          least(padded_components, 1e300) {
        double weight = 0, steepest = 0;  // the largest |mean| / deviation
        double widest = 0, narrowest = 1e300;
        for (const double w : mixture.weights) weight += w;
        for (std::size_t d = 0; d < dims; ++d) {
            double mean = 0;
            for (std::size_t k = 0; k < components; ++k)
                mean += mixture.weights[k] / weight * mixture.means.row(k)[d];
            center[d] = static_cast<float>(mean);
        }
        const double enough = 4 * static_cast<double>(dims) + 64;
        for (std::size_t k = 0; k < components; ++k) {
            float* panel = &panels[k / width * 2 * width * dims + k % width];
            for (std::size_t d = 0; d < dims; ++d, panel += 2 * width) {
                const double mean = mixture.means.row(k)[d] - double{center[d]};
                const double inverse = exact.inverses[k * exact.padded_dims + d];
                panel[0] = means[k * padded_dims + d] = static_cast<float>(mean);
                panel[width] = inverses[k * padded_dims + d] = static_cast<float>(inverse);
                steepest = std::max(steepest, std::abs(mean) * inverse);
                widest = std::max(widest, 1 / inverse);
                narrowest = std::min(narrowest, 1 / inverse);
            }
            offsets[k] = exact.offsets[k];
            least[k] = offsets[k] - enough / 2;
        }
        const auto [low, high] = std::minmax_element(
            exact.offsets.begin(), exact.offsets.begin() + static_cast<std::ptrdiff_t>(components));
        // So that no number overflows, and e^-60 z^2 is nothing for any z. Small mixtures are no
        // trouble as they are.
        sane = steepest < 64 && *high - *low < 200 && narrowest > 1e-12 && widest < 1e12 &&
               widest < 1e6 * narrowest && components * dims >= 1024;
    }

    ExactMixture exact;
    std::size_t components, dims, padded_components, padded_dims;
    AlignedVector<float> center, means, inverses, panels;  // as ExactMixture has them
    AlignedVector<double> offsets;                         // log p(x, k) + |z|^2 / 2
    AlignedVector<double> least;                           // log p(x, k) where |z|^2 is `enough`
    bool sane;                                             // or float32 is not enough
};

}  // namespace trouvaille::aggregate
