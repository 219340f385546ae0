// SPDX-License-Identifier: Apache-2.0
#include "geometry/consistency.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>

#include "core/cpu.hpp"
#include "core/target.hpp"

namespace trouvaille {
namespace {

using C = Correspondences;

// Of max_pair_log_scale and max_pair_degrees (squared lengths, squared cosine), and of
// max_log_scale and max_degrees. Functions of <cmath> are not constant expressions.
constexpr float max_length_ratio = 4.48168907F;     // exp(2 * 0.75)
constexpr float min_cosine_squared = 0.654508497F;  // cos(36 degrees)^2
constexpr float per_stretch = 0.254558078F;         // 1 / (2 sinh(0.875))^2
constexpr float per_cosine = 3.89280107F;           // 1 / (1 - cos(42 degrees))

// Padding (B = 0) gets a rotation of 0 and an inverse of infinity: its agreement is -infinity. Two
// loops, because a compiler tests only so many arrays for overlap.
ALWAYS_INLINE void complete(C& c) {
    const float *b11 = c[C::b11], *b12 = c[C::b12], *b21 = c[C::b21], *b22 = c[C::b22];
    float *cosine = c[C::cosine], *sine = c[C::sine], *area = c[C::area], *inverse = c[C::per_area];
    const std::size_t n = c.blocks() * C::block;
    for (std::size_t k = 0; k < n; ++k) {
        const float re = b11[k] + b22[k], im = b21[k] - b12[k];
        const float length = std::sqrt(re * re + im * im + std::numeric_limits<float>::min());
        cosine[k] = re / length;
        sine[k] = im / length;
    }
    for (std::size_t k = 0; k < n; ++k) {
        const float determinant = b11[k] * b22[k] - b12[k] * b21[k];
        area[k] = determinant;
        inverse[k] = 1 / determinant;
    }
}

// Sixteen pairs (i, j): bit l is set if pair (i, 16 j + l) is consistent.
ALWAYS_INLINE std::uint32_t consistent_block(const C& c, std::size_t i, std::size_t j,
                                             float min_square) {
    const float xi = c[C::x][i], yi = c[C::y][i], ui = c[C::u][i], vi = c[C::v][i];
    const float cos_i = c[C::cosine][i], sin_i = c[C::sine][i], area_i = c[C::area][i];
    const std::size_t at = j * C::block;
    const float *x = c[C::x] + at, *y = c[C::y] + at, *u = c[C::u] + at, *v = c[C::v] + at;
    const float *cos_j = c[C::cosine] + at, *sin_j = c[C::sine] + at, *area_j = c[C::area] + at;
    std::uint32_t mask = 0;
    for (std::size_t l = 0; l < C::block; ++l) {
        const float px = x[l] - xi, py = y[l] - yi, qx = u[l] - ui, qy = v[l] - vi;
        const float pp = px * px + py * py, qq = qx * qx + qy * qy;
        // q / p as complex numbers, times |p|^2, and its cosines with both frames, times |p| |q|.
        const float re = px * qx + py * qy, im = px * qy - py * qx;
        const float cosine = std::min(re * cos_i + im * sin_i, re * cos_j[l] + im * sin_j[l]);
        const float smallest = std::min(area_i, area_j[l]), largest = std::max(area_i, area_j[l]);
        const bool consistent =
            (qq >= min_square) & (cosine > 0) & (cosine * cosine >= min_cosine_squared * pp * qq) &
            (qq <= max_length_ratio * pp * smallest) & (largest * pp <= max_length_ratio * qq);
        mask |= consistent ? 1U << l : 0U;
    }
    return mask;
}

ALWAYS_INLINE void pairs(const C& c, float min_baseline, std::size_t words, std::uint64_t* rows) {
    const float min_square = min_baseline * min_baseline;
    for (std::size_t i = 0; i < c.size(); ++i) {
        std::uint64_t* row = rows + i * words;
        for (std::size_t j = i / C::block; j < c.blocks(); ++j) {
            std::uint32_t mask = consistent_block(c, i, j, min_square);
            if (j == i / C::block) mask &= 0xFFFEU << (i % C::block);  // only j > i
            row[j / 4] |= std::uint64_t{mask & 0xFFFFU} << (j % 4 * C::block);
        }
    }
}

ALWAYS_INLINE void common(const std::uint64_t* rows, std::size_t words, std::span<const Edge> edges,
                          std::uint32_t* counts) {
    for (std::size_t e = 0; e < edges.size(); ++e) {
        const std::uint64_t* a = rows + edges[e].first * words;
        const std::uint64_t* b = rows + edges[e].second * words;
        int bits = 0;
        for (std::size_t w = 0; w < words; ++w) bits += std::popcount(a[w] & b[w]);
        counts[e] = static_cast<std::uint32_t>(bits);
    }
}

struct Hypothesis {
    float a11, a12, b1, a21, a22, b2, cosine, sine, area, per_area;

