// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "neighbors/panels.hpp"
#include "neighbors/residual_axes.hpp"

/// How a KMeansTree lays out the centres of nodes and the sketches of points: 16 side by side, so
/// that one instruction compares a part of each with the query's.
namespace trouvaille::kmeans {

inline constexpr std::size_t panel = 16, unit = 4;

using exact::ceil_div;

// ---- centres ----
//
// Of bytes: units of four dimensions, filled up with zeros; of each those of 16 centres. Then of
// each centre c the int32 |c|^2 - 256 sum c, so that from products with bytes less 128 there comes
//
//     |q - c|^2 = |q|^2 + (|c|^2 - 256 sum c) - 2 sum c (q - 128).
//
// Of floats: of each dimension those of 16 centres.

template <class T>
constexpr std::size_t center_bytes(std::size_t dims) {
    return sizeof(T) == 1 ? ceil_div(dims, unit) * panel * unit + panel * sizeof(std::int32_t)
                          : dims * panel * sizeof(float);
}

inline void write_center(std::uint8_t* to, std::size_t place, const std::uint8_t* center,
                         std::size_t dims) {
    const std::size_t whole = dims / unit * unit;
    for (std::size_t d = 0; d < whole; d += unit)
        std::memcpy(to + (d * panel + place * unit), center + d, unit);
    for (std::size_t d = whole; d < dims; ++d)
        to[whole * panel + place * unit + d % unit] = center[d];
    std::uint32_t term = 0;
    for (std::size_t d = 0; d < dims; ++d)
        term += std::uint32_t{center[d]} * (std::uint32_t{center[d]} - 256);
    std::uint8_t* terms = to + ceil_div(dims, unit) * panel * unit;
    std::memcpy(terms + place * sizeof term, &term, sizeof term);
}

inline void write_center(std::uint8_t* to, std::size_t place, const float* center,
                         std::size_t dims) {
    for (std::size_t d = 0; d < dims; ++d)
        std::memcpy(to + (d * panel + place) * sizeof(float), center + d, sizeof(float));
}

inline void read_center(const std::uint8_t* from, std::size_t place, std::size_t dims,
                        std::uint8_t* center) {
    for (std::size_t d = 0; d < dims; ++d)
        center[d] = from[(d / unit * panel + place) * unit + d % unit];
}

inline void read_center(const std::uint8_t* from, std::size_t place, std::size_t dims,
                        float* center) {
    for (std::size_t d = 0; d < dims; ++d)
        std::memcpy(center + d, from + (d * panel + place) * sizeof(float), sizeof(float));
}

/// A query as centres are compared with it.
template <class T>
struct CenterQuery;

template <>
struct CenterQuery<std::uint8_t> {
    std::vector<std::int8_t> values;  // less 128, whole units
    std::int32_t norm = 0;

    void start(const std::uint8_t* query, std::size_t dims) {
        values.resize(ceil_div(dims, unit) * unit);
        norm = 0;
        for (std::size_t d = 0; d < dims; ++d) {
            values[d] = static_cast<std::int8_t>(query[d] - 128);
            norm += query[d] * query[d];
        }
    }
};

template <>
struct CenterQuery<float> {
    const float* values = nullptr;
    std::size_t dims = 0;

    void start(const float* query, std::size_t n) {
        values = query;
        dims = n;
    }
};

// ---- sketches ----
//
// A block of 16 points: of each eight axes a line of 64 bytes, four of each point, whose low halves
// are the codes of four axes and whose high halves those of the next four; then 16 terms.

inline constexpr std::size_t lines = sketch_axes / 8, line = panel * unit;
inline constexpr std::size_t block_bytes = (lines + 1) * line;

inline void write_sketch(std::uint8_t* block, std::size_t place, const Sketch& sketch) {
    for (std::size_t l = 0; l < lines; ++l)
        for (std::size_t j = 0; j < unit; ++j) {
            const std::uint8_t low = sketch.codes[l * 8 + j], high = sketch.codes[l * 8 + unit + j];
            block[l * line + place * unit + j] = static_cast<std::uint8_t>(low | high << 4);
        }
    std::memcpy(block + lines * line + place * sizeof(float), &sketch.term, sizeof(float));
}

}  // namespace trouvaille::kmeans
