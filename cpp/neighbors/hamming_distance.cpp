// SPDX-License-Identifier: Apache-2.0
#include "neighbors/hamming_distance.hpp"

#include <bit>
#include <cstring>

#include "core/cpu.hpp"
#include "core/target.hpp"

namespace trouvaille {
namespace {

ALWAYS_INLINE std::uint64_t word(const std::uint8_t* bytes, std::size_t size = 8) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, size);
    return value;
}

/// One popcount a word where the CPU has it. Rows are gathered: their memory is what takes time.
ALWAYS_INLINE std::int32_t differing_bits(const std::uint8_t* a, const std::uint8_t* b,
                                          std::size_t bytes) {
    int sum = 0;
    std::size_t i = 0;
    for (; i + 8 <= bytes; i += 8) sum += std::popcount(word(a + i) ^ word(b + i));
    if (i < bytes) sum += std::popcount(word(a + i, bytes - i) ^ word(b + i, bytes - i));
    return sum;
}

ALWAYS_INLINE void each_row(const std::uint8_t* query, MatrixView<const std::uint8_t> points,
                            const std::uint32_t* ids, std::size_t n, std::int32_t* distances) {
    for (std::size_t i = 0; i < n; ++i)
        distances[i] = differing_bits(query, points.row(ids[i]), points.cols);
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
