// SPDX-License-Identifier: Apache-2.0
#include "aggregate/mixture.hpp"

#include <algorithm>
#include <cassert>
#include <vector>

#include "aggregate/exact_sums.hpp"
#include "aggregate/parts.hpp"

namespace trouvaille {

template <class T>
void mixture_sums(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                  const Mixture& mixture, MatrixView<double> sums, std::span<double> likelihoods,
                  int threads) {
    const std::size_t components = mixture.means.rows, dims = mixture.means.cols;
    assert(dims == x.cols && sums.cols == mixture_sums_size(components, dims));
    assert(offsets.size() == sums.rows + 1 && likelihoods.size() == sums.rows);
    const aggregate::ExactMixture prepared(mixture);
    const auto take = [&](std::size_t i, std::size_t, const aggregate::ExactSums& of_part,
                          std::vector<double>&) {
        double *posteriors = sums.row(i), *first = posteriors + components,
               *second = first + components * dims;
        for (std::size_t k = 0; k < components; ++k) {
            posteriors[k] = of_part.posterior(k);
            std::copy_n(of_part.first(k), dims, first + k * dims);
            std::copy_n(of_part.second(k), dims, second + k * dims);
        }
        likelihoods[i] = of_part.likelihood();
    };
    aggregate::each_part<aggregate::ExactSums>(x, offsets, prepared, prepared.work(), threads,
                                               take);
}

template void mixture_sums(MatrixView<const std::uint8_t>, std::span<const std::int64_t>,
                           const Mixture&, MatrixView<double>, std::span<double>, int);
template void mixture_sums(MatrixView<const float>, std::span<const std::int64_t>, const Mixture&,
                           MatrixView<double>, std::span<double>, int);

}  // namespace trouvaille
