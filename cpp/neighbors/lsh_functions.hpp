// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// What the keys of the buckets are made of.
enum class HashFamily : std::uint8_t {
    /// The side of a plane. Charikar. Similarity estimation techniques from rounding algorithms.
    /// STOC 2002.
    hyperplanes,
    /// The number of an interval. Datar, Immorlica, Indyk, Mirrokni. Locality-sensitive hashing
    /// scheme based on p-stable distributions. SoCG 2004.
    stable,
    /// A bit, of those of the point itself. Indyk and Motwani. STOC 1998.
    bits,
};

/// The most functions of a key.
inline constexpr std::size_t most_functions = 32;

struct HashOptions {
    std::size_t tables = 1;
    std::size_t functions = 14;     ///< a table; in [1, most_functions]
    std::size_t sketch_bytes = 16;  ///< even
    HashFamily family = HashFamily::hyperplanes;
    double width = 0;  ///< of the intervals, as the points measure; 0: a deviation of theirs
    bool packed_bits = false;  ///< bytes are eight dimensions each, and distances Hamming's
    std::uint64_t seed = 0;
};

/// Functions of points: y = directions^T (x - center) - offsets.
///
/// The first of them make the keys, table after table: y is in the cell floor(y), which is cut to
/// [-reach, reach), and the key is the sum of cells times multipliers. With a reach of 1 a cell is
/// a side. The others make the sketch, a bit each: 1 where y is greater than 0.
struct HashFunctions {
    std::span<const float> center;
    MatrixView<const float> directions;  ///< dims rows; a column for each function
    std::span<const float> offsets;
    std::span<const std::uint32_t> multipliers;  ///< one for each function of a key
    std::size_t sketch_bits = 0;
    std::int32_t reach = 1;
    bool packed_bits = false;

    std::size_t dims() const { return center.size(); }
};

/// The arrays behind HashFunctions.
struct HashFunctionsData {
    std::vector<float> center, directions, offsets;
    std::vector<std::uint32_t> multipliers;
    std::size_t sketch_bits = 0;
    std::int32_t reach = 1;
    bool packed_bits = false;

    HashFunctions view() const {
        return {center,      {directions.data(), center.size(), offsets.size()},
                offsets,     multipliers,
                sketch_bits, reach,
                packed_bits};
    }
};

/// Draws functions for `points`, of which it looks at 2,048 at the most, evenly spaced.
///
/// Directions of keys are normal vectors multiplied by the covariance of the points, twice, so that
/// most go where the points differ most (with the orthogonalization this is the range finder of
/// Halko, Martinsson, Tropp. Finding structure with randomness. SIAM Review 2011). Those of
/// sketches are normal vectors. Both are made orthogonal as far as there are dimensions: Ji, Li,
/// Yan, Zhang, Tian. Super-bit locality-sensitive hashing. NIPS 2012. Planes lie at the median.
/// Bits are drawn among those that are not nearly always the same.
template <class T>
HashFunctionsData draw_functions(MatrixView<const T> points, const HashOptions& options);

/// values.row(i) = y of points.row(i): by neighbors/project.hpp, so the same bits on every
/// instruction set. What is not a number, or beyond 2^20, becomes 2^20. Copies the directions: call
/// it for tens of points.
template <class T>
void hash_values(const HashFunctions& functions, MatrixView<const T> points,
                 MatrixView<float> values);

}  // namespace trouvaille
