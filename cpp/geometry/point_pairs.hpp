// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"
#include "geometry/matrix3.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {

/// x' = (x - centre) * scale, in one photo.
struct Normalization {
    double x = 0, y = 0, scale = 1;

    Matrix3 matrix() const { return {{scale, 0, -x * scale, 0, scale, -y * scale, 0, 0, 1}}; }
    Matrix3 inverse() const { return {{1 / scale, 0, x, 0, 1 / scale, y, 0, 0, 1}}; }
};

/// Matched points as a robust estimator works on them: in a random order (so that the first few
/// stand for all), moved and scaled to numbers near 1, in float32 for judging hypotheses and in
/// float64 for fitting. Columns are padded to whole blocks of points that no model explains.
class PointPairs {
  public:
    static constexpr std::size_t block = 64;
    enum Column : std::size_t {
        x,
        y,
        u,
        v,
        point_columns,
        b11 = point_columns,
        b12,
        b21,
        b22,  // B = A_second A_first^-1: what the frames alone say of the map
        frame_columns
    };

    /// Rows are x, y, or frames a11 a12 x a21 a22 y, finite, at least one. With `alike`, both
    /// photos are scaled by the same number, as the Sampson distance asks for.
    PointPairs(MatrixView<const double> first, MatrixView<const double> second, bool alike,
               std::uint64_t seed);

    std::size_t size() const { return order_.size(); }
    std::size_t blocks() const { return stride_ / block; }
    const float* floats(Column c) const { return floats_.data() + c * stride_; }
    const double* doubles(Column c) const { return doubles_.data() + c * stride_; }
    Point first(std::size_t k) const { return {doubles(x)[k], doubles(y)[k]}; }
    Point second(std::size_t k) const { return {doubles(u)[k], doubles(v)[k]}; }

    std::span<const std::uint32_t> order() const { return order_; }  ///< row of each place
    const Normalization& of_first() const { return first_; }
    const Normalization& of_second() const { return second_; }

    bool has_frames() const { return floats_.size() > point_columns * stride_; }
    /// The places whose frames are regular; all places, if there are only points.
    std::span<const std::uint32_t> regular() const { return regular_; }

  private:
    void fill_frames(MatrixView<const double> first, MatrixView<const double> second);
    void fill(Column c, MatrixView<const double> rows, std::size_t column, double centre,
              double scale);

    std::size_t stride_ = 0;
    std::vector<std::uint32_t> order_, regular_;
    std::vector<float> floats_;
    std::vector<double> doubles_;
    Normalization first_, second_;
};

}  // namespace trouvaille
