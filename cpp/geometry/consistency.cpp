// SPDX-License-Identifier: Apache-2.0
#include "geometry/consistency.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/cpu.hpp"
#include "core/simd.hpp"
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

// What the test of a pair needs of N matches, or N times of one.
template <std::size_t N>
struct Lanes {
    Floats<N> x, y, u, v, cosine, sine, area;

    ALWAYS_INLINE static Lanes from(const C& c, std::size_t k) {
        return {load<N>(c[C::x] + k),   load<N>(c[C::y] + k),      load<N>(c[C::u] + k),
                load<N>(c[C::v] + k),   load<N>(c[C::cosine] + k), load<N>(c[C::sine] + k),
                load<N>(c[C::area] + k)};
    }
    ALWAYS_INLINE static Lanes copies(const C& c, std::size_t k) {
        return {splat<N>(c[C::x][k]),   splat<N>(c[C::y][k]),      splat<N>(c[C::u][k]),
                splat<N>(c[C::v][k]),   splat<N>(c[C::cosine][k]), splat<N>(c[C::sine][k]),
                splat<N>(c[C::area][k])};
    }
};

// Negative where matches i and j are not consistent. Symmetric bit for bit: swapping them changes
// the signs of p and q, and no more. A condition a >= b is the sign of a - b, which must not be
// NaN, as that has any sign: `turn` is made -1 unless pp qq is finite, and then no two that are
// compared are both infinite.
template <std::size_t N>
ALWAYS_INLINE Ints<N> consistent(const Lanes<N>& i, const Lanes<N>& j, float min_square) {
    const Floats<N> px = j.x - i.x, py = j.y - i.y, qx = j.u - i.u, qy = j.v - i.v;
    const Floats<N> pp = px * px + py * py, qq = qx * qx + qy * qy;
    // q / p as complex numbers, times |p|^2, and its cosines with both frames, times |p| |q|.
    const Floats<N> re = px * qx + py * qy, im = px * qy - py * qx;
    const Floats<N> cosine = min(re * i.cosine + im * i.sine, re * j.cosine + im * j.sine);
    const Floats<N> smallest = min(i.area, j.area), largest = max(i.area, j.area);
    const Floats<N> turn = max(cosine * cosine - min_cosine_squared * pp * qq, splat<N>(-1));
    return bits<N>(qq - min_square) | bits<N>(cosine) | bits<N>(turn) |
           bits<N>(max_length_ratio * pp * smallest - qq) |
           bits<N>(max_length_ratio * qq - largest * pp);
}

// Lanes are rows j, and bits of a lane are columns i, 32 at a time: no comparison is ever gathered
// from lanes into bits. A tile is some rows, so that a column is spread over lanes once for all.
template <std::size_t N>
struct PairTile {
    static constexpr std::size_t blocks = 8, rows = blocks * N, columns = 32;

    Ints<N> found[blocks] = {};

    // Columns [begin, end) of the rows from `row` that come before each: i >= j, and a few more.
    ALWAYS_INLINE void test(const C& c, std::size_t row, std::size_t begin, std::size_t end,
                            float min_square) {
        const std::size_t first = begin / columns * columns;
        for (std::size_t i = begin; i < end; ++i) {
            const auto column = Lanes<N>::copies(c, i);
            const auto bit = static_cast<std::int32_t>(std::uint32_t{1} << (i - first));
            const std::size_t n_blocks = std::min(blocks, (i - row) / N + 1);
            for (std::size_t b = 0; b < n_blocks; ++b) {
                const auto pair = consistent(column, Lanes<N>::from(c, row + b * N), min_square);
                found[b] |= ~where_negative<N>(pair) & bit;
            }
        }
    }
};

template <std::size_t N>
ALWAYS_INLINE std::size_t pairs(const C& c, float min_baseline, std::size_t words,
                                std::uint64_t* rows) {
    using Tile = PairTile<N>;
    for (std::size_t row = 0; row < c.size(); row += Tile::rows) {
        const std::size_t last_row = std::min(row + Tile::rows, c.size());
        for (std::size_t begin = row; begin < c.size();) {
            const std::size_t word = begin / Tile::columns;
            const std::size_t end = std::min((word + 1) * Tile::columns, c.size());
            Tile tile;
            tile.test(c, row, begin, end, min_baseline * min_baseline);
            std::uint32_t found[Tile::rows];
            std::memcpy(found, tile.found, sizeof found);
            for (std::size_t j = row; j < std::min(last_row, end); ++j)
                rows[j * words + word / 2] |= std::uint64_t{found[j - row]} << (word % 2 * 32);
            begin = end;
        }
        for (std::size_t j = row; j < last_row; ++j)  // only i > j
            rows[j * words + j / 64] &= ~std::uint64_t{1} << (j % 64);
    }
    std::size_t count = 0;
    for (std::size_t w = 0; w < c.size() * words; ++w)
        count += static_cast<std::size_t>(std::popcount(rows[w]));
    return count;
}

