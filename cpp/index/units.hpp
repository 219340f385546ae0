// SPDX-License-Identifier: Apache-2.0
#pragma once

// Of the whole numbers that sums are made of: see cpp/index/search.hpp, "Exact".

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "index/accumulate.hpp"

namespace trouvaille {

inline constexpr int sum_bits = 61;    ///< no sum, on its way or at its end, has more
inline constexpr int known_bits = 36;  ///< fewer units than 2^36 do not tell a sum to 2^-20
inline constexpr int cut_bits = 22;  ///< a contribution of 2^22 units is cut by 2^-22 of it at most

inline std::size_t whole_groups(std::size_t n) {
    return (n + group_documents - 1) / group_documents * group_documents;
}

/// The least power of two that is not below x, as its exponent. x > 0.
inline int ceil_log2(double x) {
    int exponent;
    const double mantissa = std::frexp(x, &exponent);
    return mantissa == 0.5 ? exponent - 1 : exponent;
}

inline double power_of_two(int exponent) {
    return std::ldexp(1.0, std::clamp(exponent, -1000, 1000));
}

}  // namespace trouvaille
