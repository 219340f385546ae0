// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/kmeans_panels.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

/// A query beside panels of centres and blocks of sketches, for each instruction set.
namespace trouvaille::kmeans {

ALWAYS_INLINE std::int32_t unit_of(const std::int8_t* values, std::size_t u) {
    std::int32_t four;
    std::memcpy(&four, values + u * unit, sizeof four);
    return four;
}

/// Squared distances of `count` panels of centres, one dimension after the other.
template <std::size_t N>
ALWAYS_INLINE void distances_in_lanes(const CenterQuery<float>& query, const std::uint8_t* centers,
                                      std::size_t count, float* distances) {
    for (std::size_t p = 0; p < count; ++p, centers += query.dims * panel * sizeof(float)) {
        Floats<N> sums[panel / N] = {};
        const std::uint8_t* row = centers;
        for (std::size_t d = 0; d < query.dims; ++d, row += panel * sizeof(float))
            for (std::size_t v = 0; v < panel / N; ++v) {
                Floats<N> center;
                std::memcpy(&center, row + v * sizeof center, sizeof center);
                const Floats<N> apart = splat<N>(query.values[d]) - center;
                sums[v] += apart * apart;
            }
        for (std::size_t v = 0; v < panel / N; ++v) store(distances + p * panel + v * N, sums[v]);
    }
}

/// What the points of a list are to be compared with.
struct Scan {
    const SketchedQuery* query;
    const std::uint8_t* blocks;
    std::uint32_t first;  // place of the first point
    std::size_t count;    // of points
    float base;           // |q - c|^2
    float limit;          // estimates beyond it are not wanted
};

/// `near` writes squared distances, rounded to float32, and numbers (from `first`) of the centres
/// of some panels within the limit, in order; `scan` writes estimates and places of a list's points
/// likewise. Both return how many; room for 16 more than that is needed.
struct Scalar {
    static constexpr std::size_t lanes = 4;

    static void distances(const CenterQuery<std::uint8_t>& query, const std::uint8_t* centers,
                          std::size_t count, float* out) {
        const std::size_t units = query.values.size() / unit;
        const std::size_t bytes = (units * unit + sizeof(std::int32_t)) * panel;
        for (std::size_t p = 0; p < count; ++p, centers += bytes)
            for (std::size_t i = 0; i < panel; ++i) {
                std::int32_t dot = 0;
                std::uint32_t term;
                for (std::size_t u = 0; u < units; ++u)
                    for (std::size_t j = 0; j < unit; ++j)
                        dot += centers[(u * panel + i) * unit + j] * query.values[u * unit + j];
                std::memcpy(&term, centers + (units * unit * panel + i * sizeof term), sizeof term);
                term +=
                    static_cast<std::uint32_t>(query.norm) - 2 * static_cast<std::uint32_t>(dot);
                out[p * panel + i] = static_cast<float>(static_cast<std::int32_t>(term));
            }
    }
    static void distances(const CenterQuery<float>& query, const std::uint8_t* centers,
                          std::size_t count, float* out) {
        distances_in_lanes<4>(query, centers, count, out);
    }
    template <class T>
    static std::size_t near(const CenterQuery<T>& query, const std::uint8_t* centers,
                            std::size_t count, std::uint32_t first, float limit, float* out,
                            std::uint32_t* numbers) {
        distances(query, centers, count, out);
        std::size_t found = 0;
        for (std::size_t i = 0; i < count * panel; ++i) {
            numbers[found] = first + static_cast<std::uint32_t>(i);
            out[found] = out[i];
            found += out[i] <= limit;
        }
        return found;
    }
    static std::size_t scan(const Scan& scan, float* estimates, std::uint32_t* places) {
        std::size_t found = 0;
        for (std::size_t i = 0; i < scan.count; ++i) {
            const std::uint8_t* block = scan.blocks + i / panel * block_bytes;
            std::int32_t dot = 0;
            for (std::size_t a = 0; a < sketch_axes; ++a) {
                const int byte = block[a / 8 * line + i % panel * unit + a % unit];
                dot += (a % 8 < unit ? byte & 15 : byte >> 4) * scan.query->weights[a];
            }
            float term;
            std::memcpy(&term, block + lines * line + i % panel * sizeof term, sizeof term);
            const float estimate = scan.base + term - scan.query->scale * static_cast<float>(dot);
            estimates[found] = estimate;
            places[found] = scan.first + static_cast<std::uint32_t>(i);
            found += estimate <= scan.limit;
        }
        return found;
    }
};

#if TROUVAILLE_X86
struct Avx2 {
    static constexpr std::size_t lanes = 8;

