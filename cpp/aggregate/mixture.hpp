// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// A mixture of Gaussians whose covariances are diagonal. Requires as many weights, rows of means
/// and rows of variances, one or more; weights above 0, variances from 1e-37 to 1e77, means
/// within the range of float32.
struct Mixture {
    std::span<const double> weights;
    MatrixView<const double> means, variances;
};

/// Numbers in a row of `mixture_sums`.
constexpr std::size_t mixture_sums_size(std::size_t components, std::size_t dims) {
    return components * (1 + 2 * dims);
}

/// What the rows of each part are together to each component: with p the posterior probability of
/// component k given row x, and z = (x - mean) / deviation, row i of `sums` holds the sums over
/// part i of p (component after component), then those of p z (K x D of them), then of p z^2; and
/// likelihoods[i] the sum of log p(x).
///
/// Part i is rows offsets[i] to offsets[i + 1] of `x`. All is float64, of differences from the
/// means and in one order: a posterior's relative error is at most (D + 50) 2^-52 (1 + |log p(x,
/// k)|). The same bits on every instruction set and for any number of threads.
///
/// Requires the offsets of `vlad` and outputs of that shape. Parallel over parts; scratch memory is
/// a copy of the mixture, and a row of sums a thread. Safe to call from many threads; throws
/// Interrupted.
template <class T>
void mixture_sums(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                  const Mixture& mixture, MatrixView<double> sums, std::span<double> likelihoods,
                  int threads);

}  // namespace trouvaille
