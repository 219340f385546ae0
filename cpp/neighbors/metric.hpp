// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace trouvaille {

/// How two points are compared. Searches sort by what is called a key here: the squared Euclidean
/// distance, the inner product with its sign changed, or the sum of absolute differences. The
/// smaller it is, the nearer are the points.
enum class Metric : std::uint8_t { l2, inner_product, l1 };

inline constexpr std::size_t metric_count = 3;

/// The distance (a similarity, for inner products) of a key, and the key of a distance.
template <class Number>
constexpr Number key_or_distance(Metric metric, Number number) {
    return metric == Metric::inner_product ? -number : number;
}

/// The bits of an IEEE float16.
enum class Half : std::uint16_t {};

}  // namespace trouvaille