    TARGET_AVX2 static __m256i add_products(__m256i sum, __m256i bytes, __m256i values) {
        const __m256i pairs = _mm256_maddubs_epi16(bytes, values);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    TARGET_AVX2 ALWAYS_INLINE static __m256i load(const std::uint8_t* from) {
        __m256i v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    // 255 * 128 * 2 does not fit vpmaddubsw's 16 bits: the high bit of each byte goes by itself.
    TARGET_AVX2 static void distances(const CenterQuery<std::uint8_t>& query,
                                      const std::uint8_t* centers, std::size_t count, float* out) {
        const std::size_t units = query.values.size() / unit;
        const __m256i seven = _mm256_set1_epi8(127), norm = _mm256_set1_epi32(query.norm);
        for (std::size_t p = 0; p < count; ++p) {
            __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
            for (std::size_t u = 0; u < units; ++u) {
                const __m256i values = _mm256_set1_epi32(unit_of(query.values.data(), u));
                for (auto& sum : sums) {
                    const __m256i bytes = load(centers);
                    sum = add_products(sum, _mm256_and_si256(bytes, seven), values);
                    sum = add_products(sum, _mm256_andnot_si256(seven, bytes), values);
                    centers += sizeof bytes;
                }
            }
            for (std::size_t h = 0; h < 2; ++h, centers += sizeof norm) {
                const __m256i term = _mm256_add_epi32(load(centers), norm);
                const __m256i all = _mm256_sub_epi32(term, _mm256_slli_epi32(sums[h], 1));
                _mm256_storeu_ps(out + p * panel + h * 8, _mm256_cvtepi32_ps(all));
            }
        }
    }
    TARGET_AVX2 static void distances(const CenterQuery<float>& query, const std::uint8_t* centers,
                                      std::size_t count, float* out) {
        distances_in_lanes<8>(query, centers, count, out);
    }
    template <class T>
    TARGET_AVX2 static std::size_t near(const CenterQuery<T>& query, const std::uint8_t* centers,
                                        std::size_t count, std::uint32_t first, float limit,
                                        float* out, std::uint32_t* numbers) {
        distances(query, centers, count, out);
        std::size_t found = 0;
        for (std::size_t i = 0; i < count * panel; i += 8)
            found += keep(_mm256_loadu_ps(out + i), limit, 8, first + static_cast<std::uint32_t>(i),
                          out + found, numbers + found);
        return found;
    }
    // Of the first `count` lanes those within the limit.
    TARGET_AVX2 static std::size_t keep(__m256 values, float limit, std::size_t count,
                                        std::uint32_t first, float* kept, std::uint32_t* numbers) {
        const __m256 within = _mm256_cmp_ps(values, _mm256_set1_ps(limit), _CMP_LE_OQ);
        auto bits = static_cast<std::uint32_t>(_mm256_movemask_ps(within));
        if (count < 8) bits &= (1U << count) - 1;
        if (bits == 0) return 0;
        float eight[8];
        _mm256_storeu_ps(eight, values);
        std::size_t found = 0;
        for (; bits != 0; bits &= bits - 1) {
            const std::uint32_t i = _tzcnt_u32(bits);
            kept[found] = eight[i];
            numbers[found++] = first + i;
        }
        return found;
    }
    TARGET_AVX2 static std::size_t scan(const Scan& scan, float* estimates, std::uint32_t* places) {
        std::size_t found = 0;
        const __m256i low = _mm256_set1_epi8(15);
        const __m256 scale = _mm256_set1_ps(scan.query->scale), base = _mm256_set1_ps(scan.base);
        const std::int8_t* weights = scan.query->weights.data();
        for (std::size_t begin = 0; begin < scan.count; begin += 8) {
            const std::uint8_t* half =
                scan.blocks + begin / panel * block_bytes + begin % panel * unit;
            __m256i sum = _mm256_setzero_si256();
            for (std::size_t l = 0; l < lines; ++l, half += line) {
                const __m256i both = load(half);
                sum = add_products(sum, _mm256_and_si256(both, low),
                                   _mm256_set1_epi32(unit_of(weights, 2 * l)));
                sum = add_products(sum, _mm256_and_si256(_mm256_srli_epi16(both, 4), low),
                                   _mm256_set1_epi32(unit_of(weights, 2 * l + 1)));
            }
            const __m256 term = _mm256_add_ps(base, _mm256_castsi256_ps(load(half)));
            const __m256 estimate =
                _mm256_sub_ps(term, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
            found += keep(estimate, scan.limit, scan.count - begin,
                          scan.first + static_cast<std::uint32_t>(begin), estimates + found,
                          places + found);
        }
        return found;
    }
};

struct Avx512 {
    static constexpr std::size_t lanes = 16;

    // Panels in turn, and as many sums at a time as hide the latency of one.
    template <std::size_t Panels>
    TARGET_AVX512 ALWAYS_INLINE static void some_distances(const CenterQuery<std::uint8_t>& query,
                                                           const std::uint8_t* centers,
                                                           float* out) {
        const std::size_t units = query.values.size() / unit, bytes = (units + 1) * line;
        __m512i sums[Panels];
        for (auto& sum : sums) sum = _mm512_setzero_si512();
        for (std::size_t u = 0; u < units; ++u) {
            const __m512i values = _mm512_set1_epi32(unit_of(query.values.data(), u));
#pragma GCC unroll 8
            for (std::size_t p = 0; p < Panels; ++p)
                sums[p] = _mm512_dpbusd_epi32(
                    sums[p], _mm512_loadu_si512(centers + p * bytes + u * line), values);
        }
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Panels; ++p) {
            const __m512i term =
                _mm512_add_epi32(_mm512_loadu_si512(centers + p * bytes + units * line),
                                 _mm512_set1_epi32(query.norm));
            const __m512i all = _mm512_sub_epi32(term, _mm512_slli_epi32(sums[p], 1));
            _mm512_storeu_ps(out + p * panel, _mm512_cvtepi32_ps(all));
        }
    }
    TARGET_AVX512 static void distances(const CenterQuery<std::uint8_t>& query,
                                        const std::uint8_t* centers, std::size_t count,
                                        float* out) {
        const std::size_t bytes = (query.values.size() / unit + 1) * line;
        std::size_t p = 0;
        for (; p + 8 <= count; p += 8)
            some_distances<8>(query, centers + p * bytes, out + p * panel);
        if (p + 4 <= count) {
            some_distances<4>(query, centers + p * bytes, out + p * panel);
            p += 4;
        }
        for (; p < count; ++p) some_distances<1>(query, centers + p * bytes, out + p * panel);
    }
    TARGET_AVX512 static void distances(const CenterQuery<float>& query,
                                        const std::uint8_t* centers, std::size_t count,
                                        float* out) {
        distances_in_lanes<16>(query, centers, count, out);
    }
    template <class T>
    TARGET_AVX512 static std::size_t near(const CenterQuery<T>& query, const std::uint8_t* centers,
                                          std::size_t count, std::uint32_t first, float limit,
                                          float* out, std::uint32_t* numbers) {
        distances(query, centers, count, out);
        std::size_t found = 0;
        for (std::size_t i = 0; i < count * panel; i += panel)
            found += keep(_mm512_loadu_ps(out + i), _mm512_set1_ps(limit), panel,
                          first + static_cast<std::uint32_t>(i), out + found, numbers + found);
        return found;
    }
    // Of the first `count` lanes those within the limit.
    TARGET_AVX512 ALWAYS_INLINE static std::size_t keep(__m512 values, __m512 limit,
                                                        std::size_t count, std::uint32_t first,
                                                        float* kept, std::uint32_t* numbers) {
        __mmask16 passes = _mm512_cmp_ps_mask(values, limit, _CMP_LE_OQ);
        if (count < panel) passes &= static_cast<__mmask16>((1U << count) - 1);
        if (passes == 0) return 0;
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i all =
            _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<std::int32_t>(first)));
        _mm512_storeu_ps(kept, _mm512_maskz_compress_ps(passes, values));
        _mm512_storeu_si512(numbers, _mm512_maskz_compress_epi32(passes, all));
        return static_cast<std::size_t>(_mm_popcnt_u32(passes));
    }
    TARGET_AVX512 static std::size_t scan(const Scan& scan, float* estimates,
                                          std::uint32_t* places) {
        std::size_t found = 0;
        const __m512i low = _mm512_set1_epi8(15);
        const __m512 scale = _mm512_set1_ps(scan.query->scale), base = _mm512_set1_ps(scan.base);
        const __m512 limit = _mm512_set1_ps(scan.limit);
        const std::uint8_t* bytes = scan.blocks;
        __m512i weights[2 * lines];
        for (std::size_t u = 0; u < 2 * lines; ++u)
            weights[u] = _mm512_set1_epi32(unit_of(scan.query->weights.data(), u));
        for (std::size_t begin = 0; begin < scan.count; begin += panel, bytes += block_bytes) {
            __m512i sums = _mm512_setzero_si512(),
                    high_sums = sums;  // the latter of 16 times codes
#pragma GCC unroll 8
            for (std::size_t l = 0; l < lines; ++l) {
                const __m512i both = _mm512_loadu_si512(bytes + l * line);
                sums = _mm512_dpbusd_epi32(sums, _mm512_and_si512(both, low), weights[2 * l]);
                high_sums = _mm512_dpbusd_epi32(high_sums, _mm512_andnot_si512(low, both),
                                                weights[2 * l + 1]);
            }
            sums = _mm512_add_epi32(sums, _mm512_srai_epi32(high_sums, 4));
            const __m512 term = _mm512_add_ps(base, _mm512_loadu_ps(bytes + lines * line));
            const __m512 estimate =
                _mm512_sub_ps(term, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sums)));
            found += keep(estimate, limit, scan.count - begin,
                          scan.first + static_cast<std::uint32_t>(begin), estimates + found,
                          places + found);
        }
        return found;
    }
};
#endif

}  // namespace trouvaille::kmeans