    explicit Hypothesis(const Affine& t)
        : a11(static_cast<float>(t.a11)),
          a12(static_cast<float>(t.a12)),
          b1(static_cast<float>(t.b1)),
          a21(static_cast<float>(t.a21)),
          a22(static_cast<float>(t.a22)),
          b2(static_cast<float>(t.b2)),
          cosine(static_cast<float>(rotation_of(t).cos)),
          sine(static_cast<float>(rotation_of(t).sin)),
          area(static_cast<float>(t.determinant())),
          per_area(static_cast<float>(1 / t.determinant())) {}
};

ALWAYS_INLINE float square(const C& c, const Hypothesis& t, std::size_t k) {
    const float x = c[C::x][k], y = c[C::y][k];
    const float dx = t.a11 * x + t.a12 * y + (t.b1 - c[C::u][k]);
    const float dy = t.a21 * x + t.a22 * y + (t.b2 - c[C::v][k]);
    return dx * dx + dy * dy;
}

ALWAYS_INLINE float agreement(const C& c, const Hypothesis& t, std::size_t k) {
    const float cosine = t.cosine * c[C::cosine][k] + t.sine * c[C::sine][k];
    // r + 1 / r - 2 = (2 sinh s)^2 for a ratio of areas r = exp(2 s).
    const float stretch = c[C::area][k] * t.per_area + c[C::per_area][k] * t.area - 2;
    return 1 - stretch * per_stretch - (1 - cosine) * per_cosine;
}

ALWAYS_INLINE void residuals(const C& c, const Affine& transform, float* squares,
                             float* agreements) {
    const Hypothesis t(transform);
    for (std::size_t k = 0; k < c.blocks() * C::block; ++k) squares[k] = square(c, t, k);
    for (std::size_t k = 0; k < c.blocks() * C::block; ++k) agreements[k] = agreement(c, t, k);
}

// Not std::max: NaN (of coordinates beyond float32) must become 0.
ALWAYS_INLINE float positive(float x) {
    return x > 0 ? x : 0.0F;
}

ALWAYS_INLINE Score score(const C& c, const Affine& transform, float coarse, float fine) {
    const Hypothesis t(transform);
    const float coarse_slope = 1 / (coarse * coarse), fine_slope = 1 / (fine * fine);
    Score sum;
    for (std::size_t begin = 0; begin < c.blocks(); begin += 4096) {  // 2^26: no overflow
        const std::size_t end = std::min(begin + 4096, c.blocks());
        std::int32_t coarse_part = 0, fine_part = 0;
        for (std::size_t k = begin * C::block; k < end * C::block; ++k) {
            const float distance = square(c, t, k);
            const float unit = static_cast<float>(score_unit) * positive(agreement(c, t, k));
            coarse_part += static_cast<std::int32_t>(unit * positive(1 - distance * coarse_slope));
            fine_part += static_cast<std::int32_t>(unit * positive(1 - distance * fine_slope));
        }
        sum.coarse += coarse_part;
        sum.fine += fine_part;
    }
    return sum;
}

#define TROUVAILLE_CONSISTENCY(name, TARGETED)                                                   \
    TARGETED void complete_##name(C& c) {                                                        \
        complete(c);                                                                             \
    }                                                                                            \
    TARGETED void pairs_##name(const C& c, float min_baseline, std::size_t words,                \
                               std::uint64_t* rows) {                                            \
        pairs(c, min_baseline, words, rows);                                                     \
    }                                                                                            \
    TARGETED void common_##name(const std::uint64_t* rows, std::size_t words,                    \
                                std::span<const Edge> edges, std::uint32_t* counts) {            \
        common(rows, words, edges, counts);                                                      \
    }                                                                                            \
    TARGETED void residuals_##name(const C& c, const Affine& transform, float* squares,          \
                                   float* agreements) {                                          \
        residuals(c, transform, squares, agreements);                                            \
    }                                                                                            \
    TARGETED Score score_##name(const C& c, const Affine& transform, float coarse, float fine) { \
        return score(c, transform, coarse, fine);                                                \
    }

TROUVAILLE_CONSISTENCY(scalar, )
TROUVAILLE_CONSISTENCY(avx2, TARGET_AVX2)
TROUVAILLE_CONSISTENCY(avx512, TARGET_AVX512)

constexpr ConsistencyKernels scalar{complete_scalar, pairs_scalar, common_scalar, residuals_scalar,
                                    score_scalar};
constexpr ConsistencyKernels avx2{complete_avx2, pairs_avx2, common_avx2, residuals_avx2,
                                  score_avx2};
constexpr ConsistencyKernels avx512{complete_avx512, pairs_avx512, common_avx512, residuals_avx512,
                                    score_avx512};
constexpr const ConsistencyKernels* variants[isa_count] = {&scalar, &avx2, &avx512};

}  // namespace

const ConsistencyKernels& consistency_kernels() {
    return *pick(variants);
}

void Correspondences::reset(std::size_t capacity) {
    stride_ = (capacity + block - 1) / block * block;
    size_ = 0;
    numbers_.assign(columns * stride_, 0.0F);
}

void Correspondences::push(Point query, Point candidate, const Affine& b) {
    const double values[] = {query.x, query.y, candidate.x, candidate.y,
                             b.a11,   b.a12,   b.a21,       b.a22};
    for (std::size_t column = 0; column < std::size(values); ++column)
        numbers_[column * stride_ + size_] = static_cast<float>(values[column]);
    ++size_;
}

void Correspondences::push_from(const Correspondences& other, std::size_t k) {
    for (std::size_t column = 0; column < columns; ++column)
        numbers_[column * stride_ + size_] = other.numbers_[column * other.stride_ + k];
    ++size_;
}

Affine Correspondences::local(std::size_t k) const {
    const C& c = *this;
    Affine t{c[b11][k], c[b12][k], 0, c[b21][k], c[b22][k], 0};
    const Point image = apply(t, query(k)), q = candidate(k);
    t.b1 = q.x - image.x;
    t.b2 = q.y - image.y;
    return t;
}

}  // namespace trouvaille
