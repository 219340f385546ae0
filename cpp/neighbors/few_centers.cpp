// SPDX-License-Identifier: Apache-2.0
#include "neighbors/few_centers.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/kmeans_panels.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille::kmeans {
namespace {

// Beyond these, a search that packs points as well (neighbors/exact.hpp) is faster: than rows by
// number, of so many pairs of a point and a centre or so many centres, and than panels.
constexpr std::size_t few_pairs = 4096, few_rows = 16, few_in_panels = 256;

/// The panels of kmeans_panels.hpp; places beyond the last centre are farther than any.
std::vector<std::uint8_t> packed(MatrixView<const std::uint8_t> centers) {
    const std::size_t bytes = center_bytes<std::uint8_t>(centers.cols);
    const std::size_t count = ceil_div(centers.rows, panel);
    std::vector<std::uint8_t> panels(count * bytes);
    for (std::size_t c = 0; c < count * panel; ++c) {
        std::uint8_t* to = &panels[c / panel * bytes];
        if (c < centers.rows) {
            write_center(to, c % panel, centers.row(c), centers.cols);
            continue;
        }
        constexpr std::int32_t farthest = std::numeric_limits<std::int32_t>::max();
        std::memcpy(to + bytes - (panel - c % panel) * sizeof farthest, &farthest, sizeof farthest);
    }
    return panels;
}

#if TROUVAILLE_X86
constexpr std::size_t together = 8;  // points: as many sums as hide the latency of one

/// Points to be compared with the same centres.
struct Together {
    std::vector<std::int8_t> values;  // less 128, each point in whole units
    std::array<std::int32_t, together> norms;
    std::size_t size;  // of one

    explicit Together(std::size_t dims) : size(ceil_div(dims, unit) * unit) {
        values.resize(together * size);
    }
    const std::int8_t* point(std::size_t i) const { return &values[i * size]; }

    TARGET_AVX512 void start(MatrixView<const std::uint8_t> points) {
        for (std::size_t i = 0; i < together; ++i) {
            const std::uint8_t* point = points.row(std::min(i, points.rows - 1));
            std::int8_t* to = &values[i * size];
            for (std::size_t d = 0; d < points.cols; ++d)
                to[d] = static_cast<std::int8_t>(point[d] ^ 128);
            std::int32_t norm = 0;
            for (std::size_t d = 0; d < points.cols; ++d) norm += point[d] * point[d];
            norms[i] = norm;
        }
    }
};

/// Of each point and 16 centres.
struct Scores {
    __m512i of[together];
};

/// Less |q|^2, which changes no order, a distance is |c|^2 - 2 c q: it fits 32 bits.
TARGET_AVX512 ALWAYS_INLINE Scores score_panel(const Together& queries, const std::uint8_t* at) {
    Scores scores;
    for (__m512i& score : scores.of) score = _mm512_setzero_si512();
#pragma GCC unroll 2  // or GCC copies all sums at each step
    for (std::size_t d = 0; d < queries.size; d += unit, at += panel * unit) {
        const __m512i centers = _mm512_loadu_si512(at);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < together; ++i) {
            std::int32_t four;
            std::memcpy(&four, queries.point(i) + d, sizeof four);
            scores.of[i] = _mm512_dpbusd_epi32(scores.of[i], centers, _mm512_set1_epi32(four));
        }
    }
    const __m512i terms = _mm512_loadu_si512(at);
    for (__m512i& score : scores.of) score = _mm512_sub_epi32(terms, _mm512_slli_epi32(score, 1));
    return scores;
}

/// The nearest so far, in each lane by itself: of panels in turn.
struct Best {
    Scores scores, ids;

    TARGET_AVX512 ALWAYS_INLINE Best() {
        for (__m512i& score : scores.of)
            score = _mm512_set1_epi32(std::numeric_limits<std::int32_t>::max());
        ids = scores;
    }
    TARGET_AVX512 ALWAYS_INLINE void keep(const Scores& more, std::size_t first) {
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i own =
            _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<std::int32_t>(first)));
#pragma GCC unroll 8
        for (std::size_t i = 0; i < together; ++i) {
            const __mmask16 nearer = _mm512_cmplt_epi32_mask(more.of[i], scores.of[i]);
            scores.of[i] = _mm512_min_epi32(scores.of[i], more.of[i]);
            ids.of[i] = _mm512_mask_mov_epi32(ids.of[i], nearer, own);
        }
    }
};

TARGET_AVX512 void nearest_in_panels(const std::vector<std::uint8_t>& panels,
                                     MatrixView<const std::uint8_t> points, std::int32_t* distances,
                                     std::int64_t* ids) {
    const std::size_t bytes = center_bytes<std::uint8_t>(points.cols);
    Together queries(points.cols);
    for (std::size_t begin = 0; begin < points.rows; begin += together) {
        queries.start(points.slice(begin, points.rows));
        Best best;
        for (std::size_t p = 0; p * bytes < panels.size(); ++p)
            best.keep(score_panel(queries, &panels[p * bytes]), p * panel);
        for (std::size_t i = 0; i < std::min(together, points.rows - begin); ++i) {
            const std::int32_t least = _mm512_reduce_min_epi32(best.scores.of[i]);
            const __mmask16 equal =
                _mm512_cmpeq_epi32_mask(best.scores.of[i], _mm512_set1_epi32(least));
            ids[begin + i] = _mm512_mask_reduce_min_epi32(equal, best.ids.of[i]);
            distances[begin + i] = least + queries.norms[i];
        }
    }
}
#endif

bool compares_panels() {
    return TROUVAILLE_X86 && active_isa() == Isa::avx512;
}

}  // namespace

template <class T>
bool FewCenters<T>::pays(std::size_t points, std::size_t centers) {
    if (centers <= few_rows) return true;
    if (sizeof(T) == 1 && compares_panels()) return centers <= few_in_panels;
    return centers <= most_few_centers && points * centers <= few_pairs;
}

template <class T>
FewCenters<T>::FewCenters(MatrixView<const T> centers) : centers_(centers), all_(centers.rows) {
    assert(centers.rows <= most_few_centers);
    std::iota(all_.begin(), all_.end(), std::uint32_t{0});
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (compares_panels() && centers.cols > 0) panels_ = packed(centers);
    }
}

template <class T>
void FewCenters<T>::nearest(MatrixView<const T> points, Distance<T>* distances,
                            std::int64_t* ids) const {
#if TROUVAILLE_X86
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (!panels_.empty()) return nearest_in_panels(panels_, points, distances, ids);
    }
#endif
    const auto distances_of = row_distances<T>();
    std::array<Distance<T>, most_few_centers> all;
    for (std::size_t i = 0; i < points.rows; ++i) {
        distances_of(points.row(i), centers_, all_.data(), centers_.rows, all.data());
        const auto least = std::min_element(all.begin(), all.begin() + centers_.rows);
        distances[i] = *least;
        ids[i] = least - all.begin();
    }
}

template class FewCenters<std::uint8_t>;
template class FewCenters<float>;

}  // namespace trouvaille::kmeans
