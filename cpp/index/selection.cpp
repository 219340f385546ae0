// SPDX-License-Identifier: Apache-2.0
#include "index/selection.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "index/kernels.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t group = 64;
constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

struct KeyJob {
    std::int64_t* sums;
    double* maxima;
    std::size_t n_groups;
    KeyRule rule;
};

template <std::size_t N>
ALWAYS_INLINE Longs<N> longs_at(const std::int64_t* from) {
    Longs<N> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <std::size_t N>
ALWAYS_INLINE Doubles<N> as_doubles(Longs<N> v) {
    return __builtin_convertvector(v, Doubles<N>);
}

template <std::size_t N>
ALWAYS_INLINE Doubles<N> keys_at(const KeyJob& job, std::size_t i) {
    const Longs<N> sums = longs_at<N>(job.sums + i);
    if (job.rule.are_keys) {
        Doubles<N> keys;
        std::memcpy(&keys, &sums, sizeof keys);
        return keys;
    }
    if (job.rule.norms != nullptr) {
        Doubles<N> totals =
            as_doubles<N>(sums + longs_at<N>(job.rule.norms + i) + job.rule.query_norm);
        Longs<N> bits;
        std::memcpy(&bits, &totals, sizeof bits);
        bits &= static_cast<std::int64_t>(kept_bits);
        std::memcpy(&totals, &bits, sizeof totals);
        return -totals;
    }
    const Doubles<N> scores = as_doubles<N>(sums) * job.rule.unit;
    if (job.rule.factors == nullptr) return scores;
    Doubles<N> factors;
    std::memcpy(&factors, job.rule.factors + i, sizeof factors);
    return scores * factors;
}

template <std::size_t N>
ALWAYS_INLINE void make_all_keys(const KeyJob& job) {
    for (std::size_t g = 0; g < job.n_groups; ++g) {
        Doubles<N> greatest = Doubles<N>{} + minus_infinity;
        for (std::size_t i = g * group; i < (g + 1) * group; i += N) {
            const Doubles<N> keys = keys_at<N>(job, i);
            store(job.sums + i, keys);
            greatest = max(greatest, keys);
        }
        double one = minus_infinity;
        for (std::size_t l = 0; l < N; ++l) one = std::max(one, greatest[l]);
        job.maxima[g] = one;
    }
}

void scalar(const KeyJob& job) {
    make_all_keys<2>(job);
}

#if TROUVAILLE_X86
TARGET_AVX2 void avx2(const KeyJob& job) {
    make_all_keys<4>(job);
}
TARGET_AVX512 void avx512(const KeyJob& job) {
    make_all_keys<8>(job);
}
#else
constexpr auto avx2 = scalar;
constexpr auto avx512 = scalar;
#endif

constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx512};

void forbid(std::uint64_t allowed, double* keys, double& maximum) {
    maximum = minus_infinity;
    for (std::size_t i = 0; i < group; ++i) {
        if ((allowed >> i & 1) == 0) keys[i] = minus_infinity;
        maximum = std::max(maximum, keys[i]);
    }
}

}  // namespace

Keys make_keys(std::int64_t* sums, double* maxima, std::size_t n_documents, const KeyRule& rule,
               std::span<const std::uint64_t> alive, std::span<const std::uint64_t> mask) {
    const std::size_t n_groups = (n_documents + group - 1) / group;
    pick(variants)({sums, maxima, n_groups, rule});
    double* keys = reinterpret_cast<double*>(sums);  // written as doubles just now
    for (std::size_t g = 0; g < n_groups; ++g) {
        std::uint64_t allowed = alive.empty() ? ~std::uint64_t{0} : alive[g];
        if (!mask.empty()) allowed &= mask[g];
        const std::size_t left = n_documents - g * group;
        if (left < group) allowed &= (std::uint64_t{1} << left) - 1;
        if (allowed != ~std::uint64_t{0}) forbid(allowed, keys + g * group, maxima[g]);
    }
    return {{keys, n_documents}, {maxima, n_groups}, 0, {}};
}

void offer(const Keys& keys, Best& best, std::span<double> scratch) {
    // Where the k-th best group has its best document, the k-th best document is no worse.
    double least = minus_infinity;
    const std::size_t k = best.capacity();
    if (!best.full() && k <= keys.maxima.size()) {
        std::copy(keys.maxima.begin(), keys.maxima.end(), scratch.begin());
        const auto end = scratch.begin() + static_cast<std::ptrdiff_t>(keys.maxima.size());
        const auto kth = scratch.begin() + static_cast<std::ptrdiff_t>(k - 1);
        std::nth_element(scratch.begin(), kth, end, std::greater<>());
        least = *kth;
    }
    const bool rows_ascend = keys.ids.empty();  // then, among equals, a later one cannot enter
    for (std::size_t g = 0; g < keys.maxima.size(); ++g) {
        if (best.full()) least = std::max(least, best.worst().score);
        const double maximum = keys.maxima[g];
        if (maximum < least || maximum == minus_infinity) continue;
        if (rows_ascend && best.full() && maximum <= best.worst().score) continue;
        const std::size_t end = std::min((g + 1) * group, keys.keys.size());
        for (std::size_t i = g * group; i < end; ++i) {
            const double key = keys.keys[i];
            if (key < least || key == minus_infinity) continue;
            best.push(key, keys.document(i));
        }
    }
}

}  // namespace trouvaille
