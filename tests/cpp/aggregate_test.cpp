// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "aggregate/doubles.hpp"
#include "aggregate/fisher.hpp"
#include "aggregate/mixture.hpp"
#include "aggregate/vlad.hpp"
#include "aggregate/whiten.hpp"
#include "check.hpp"
#include "core/random.hpp"
#include "core/simd.hpp"

using namespace trouvaille;
using trouvaille::test::for_each_isa;

namespace {

std::vector<float> floats(std::size_t n, std::uint64_t seed) {
    Random random(seed, 0);
    std::vector<float> x(n);
    for (float& value : x) value = static_cast<float>(100 * random.uniform());
    return x;
}

std::vector<double> doubles(std::size_t n, double low, double high, std::uint64_t seed) {
    Random random(seed, 1);
    std::vector<double> x(n);
    for (double& value : x) value = low + (high - low) * random.uniform();
    return x;
}

/// Photos of 0, 1, 2, ... rows, the last of what is left.
std::vector<std::int64_t> rising(std::size_t rows) {
    std::vector<std::int64_t> offsets{0};
    for (std::int64_t size = 0; offsets.back() + size < static_cast<std::int64_t>(rows); ++size)
        offsets.push_back(offsets.back() + size);
    offsets.push_back(static_cast<std::int64_t>(rows));
    return offsets;
}

}  // namespace

TEST(exponential_is_libms) {
    for (double x = -700; x <= 700; x += 0.37) {
        const aggregate::Doubles found = aggregate::exponential(aggregate::Doubles{} + x);
        CHECK(std::abs(found[3] / std::exp(x) - 1) < 0x1p-51);
    }
    CHECK_EQUAL(aggregate::exponential(aggregate::Doubles{})[0], 1.0);
    for (float x = -80; x <= 80; x += 0.037F) {
        const Floats<16> found = aggregate::exponential<16>(splat<16>(x));
        CHECK(std::abs(found[5] / std::exp(double{x}) - 1) < 0x1p-21);
    }
}

TEST(squared_length_is_a_sum_of_squares) {
    for (std::size_t n = 0; n < 40; ++n) {
        std::vector<double> v(n);
        for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<double>(i);
        double expected = 0;
        for (const double x : v) expected += x * x;
        CHECK_EQUAL(aggregate::squared_length(v.data(), n), expected);
    }
}

// Sums of bytes are whole numbers: equal, not near.
TEST(vlad_sums_residuals) {
    for (const std::size_t dims : {1, 7, 8, 9, 33}) {
        const std::size_t rows = 40, n_words = 3, k = 2;
        std::vector<std::uint8_t> x(rows * dims), words(n_words * dims);
        Random random(1, dims);
        for (auto& value : x) value = static_cast<std::uint8_t>(random.below(256));
        for (auto& value : words) value = static_cast<std::uint8_t>(random.below(256));
        std::vector<std::int64_t> ids(rows * k);
        for (auto& id : ids) id = static_cast<std::int64_t>(random.below(n_words));
        const auto offsets = rising(rows);
        const std::size_t photos = offsets.size() - 1;
        std::vector<float> expected(photos * n_words * dims);
        for (std::size_t photo = 0; photo < photos; ++photo)
            for (auto i = static_cast<std::size_t>(offsets[photo]);
                 i < static_cast<std::size_t>(offsets[photo + 1]); ++i)
                for (std::size_t j = 0; j < k; ++j)
                    for (std::size_t d = 0; d < dims; ++d) {
                        const auto word = static_cast<std::size_t>(ids[i * k + j]);
                        expected[(photo * n_words + word) * dims + d] +=
                            static_cast<float>(int{x[i * dims + d]} - int{words[word * dims + d]});
                    }
        for_each_isa([&] {
            std::vector<float> out(expected.size(), -1);
            vlad(MatrixView<const std::uint8_t>{x.data(), rows, dims}, offsets,
                 MatrixView<const std::uint8_t>{words.data(), n_words, dims}, {ids.data(), rows, k},
                 {}, false, {1, 0, false}, {out.data(), photos, n_words * dims}, 2);
            CHECK_EQUAL(out, expected);
        });
    }
}

TEST(soft_weights_are_shares_of_one) {
    constexpr float far = std::numeric_limits<float>::infinity();
    const std::vector<float> distances{1, 1, 3, 0, 1e30F, far, far, far, far};
    for (const double scale : {0.0, 0.5, 1e300}) {
        std::vector<float> weights(9, -1);
        soft_weights(MatrixView<const float>{distances.data(), 3, 3}, scale, {weights.data(), 3, 3},
                     1);
        for (std::size_t i = 0; i < 9; i += 3) {
            CHECK(std::abs(weights[i] + weights[i + 1] + weights[i + 2] - 1) < 1e-6F);
            CHECK(weights[i] >= weights[i + 1] && weights[i + 1] >= weights[i + 2]);
        }
        CHECK_EQUAL(weights[0], weights[1]);
    }
}

