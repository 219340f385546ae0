// SPDX-License-Identifier: Apache-2.0
#include "aggregate/normalize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "aggregate/doubles.hpp"
#include "core/cpu.hpp"
#include "core/target.hpp"

namespace trouvaille {
namespace {

ALWAYS_INLINE void raise(std::span<double> v, double power) {
    if (power == 1) return;
    if (power == 0.5) {
        for (double& x : v) x = std::copysign(__builtin_sqrt(std::abs(x)), x);
        return;
    }
    for (double& x : v) x = std::copysign(std::pow(std::abs(x), power), x);
}

/// v divided by its length, to `out`, which may be `v`.
template <class T>
ALWAYS_INLINE void give_unit_length(const double* v, std::size_t n, T* out) {
    const double length = __builtin_sqrt(aggregate::squared_length(v, n));
    const double inverse = length == 0 ? 1 : 1 / length;
    if (inverse < std::numeric_limits<double>::infinity()) {
#pragma GCC ivdep
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(v[i] * inverse);
    } else {  // of denormal numbers
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(v[i] / length);
    }
}

ALWAYS_INLINE void normalize(std::span<double> v, const Normalization& how, float* out) {
    raise(v, how.power);
    if (how.block > 0)
        for (std::size_t begin = 0; begin < v.size(); begin += how.block)
            give_unit_length(v.data() + begin, how.block, v.data() + begin);
    if (how.unit) return give_unit_length(v.data(), v.size(), out);
    constexpr double most = std::numeric_limits<float>::max();
#pragma GCC ivdep
    for (std::size_t i = 0; i < v.size(); ++i)
        out[i] = static_cast<float>(std::clamp(v[i], -most, most));
}

void normalize_scalar(std::span<double> v, const Normalization& how, float* out) {
    normalize(v, how, out);
}

#if TROUVAILLE_X86
TARGET_AVX2 void normalize_avx2(std::span<double> v, const Normalization& how, float* out) {
    normalize(v, how, out);
}

TARGET_AVX512 void normalize_avx512(std::span<double> v, const Normalization& how, float* out) {
    normalize(v, how, out);
}

constexpr Normalize variants[isa_count] = {normalize_scalar, normalize_avx2, normalize_avx512};
#else
constexpr Normalize variants[isa_count] = {normalize_scalar, normalize_scalar, normalize_scalar};
#endif

}  // namespace

Normalize normalizer() {
    return pick(variants);
}

}  // namespace trouvaille
