// SPDX-License-Identifier: Apache-2.0
#pragma once

// What differs between instruction sets. Private to aggregate/.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aggregate/doubles.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille::aggregate {

// What fits the registers of an instruction set. Of ExactSums: rows times a vector of components,
// and components times a vector of dimensions. Of `whiten`: rows times vectors of directions. Of
// float32, so many a vector, and what compilers find no instructions for.
struct PlainTiles {
    static constexpr std::size_t rows = 1, components = 1, floats = 4;
    static constexpr std::size_t product_rows = 4, product_vectors = 2;
    static constexpr bool compresses = false;
    using Half = VectorOf<double, 2>::type;

    static Half low(Floats<4> v) { return Half{double{v[0]}, double{v[1]}}; }
    static Half high(Floats<4> v) { return Half{double{v[2]}, double{v[3]}}; }
    static Floats<4> narrow(Half a, Half b) {
        return Floats<4>{static_cast<float>(a[0]), static_cast<float>(a[1]),
                         static_cast<float>(b[0]), static_cast<float>(b[1])};
    }
};
#if TROUVAILLE_X86
struct Avx2Tiles {
    static constexpr std::size_t rows = 4, components = 1, floats = 8;
    static constexpr std::size_t product_rows = 4, product_vectors = 2;
    static constexpr bool compresses = false;
    using Half = VectorOf<double, 4>::type;

    TARGET_AVX2 static Half low(Floats<8> v) { return _mm256_cvtps_pd(_mm256_castps256_ps128(v)); }
    TARGET_AVX2 static Half high(Floats<8> v) {
        return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    }
    TARGET_AVX2 static Floats<8> narrow(Half a, Half b) {
        return _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a));
    }
};
struct Avx512Tiles {
    static constexpr std::size_t rows = 8, components = 4, floats = 16;
    static constexpr std::size_t product_rows = 6, product_vectors = 4;
    static constexpr bool compresses = true;
    using Half = Doubles;

    TARGET_AVX512 static Half low(Floats<16> v) {
        return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    }
    TARGET_AVX512 static Half high(Floats<16> v) {
        return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    }
    TARGET_AVX512 static Floats<16> narrow(Half a, Half b) {
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b),
                                  1);
    }

    /// The lanes above zero and their numbers, counted from `first` on; returns how many. Writes 16
    /// places.
    TARGET_AVX512 static std::size_t append(Floats<16> v, std::uint32_t first,
                                            std::uint32_t* numbers, float* values) {
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i number = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first)));
        const __mmask16 above = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ);
        _mm512_storeu_si512(numbers, _mm512_maskz_compress_epi32(above, number));
        _mm512_storeu_ps(values, _mm512_maskz_compress_ps(above, v));
        return static_cast<std::size_t>(__builtin_popcount(above));
    }
};
#endif

/// As many doubles as half a vector of floats.
template <class Tiles>
ALWAYS_INLINE typename Tiles::Half load_half(const double* from) {
    typename Tiles::Half v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class Tiles>
ALWAYS_INLINE void add_to(double* sums, Floats<Tiles::floats> v) {
    constexpr std::size_t half = Tiles::floats / 2;
    store(sums, load_half<Tiles>(sums) + Tiles::low(v));
    store(sums + half, load_half<Tiles>(sums + half) + Tiles::high(v));
}

}  // namespace trouvaille::aggregate
