// SPDX-License-Identifier: Apache-2.0
#include "neighbors/hamming_distance.hpp"

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/differing_bits.hpp"

namespace trouvaille {
namespace {

/// One popcount a word where the CPU has it. Rows are gathered: their memory is what takes time.
ALWAYS_INLINE void each_row(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                            const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    for (std::size_t i = 0; i < n; ++i)
        distances[i] = differing_bits<CountedByInstruction>(query, points.row(ids[i]), points.cols);
}

void scalar(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
            const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    each_row(query, points, ids, n, distances);
}

#if TROUVAILLE_X86
TARGET_AVX2 void with_popcnt(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                             const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    each_row(query, points, ids, n, distances);
}
constexpr RowDistances<std::uint8_t> kernels[isa_count] = {scalar, with_popcnt, with_popcnt};
#else
constexpr RowDistances<std::uint8_t> kernels[isa_count] = {scalar, scalar, scalar};
#endif

}  // namespace

RowDistances<std::uint8_t> hamming_row_distances() {
    return pick(kernels);
}

}  // namespace trouvaille
