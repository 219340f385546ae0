// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/target.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

/// Sketches of 32 points side by side, compared with a query by looking its costs up in registers.
///
/// André, Kermarrec, Le Scouarnec. Cache locality is not enough: high-performance nearest neighbor
/// search with product quantization fast scan. VLDB 2015. (There for codes of another kind.)
namespace trouvaille::lsh {

inline constexpr std::size_t panel = 32;
inline constexpr std::uint8_t most_cost = 255;

/// A panel holds byte 0 of the sketches of its points, then byte 1 of them, and so on.
constexpr std::size_t panel_bytes(std::size_t points, std::size_t sketch_bytes) {
    return (points + panel - 1) / panel * panel * sketch_bytes;
}

/// For two bytes of a sketch what each value of half a byte costs, twice, for vectors of 64: those
/// of the low half of the first byte, the low half of the second, the high ones of both.
struct PairCosts {
    alignas(64) std::uint8_t low[2][2][16], high[2][2][16];
};

/// Fills `costs` for sketches whose bit b costs `bits[b]` where it differs from that of the query.
///
/// The sum of all costs is twice what a sketch costs that has nothing to do with the query's. So a
/// cost of 255, which is where sums stop, is as much as that one's.
inline void fill_costs(const float* values, std::size_t bits, std::span<PairCosts> costs) {
    float sum = 0;
    for (std::size_t b = 0; b < bits; ++b) sum += values[b] < 0 ? -values[b] : values[b];
    const float scale = sum > 0 ? 2.0F * most_cost / sum : 0.0F;
    for (std::size_t half = 0; half < bits / 4; ++half) {
        PairCosts& pair = costs[half / 4];
        auto& entries = half % 2 == 0 ? pair.low[half / 2 % 2] : pair.high[half / 2 % 2];
        for (std::size_t x = 0; x < 16; ++x) {
            float cost = 0.5F;
            for (std::size_t b = 0; b < 4; ++b) {
                const float value = values[half * 4 + b] * scale;
                if ((value > 0) != ((x >> b & 1) != 0)) cost += value < 0 ? -value : value;
            }
            entries[0][x] = entries[1][x] =
                static_cast<std::uint8_t>(std::min(cost, float{most_cost}));
        }
    }
}

/// At most `most_scanned` places of a table, and a query.
struct Scan {
    const std::uint8_t* panels;
    std::size_t begin, end;
    std::span<const PairCosts> costs;
    std::uint8_t limit;
};
inline constexpr std::size_t most_scanned = 256;

struct Sketched {
    std::uint32_t place, cost;
};

/// `find` writes the places whose cost is within the limit, in order, and returns how many.
struct Scalar {
    static std::size_t find(const Scan& scan, Sketched* found) {
        const Sketched* begin = found;
        for (std::size_t i = scan.begin; i < scan.end; ++i) {
            const std::size_t first = i / panel * panel;
            const std::uint8_t* bytes = scan.panels + first * 2 * scan.costs.size() + i % panel;
            unsigned sum = 0;
            for (const PairCosts& pair : scan.costs)
                for (std::size_t j = 0; j < 2; ++j, bytes += panel)
                    sum += unsigned{pair.low[j][0][*bytes & 15U]} + pair.high[j][0][*bytes >> 4U];
            const unsigned cost = std::min(sum, unsigned{most_cost});
            if (cost <= scan.limit) *found++ = {static_cast<std::uint32_t>(i), cost};
        }
        return static_cast<std::size_t>(found - begin);
    }
};

#if TROUVAILLE_X86
/// Those whose bits are set, of the panel that begins at `first`, where they are in [begin, end).
ALWAYS_INLINE Sketched* write(const Scan& scan, std::size_t first, std::uint32_t bits,
                              const std::uint8_t* sums, Sketched* found) {
    if (first < scan.begin) bits &= 0xFFFFFFFFU << (scan.begin - first);
    if (scan.end - first < panel) bits &= (1U << (scan.end - first)) - 1;
    for (; bits != 0; bits &= bits - 1) {
        const auto i = static_cast<std::uint32_t>(__builtin_ctz(bits));
        *found++ = {static_cast<std::uint32_t>(first) + i, sums[i]};
    }
    return found;
}

struct Avx2 {
    TARGET_AVX2 ALWAYS_INLINE static __m256i load(const void* bytes) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(bytes));
    }
    TARGET_AVX2 static std::size_t find(const Scan& scan, Sketched* found) {
        const Sketched* begin = found;
        const __m256i low = _mm256_set1_epi8(15);
        const __m256i limit = _mm256_set1_epi8(static_cast<char>(scan.limit));
        for (std::size_t first = scan.begin / panel * panel; first < scan.end; first += panel) {
            const std::uint8_t* bytes = scan.panels + first * 2 * scan.costs.size();
            __m256i sum[2] = {};
            for (const PairCosts& pair : scan.costs)
                for (std::size_t j = 0; j < 2; ++j, bytes += panel) {
                    const __m256i x = load(bytes);
                    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
                    const __m256i lows = _mm256_shuffle_epi8(load(pair.low[j]), x & low);
                    const __m256i highs = _mm256_shuffle_epi8(load(pair.high[j]), high);
                    sum[0] = _mm256_adds_epu8(sum[0], lows);
                    sum[1] = _mm256_adds_epu8(sum[1], highs);
                }
            const __m256i sums = _mm256_adds_epu8(sum[0], sum[1]);
            const __m256i within = _mm256_cmpeq_epi8(_mm256_max_epu8(sums, limit), limit);
            alignas(32) std::uint8_t each[panel];
            _mm256_store_si256(reinterpret_cast<__m256i*>(each), sums);
            const auto bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(within));
            found = write(scan, first, bits, each, found);
        }
        return static_cast<std::size_t>(found - begin);
    }
};

struct Avx512 {
    TARGET_AVX512 static std::size_t find(const Scan& scan, Sketched* found) {
        const Sketched* begin = found;
        const __m512i low = _mm512_set1_epi8(15);
        const __m256i limit = _mm256_set1_epi8(static_cast<char>(scan.limit));
        for (std::size_t first = scan.begin / panel * panel; first < scan.end; first += panel) {
            const std::uint8_t* bytes = scan.panels + first * 2 * scan.costs.size();
            __m512i sum[2] = {};
            for (const PairCosts& pair : scan.costs) {
                const __m512i x = _mm512_loadu_si512(bytes);
                bytes += 2 * panel;
                const __m512i high = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
                const __m512i lows =
                    _mm512_shuffle_epi8(_mm512_load_si512(pair.low), _mm512_and_si512(x, low));
                const __m512i highs = _mm512_shuffle_epi8(_mm512_load_si512(pair.high), high);
                sum[0] = _mm512_adds_epu8(sum[0], lows);
                sum[1] = _mm512_adds_epu8(sum[1], highs);
            }
            const __m512i both = _mm512_adds_epu8(sum[0], sum[1]);
            const __m256i sums =
                _mm256_adds_epu8(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
            alignas(32) std::uint8_t each[panel];
            _mm256_store_si256(reinterpret_cast<__m256i*>(each), sums);
            found = write(scan, first, _mm256_cmple_epu8_mask(sums, limit), each, found);
        }
        return static_cast<std::size_t>(found - begin);
    }
};
#endif

}  // namespace trouvaille::lsh
