// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/view.hpp"

namespace trouvaille {

template <class T>
struct DistanceOf;
template <>
struct DistanceOf<std::uint8_t> {
    using type = std::int32_t;
};
template <>
struct DistanceOf<float> {
    using type = float;
};

/// What a squared distance between rows of T is: int32 of bytes, float32 of floats.
template <class T>
using Distance = typename DistanceOf<T>::type;

/// distances[i] = |query - row ids[i] of points|^2 for i of [0, n): what exact_neighbors
/// (neighbors/exact.hpp) calls their distance, to the bit.
template <class T>
using RowDistances = void (*)(const T* query, MatrixView<const T> points, const std::uint32_t* ids,
                              std::size_t n, Distance<T>* distances);

/// The one for this machine: taken once a call of a kernel.
template <class T>
RowDistances<T> row_distances();

}  // namespace trouvaille
