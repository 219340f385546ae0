// SPDX-License-Identifier: Apache-2.0
#include "aggregate/fisher.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "aggregate/exact_sums.hpp"
#include "aggregate/parts.hpp"
#include "aggregate/quick_sums.hpp"

namespace trouvaille {
namespace {

/// The gradients to `v`, from the sums of `rows` rows.
template <class Sums>
void find_gradients(const Sums& sums, std::size_t rows, const Mixture& mixture,
                    std::vector<double>& v) {
    const std::size_t components = mixture.means.rows, dims = mixture.means.cols;
    v.resize(2 * components * dims);
    if (rows == 0) return std::fill(v.begin(), v.end(), 0.0);
    double *means = v.data(), *deviations = means + components * dims;
    for (std::size_t k = 0; k < components; ++k) {
        const double scale = 1 / (static_cast<double>(rows) * std::sqrt(mixture.weights[k]));
        const double of_deviations = scale / std::numbers::sqrt2;
        const double *first = sums.first(k), *second = sums.second(k);
        const double posterior = sums.posterior(k);
        for (std::size_t d = 0; d < dims; ++d) *means++ = scale * first[d];
        for (std::size_t d = 0; d < dims; ++d)
            *deviations++ = of_deviations * (second[d] - posterior);
    }
}

}  // namespace

template <class T>
void fisher_vectors(MatrixView<const T> x, std::span<const std::int64_t> offsets,
                    const Mixture& mixture, const Normalization& normalization,
                    MatrixView<float> out, int threads) {
    assert(mixture.means.cols == x.cols && offsets.size() == out.rows + 1);
    assert(out.cols == 2 * mixture.means.rows * mixture.means.cols);
    const aggregate::QuickMixture quick(mixture);
    const Normalize normalize = normalizer();
    const auto take = [&](std::size_t i, std::size_t rows, const auto& sums,
                          std::vector<double>& v) {
        find_gradients(sums, rows, mixture, v);
        normalize(v, normalization, out.row(i));
    };
    const std::size_t work = quick.exact.work();
    if (quick.sane) {
        aggregate::each_part<aggregate::QuickSums>(x, offsets, quick, work, threads, take);
    } else {
        aggregate::each_part<aggregate::ExactSums>(x, offsets, quick.exact, work, threads, take);
    }
}

template void fisher_vectors(MatrixView<const std::uint8_t>, std::span<const std::int64_t>,
                             const Mixture&, const Normalization&, MatrixView<float>, int);
template void fisher_vectors(MatrixView<const float>, std::span<const std::int64_t>, const Mixture&,
                             const Normalization&, MatrixView<float>, int);

}  // namespace trouvaille
