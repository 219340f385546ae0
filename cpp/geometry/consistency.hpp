// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "geometry/transforms.hpp"

namespace trouvaille {

/// Matched pairs of frames, one array a number, each padded with zeros to whole blocks, so that
/// loops run over blocks of 16 without a remainder. Padding has cosine and sine 0,
/// and so is consistent with nothing.
class Correspondences {
  public:
    static constexpr std::size_t block = 16;
    enum Column : std::size_t {
        x,
        y,  // centre in the query
        u,
        v,  // centre in the candidate
        b11,
        b12,
        b21,
        b22,  // B = A_candidate A_query^-1: what this match alone says of the map
        cosine,
        sine,  // the rotation of B
        area,
        per_area,  // det B and its inverse
        columns
    };

    void reset(std::size_t capacity);
    /// Then `complete`.
    void push(Point query, Point candidate, const Affine& b) {
        float* at = numbers_.data() + size_++;
        for (const double number :
             {query.x, query.y, candidate.x, candidate.y, b.a11, b.a12, b.a21, b.a22}) {
            *at = static_cast<float>(number);
            at += stride_;
        }
    }
    void push_from(const Correspondences& other, std::size_t k);

    std::size_t size() const { return size_; }
    std::size_t blocks() const { return (size_ + block - 1) / block; }
    float* operator[](Column c) { return numbers_.data() + c * stride_; }
    const float* operator[](Column c) const { return numbers_.data() + c * stride_; }

    Point query(std::size_t k) const { return {(*this)[x][k], (*this)[y][k]}; }
    Point candidate(std::size_t k) const { return {(*this)[u][k], (*this)[v][k]}; }
    Affine local(std::size_t k) const;  ///< B, with the translation that maps centre to centre

  private:
    std::vector<float> numbers_;
    std::size_t size_ = 0, stride_ = 0;
};

/// Detectors are noisy: about 0.25 in the logarithm of scale and 12 degrees in angle. A pair of
/// matches may disagree by three times that in each,
inline constexpr double max_pair_log_scale = 0.75, max_pair_degrees = 36;
/// and a match with a transform by 3.5 times that in both together.
inline constexpr double max_log_scale = 0.875, max_degrees = 42;

/// A pair of matches.
struct Edge {
    std::uint32_t first, second;
};

/// What a transform explains, in units of 1 / score_unit of a match.
struct Score {
    std::int64_t coarse = 0, fine = 0;
};

inline constexpr std::int64_t score_unit = 1024;

/// The loops of this file, compiled for one instruction set. Every operation on floats is the same
/// on each of them and sums are of integers, so the results are equal bit for bit.
struct ConsistencyKernels {
    /// Fills the columns that follow from B: cosine, sine, area, per_area.
    void (*complete)(Correspondences& c);

    /// Sets bit j of row i (rows of `words` words) where j > i and matches i and j support each
    /// other. Let p and q be the vector from centre i to centre j in the query and in the
    /// candidate. Then |q| / |p| and the angle from p to q differ from the scale, sqrt(det B), and
    /// the rotation of either frame by at most max_pair_log_scale and max_pair_degrees, and
    /// |q| >= min_baseline. The bits must be clear, and det B within 1e-4 and 1e4 but for padding.
    /// Returns how many it sets.
    std::size_t (*pairs)(const Correspondences& c, float min_baseline, std::size_t words,
                         std::uint64_t* rows);

    /// counts[e] = the number of bits that the rows of both ends of edge e have in common.
    /// Returns the greatest of them, 0 if there is none.
    std::uint32_t (*common)(const std::uint64_t* rows, std::size_t words,
                            std::span<const Edge> edges, std::uint32_t* counts);

    /// squares[k] = |T p_k - q_k|^2, in squared pixels of the candidate, and
    /// agreements[k] = 1 - sinh(s)^2 / sinh(max_log_scale)^2 - (1 - cos a) / (1 - cos max_degrees),
    /// where s and a are the log-scale and the angle by which B_k differs from T: 1 at best, not
    /// positive where the frame contradicts T, and quadratic between (sinh^2 and 1 - cos need no
    /// logarithm and no arc). near[k] = 1 where squares[k] <= limit and agreements[k] > 0, else 0.
    /// Whole blocks are written.
    void (*residuals)(const Correspondences& c, const Affine& transform, float limit,
                      float* squares, float* agreements, std::uint8_t* near);

    /// The same of a homography: agreements with its tangent at p_k, and -1 where p_k is on the
    /// horizon or beyond it, or the tangent mirrors.
    void (*projective_residuals)(const Correspondences& c, const Matrix3& transform, float limit,
                                 float* squares, float* agreements, std::uint8_t* near);

    /// For each of two thresholds, the sum over k of trunc(1024 (1 - squares[k] / threshold^2)
    /// agreements[k]), where both factors are positive: a truncated score as in Torr, Zisserman.
    /// MLESAC. CVIU 2000.
    Score (*score)(const Correspondences& c, const Affine& transform, float coarse, float fine);
};

/// Those of the active instruction set.
const ConsistencyKernels& consistency_kernels();

}  // namespace trouvaille