ALWAYS_INLINE std::uint32_t common(const std::uint64_t* rows, std::size_t words,
                                   std::span<const Edge> edges, std::uint32_t* counts) {
    std::uint32_t most = 0;
    for (std::size_t e = 0; e < edges.size(); ++e) {
        const std::uint64_t* a = rows + edges[e].first * words;
        const std::uint64_t* b = rows + edges[e].second * words;
        int bits = 0;
        for (std::size_t w = 0; w < words; ++w) bits += std::popcount(a[w] & b[w]);
        counts[e] = static_cast<std::uint32_t>(bits);
        most = std::max(most, counts[e]);
    }
    return most;
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

ALWAYS_INLINE void residuals(const C& c, const Affine& transform, float limit, float* squares,
                             float* agreements, std::uint8_t* near) {
    const Hypothesis t(transform);
    const std::size_t n = c.blocks() * C::block;
    for (std::size_t k = 0; k < n; ++k) squares[k] = square(c, t, k);
    for (std::size_t k = 0; k < n; ++k) agreements[k] = agreement(c, t, k);
    for (std::size_t k = 0; k < n; ++k) near[k] = (squares[k] <= limit) & (agreements[k] > 0);
}

struct ProjectiveHypothesis {
    float h11, h12, h13, h21, h22, h23, h31, h32, h33;

    explicit ProjectiveHypothesis(const Matrix3& h)
        : h11(static_cast<float>(h(0, 0))),
          h12(static_cast<float>(h(0, 1))),
          h13(static_cast<float>(h(0, 2))),
          h21(static_cast<float>(h(1, 0))),
          h22(static_cast<float>(h(1, 1))),
          h23(static_cast<float>(h(1, 2))),
          h31(static_cast<float>(h(2, 0))),
          h32(static_cast<float>(h(2, 1))),
          h33(static_cast<float>(h(2, 2))) {}
};

ALWAYS_INLINE void projective_residuals(const C& c, const Matrix3& transform, float limit,
                                        float* squares, float* agreements, std::uint8_t* near) {
    const ProjectiveHypothesis h(transform);
    const std::size_t n = c.blocks() * C::block;
    const float *x = c[C::x], *y = c[C::y], *u = c[C::u], *v = c[C::v];
    const float *cosine = c[C::cosine], *sine = c[C::sine], *area = c[C::area],
                *per_area = c[C::per_area];
    for (std::size_t k = 0; k < n; ++k) {
        const float depth = h.h31 * x[k] + h.h32 * y[k] + h.h33, per_depth = 1 / depth;
        const float qx = (h.h11 * x[k] + h.h12 * y[k] + h.h13) * per_depth;
        const float qy = (h.h21 * x[k] + h.h22 * y[k] + h.h23) * per_depth;
        const float dx = qx - u[k], dy = qy - v[k];
        squares[k] = dx * dx + dy * dy;
        // The tangent's linear part, its determinant, and its rotation as re + i im.
        const float a11 = (h.h11 - qx * h.h31) * per_depth, a12 = (h.h12 - qx * h.h32) * per_depth;
        const float a21 = (h.h21 - qy * h.h31) * per_depth, a22 = (h.h22 - qy * h.h32) * per_depth;
        const float determinant = a11 * a22 - a12 * a21, re = a11 + a22, im = a21 - a12;
        const float length = std::sqrt(re * re + im * im + std::numeric_limits<float>::min());
        const float turn = (re * cosine[k] + im * sine[k]) / length;
        const float stretch = area[k] / determinant + per_area[k] * determinant - 2;
        const float agreement = 1 - stretch * per_stretch - (1 - turn) * per_cosine;
        agreements[k] = (depth > 0) & (determinant > 0) ? agreement : -1;
    }
    for (std::size_t k = 0; k < n; ++k) near[k] = (squares[k] <= limit) & (agreements[k] > 0);
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

#define TROUVAILLE_CONSISTENCY(name, lanes, TARGETED)                                            \
    TARGETED void complete_##name(C& c) {                                                        \
        complete(c);                                                                             \
    }                                                                                            \
    TARGETED std::size_t pairs_##name(const C& c, float min_baseline, std::size_t words,         \
                                      std::uint64_t* rows) {                                     \
        return pairs<lanes>(c, min_baseline, words, rows);                                       \
    }                                                                                            \
    TARGETED std::uint32_t common_##name(const std::uint64_t* rows, std::size_t words,           \
                                         std::span<const Edge> edges, std::uint32_t* counts) {   \
        return common(rows, words, edges, counts);                                               \
    }                                                                                            \
    TARGETED void residuals_##name(const C& c, const Affine& transform, float limit,             \
                                   float* squares, float* agreements, std::uint8_t* near) {      \
        residuals(c, transform, limit, squares, agreements, near);                               \
    }                                                                                            \
    TARGETED void projective_residuals_##name(const C& c, const Matrix3& transform, float limit, \
                                              float* squares, float* agreements,                 \
                                              std::uint8_t* near) {                              \
        projective_residuals(c, transform, limit, squares, agreements, near);                    \
    }                                                                                            \
    TARGETED Score score_##name(const C& c, const Affine& transform, float coarse, float fine) { \
        return score(c, transform, coarse, fine);                                                \
    }

TROUVAILLE_CONSISTENCY(scalar, 4, )
TROUVAILLE_CONSISTENCY(avx2, 8, TARGET_AVX2)
TROUVAILLE_CONSISTENCY(avx512, 16, TARGET_AVX512)

constexpr ConsistencyKernels scalar{
    complete_scalar, pairs_scalar, common_scalar, residuals_scalar, projective_residuals_scalar,
    score_scalar};
constexpr ConsistencyKernels avx2{
    complete_avx2, pairs_avx2, common_avx2, residuals_avx2, projective_residuals_avx2, score_avx2};
constexpr ConsistencyKernels avx512{
    complete_avx512, pairs_avx512, common_avx512, residuals_avx512, projective_residuals_avx512,
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
