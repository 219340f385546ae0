// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille {

/// How many axes a point's code has: a byte each. Of SIFT's variance they hold 79 %.
inline constexpr std::size_t axis_count = 24;

using Code = std::array<std::uint8_t, axis_count>;

/// The directions of greatest variance of some points, and a ruler along them: the code of x is
///
///     floor(clamp(y / step + 128, 0, 255)),   y = directions^T (x - center).
///
/// The directions (dims rows of `axis_count`) are orthonormal, or zero where there are not so many;
/// so codes cannot be farther apart than points, but for rounding: see `CodedQuery`.
struct PrincipalAxes {
    std::span<const float> center;
    MatrixView<const float> directions;
    float step = 1;
    float reach = 0;  ///< the greatest |x - center| of the points
};

/// The arrays behind PrincipalAxes.
struct PrincipalAxesData {
    std::vector<float> center, directions;
    float step = 1, reach = 0;

    PrincipalAxes view() const {
        return {center, {directions.data(), center.size(), axis_count}, step, reach};
    }
};

/// Learns axes from at most 2,048 of `points`, evenly spaced, in float64 and one fixed order. All
/// but `reach`, which `encode` finds. Time 2,048 * dims * axis_count * 20 multiply-adds at most.
template <class T>
PrincipalAxesData learn_axes(MatrixView<const T> points);

/// Writes the code of each point, and returns the greatest |x - center|. The same bits on every
/// instruction set and for any number of threads.
template <class T>
float encode(const PrincipalAxes& axes, MatrixView<const T> points, std::span<Code> codes,
             int threads);

/// A query's code, and what codes say of distances: if |query - x|^2 <= d for a point x, then the
/// squared distance of their codes (in whole steps, no difference along an axis counted beyond
/// `largest_difference`) is at most limit(d).
///
/// Why: projection and clamping bring points no farther apart; rounding down moves a code by what
/// is known for the query, and for x by at most half a step an axis from the middle.
class CodedQuery {
  public:
    static constexpr std::int32_t largest_difference = 127;

    CodedQuery() = default;
    template <class T>
    CodedQuery(const PrincipalAxes& axes, const T* query);

    const Code& code() const { return code_; }
    std::int32_t limit(double squared_distance) const;

  private:
    Code code_{};
    double step_ = 1;      // a little less, for the rounding of directions and distances
    double rounding_ = 0;  // steps
    double lost_ = 0;      // of a squared distance where products underflow, at most
};

}  // namespace trouvaille