// Each row's posteriors add up to one, and z z is what the likelihood is made of.
TEST(mixture_sums_are_the_formula) {
    for (const std::size_t dims : {1, 3, 8, 20})
        for (const std::size_t components : {1, 5, 17, 70}) {
            const std::size_t rows = 60;
            const auto x = floats(rows * dims, 2);
            const auto means = doubles(components * dims, 0, 100, 3),
                       variances = doubles(components * dims, 30, 900, 4),
                       weights = doubles(components, 0.1, 1, 5);
            const auto offsets = rising(rows);
            const std::size_t parts = offsets.size() - 1;
            const std::size_t size = mixture_sums_size(components, dims);
            std::vector<double> expected(parts * size);
            for (std::size_t part = 0; part < parts; ++part)
                for (auto i = static_cast<std::size_t>(offsets[part]);
                     i < static_cast<std::size_t>(offsets[part + 1]); ++i) {
                    std::vector<double> p(components), z(components * dims);
                    double total = 0;
                    for (std::size_t k = 0; k < components; ++k) {
                        double log = std::log(weights[k]);
                        for (std::size_t d = 0; d < dims; ++d) {
                            const std::size_t at = k * dims + d;
                            z[at] = (x[i * dims + d] - means[at]) / std::sqrt(variances[at]);
                            log -= 0.5 * (z[at] * z[at] + std::log(variances[at]));
                        }
                        p[k] = std::exp(log);
                        total += p[k];
                    }
                    double* sums = expected.data() + part * size;
                    for (std::size_t k = 0; k < components; ++k) {
                        sums[k] += p[k] / total;
                        for (std::size_t d = 0; d < dims; ++d) {
                            const std::size_t at = k * dims + d;
                            sums[components + at] += p[k] / total * z[at];
                            sums[components * (1 + dims) + at] += p[k] / total * z[at] * z[at];
                        }
                    }
                }
            for_each_isa([&] {
                std::vector<double> sums(expected.size(), -1), likelihoods(parts);
                mixture_sums(MatrixView<const float>{x.data(), rows, dims}, offsets,
                             {weights,
                              {means.data(), components, dims},
                              {variances.data(), components, dims}},
                             {sums.data(), parts, size}, likelihoods, 2);
                double worst = 0;
                for (std::size_t i = 0; i < sums.size(); ++i)
                    worst = std::max(worst,
                                     std::abs(sums[i] - expected[i]) / (1 + std::abs(expected[i])));
                CHECK(worst < 1e-7);
            });
        }
}

TEST(fisher_vectors_of_any_size_are_the_same_everywhere) {
    for (const std::size_t components : {2, 17, 300}) {
        const std::size_t dims = 1300 / components + 1;
        const std::size_t rows = 420;
        const std::vector<float> x = floats(rows * dims, 5);
        const std::vector<double> weights(components, 1 / static_cast<double>(components)),
            means = doubles(components * dims, 0, 100, 6),
            variances = doubles(components * dims, 400, 2500, 7);
        const Mixture mixture{
            weights, {means.data(), components, dims}, {variances.data(), components, dims}};
        const std::vector<std::int64_t> offsets = rising(rows);
        const std::size_t photos = offsets.size() - 1, size = 2 * components * dims;
        std::vector<float> expected(photos * size), found(expected.size());
        bool first = true;
        for_each_isa([&] {
            fisher_vectors<float>({x.data(), rows, dims}, offsets, mixture, {0.5, 0, true},
                                  {found.data(), photos, size}, 2);
            if (first) expected = found;
            first = false;
            CHECK(found == expected);
        });
    }
}

TEST(whitening_is_a_product) {
    for (const std::size_t dims : {1, 37, 530})
        for (const std::size_t columns : {1, 70}) {
            const std::size_t rows = 149;
            const std::vector<float> x = floats(rows * dims, 8), axes = floats(columns * dims, 9);
            const std::vector<double> mean = doubles(dims, 0, 100, 10),
                                      scales = doubles(columns, 1, 2, 11);
            for_each_isa([&] {
                std::vector<float> out(rows * columns, -1);
                whiten<float>({x.data(), rows, dims}, mean, {axes.data(), columns, dims}, scales,
                              false, false, {out.data(), rows, columns}, 2);
                double worst = 0;
                for (std::size_t i = 0; i < rows; ++i)
                    for (std::size_t c = 0; c < columns; ++c) {
                        double sum = 0, most = 1;
                        for (std::size_t d = 0; d < dims; ++d) {
                            const double product =
                                (double{x[i * dims + d]} - mean[d]) * double{axes[c * dims + d]};
                            sum += product;
                            most += std::abs(product);
                        }
                        const double found = double{out[i * columns + c]} / scales[c];
                        worst = std::max(worst, std::abs(found - sum) / most);
                    }
                CHECK(worst < 1e-6);
            });
        }
}
