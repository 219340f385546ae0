// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/target.hpp"
#include "neighbors/principal_axes.hpp"
#include "neighbors/squared_distance.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

/// The panels of a KDForest: codes of 16 points side by side, compared by one instruction a unit.
namespace trouvaille::kd {

inline constexpr std::size_t panel = 16, unit = 4, most_units = axis_count / unit;

/// So many that a forest of up to four trees takes no more than 32 bytes a point.
constexpr std::size_t units_for(std::size_t trees) {
    return std::max<std::size_t>(most_units - std::min(trees - 1, most_units), 2);
}

constexpr std::size_t panel_bytes(std::size_t points, std::size_t units) {
    return (points + panel - 1) / panel * panel * unit * units;
}

/// Where unit `u` of point `i` begins.
constexpr std::size_t panel_byte(std::size_t i, std::size_t u, std::size_t units) {
    return ((i / panel * units + u) * panel + i % panel) * unit;
}

/// Some places of the first tree's order, and a query.
struct Scan {
    const std::uint8_t* panels;
    std::size_t units, begin, end;
    const std::uint8_t* code;
    std::int32_t limit;
};

constexpr std::int32_t largest_difference = CodedQuery::largest_difference;

/// `find` writes the places whose code is within the limit, in order, and returns how many there
/// are; room for 16 more than that is needed. `compare` is squared_distance.
struct Scalar {
    static std::size_t find(const Scan& scan, std::uint32_t* places) {
        std::size_t found = 0;
        for (std::size_t first = scan.begin / panel * panel; first < scan.end; first += panel) {
            std::int32_t sums[panel] = {};
            for (std::size_t u = 0; u < scan.units; ++u) {
                const std::uint8_t* bytes = scan.panels + panel_byte(first, u, scan.units);
                for (std::size_t i = 0; i < panel; ++i)
                    for (std::size_t j = 0; j < unit; ++j) {
                        const int apart = bytes[i * unit + j] - scan.code[u * unit + j];
                        const int difference = std::min(apart < 0 ? -apart : apart, 127);
                        sums[i] += difference * difference;
                    }
            }
            const std::size_t from = std::max(first, scan.begin);
            for (std::size_t i = from; i < std::min(first + panel, scan.end); ++i) {
                places[found] = static_cast<std::uint32_t>(i);
                found += sums[i - first] <= scan.limit;
            }
        }
        return found;
    }
    template <class T>
    static auto compare(const T* a, const T* b, std::size_t dims) {
        return squared_distance(a, b, dims);
    }
};

#if TROUVAILLE_X86
/// Bits of the places of a panel that begins at `first` which lie in [scan.begin, scan.end).
ALWAYS_INLINE std::uint32_t inside(const Scan& scan, std::size_t first) {
    std::uint32_t bits = 0xFFFF;
    if (first < scan.begin) bits &= bits << (scan.begin - first);
    if (scan.end - first < panel) bits &= (1U << (scan.end - first)) - 1;
    return bits;
}

ALWAYS_INLINE std::int32_t unit_of(const std::uint8_t* code, std::size_t u) {
    std::int32_t value;
    std::memcpy(&value, code + u * unit, sizeof value);
    return value;
}

struct Avx2 {
    // 127^2 * 2 fits vpmaddubsw's 16 bits.
    TARGET_AVX2 static __m256i squares(const std::uint8_t* bytes, __m256i query) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
        const __m256i apart =
            _mm256_or_si256(_mm256_subs_epu8(x, query), _mm256_subs_epu8(query, x));
        const __m256i least = _mm256_min_epu8(apart, _mm256_set1_epi8(largest_difference));
        return _mm256_madd_epi16(_mm256_maddubs_epi16(least, least), _mm256_set1_epi16(1));
    }
    TARGET_AVX2 static std::uint32_t beyond(__m256i sums, std::int32_t limit) {
        const __m256i passes = _mm256_cmpgt_epi32(sums, _mm256_set1_epi32(limit));
        return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(passes)));
    }
    TARGET_AVX2 static std::size_t find(const Scan& scan, std::uint32_t* places) {
        std::size_t found = 0;
        for (std::size_t first = scan.begin / panel * panel; first < scan.end; first += panel) {
            const std::uint8_t* bytes = scan.panels + first * unit * scan.units;
            __m256i low = _mm256_setzero_si256(), high = low;
            for (std::size_t u = 0; u < scan.units; ++u, bytes += panel * unit) {
                const __m256i query = _mm256_set1_epi32(unit_of(scan.code, u));
                low = _mm256_add_epi32(low, squares(bytes, query));
                high = _mm256_add_epi32(high, squares(bytes + 32, query));
            }
            std::uint32_t bits =
                inside(scan, first) & ~(beyond(low, scan.limit) | beyond(high, scan.limit) << 8);
            for (; bits != 0; bits &= bits - 1)
                places[found++] = static_cast<std::uint32_t>(first) + _tzcnt_u32(bits);
        }
        return found;
    }
    template <class T>
    TARGET_AVX2 static auto compare(const T* a, const T* b, std::size_t dims) {
        return squared_distance(a, b, dims);
    }
};

struct Avx512 {
    TARGET_AVX512 static std::size_t find(const Scan& scan, std::uint32_t* places) {
        std::size_t found = 0;
        const __m512i most = _mm512_set1_epi8(largest_difference);
        const __m512i limit = _mm512_set1_epi32(scan.limit);
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (std::size_t first = scan.begin / panel * panel; first < scan.end; first += panel) {
            const std::uint8_t* bytes = scan.panels + first * unit * scan.units;
            __m512i sums = _mm512_setzero_si512();
            for (std::size_t u = 0; u < scan.units; ++u, bytes += panel * unit) {
                const __m512i query = _mm512_set1_epi32(unit_of(scan.code, u));
                const __m512i x = _mm512_loadu_si512(bytes);
                const __m512i apart =
                    _mm512_or_si512(_mm512_subs_epu8(x, query), _mm512_subs_epu8(query, x));
                const __m512i least = _mm512_min_epu8(apart, most);
                sums = _mm512_dpbusd_epi32(sums, least, least);
            }
            const auto bits =
                static_cast<__mmask16>(inside(scan, first)) & _mm512_cmple_epi32_mask(sums, limit);
            const __m512i all =
                _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<std::int32_t>(first)));
            _mm512_storeu_si512(places + found,
                                _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), all));
            found += static_cast<std::size_t>(_mm_popcnt_u32(static_cast<std::uint32_t>(bits)));
        }
        return found;
    }
    template <class T>
    TARGET_AVX512 static auto compare(const T* a, const T* b, std::size_t dims) {
        return squared_distance(a, b, dims);
    }
};
#endif

}  // namespace trouvaille::kd
