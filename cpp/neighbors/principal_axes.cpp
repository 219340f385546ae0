// SPDX-License-Identifier: Apache-2.0
#include "neighbors/principal_axes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "neighbors/orthogonal_iteration.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t largest_sample = 2'048;
constexpr std::size_t lanes = 8, vectors = axis_count / lanes;
constexpr float middle = 128, last = 255;

// ---- learning ----

using Axes = Directions<axis_count>;

template <class T>
MatrixView<const double> centered_sample(MatrixView<const T> points, std::vector<double>& values,
                                         std::vector<float>& center) {
    const std::size_t rows = std::min(points.rows, largest_sample), dims = points.cols;
    const auto row = [&](std::size_t i) { return points.row(i * points.rows / rows); };
    std::vector<double> mean(dims);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t d = 0; d < dims; ++d) mean[d] += static_cast<double>(row(i)[d]);
    for (std::size_t d = 0; d < dims && rows > 0; ++d)
        center[d] = static_cast<float>(mean[d] / static_cast<double>(rows));
    values.resize(rows * dims);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t d = 0; d < dims; ++d)
            values[i * dims + d] = static_cast<double>(row(i)[d]) - double{center[d]};
    return {values.data(), rows, dims};
}

/// Five standard deviations along the first axis are the codes' range.
float step_for(MatrixView<const double> sample, const Axes& axes) {
    double sum = 0;
    for (std::size_t i = 0; i < sample.rows; ++i) {
        double y = 0;
        for (std::size_t d = 0; d < sample.cols; ++d) y += sample.row(i)[d] * axes[d][0];
        sum += y * y;
    }
    const double rows = static_cast<double>(std::max<std::size_t>(sample.rows, 1));
    const double step = 5.0 / 256 * std::sqrt(sum / rows);
    return step > 0x1p-126 && step < 0x1p126 ? static_cast<float>(step)
                                             : 1.0F;  // else 1 / step overflows
}

// ---- encoding ----

/// y = directions^T (x - center) and |x - center|^2, one dimension after the other.
template <class T>
ALWAYS_INLINE float project(const PrincipalAxes& axes, const T* x, Floats<lanes> (&y)[vectors]) {
    float norm = 0;
    for (auto& v : y) v = Floats<lanes>{};
    for (std::size_t d = 0; d < axes.center.size(); ++d) {
        const float difference = static_cast<float>(x[d]) - axes.center[d];
        const float* direction = axes.directions.row(d);
        norm += difference * difference;
        for (std::size_t v = 0; v < vectors; ++v)
            y[v] += splat<lanes>(difference) * load<lanes>(direction + v * lanes);
    }
    return norm;
}

/// The place on the ruler; what is not a number goes to its end.
ALWAYS_INLINE float place(float y, float scale) {
    return std::max(0.0F, std::min(last, y * scale + middle));
}

template <class T>
ALWAYS_INLINE float encode_rows(const PrincipalAxes& axes, MatrixView<const T> points,
                                Code* codes) {
    float widest = 0;
    const float scale = 1 / axes.step;
    for (std::size_t i = 0; i < points.rows; ++i) {
        Floats<lanes> y[vectors];
        widest = std::max(widest, project(axes, points.row(i), y));
        for (std::size_t a = 0; a < axis_count; ++a)
            codes[i][a] = static_cast<std::uint8_t>(place(y[a / lanes][a % lanes], scale));
    }
    return widest;
}

template <class T>
float encode_scalar(const PrincipalAxes& axes, MatrixView<const T> points, Code* codes) {
    return encode_rows(axes, points, codes);
}
#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 float encode_avx2(const PrincipalAxes& axes, MatrixView<const T> points, Code* codes) {
    return encode_rows(axes, points, codes);
}
template <class T>
constexpr decltype(&encode_scalar<T>) encoders[isa_count] = {encode_scalar<T>, encode_avx2<T>,
                                                             encode_avx2<T>};
#else
template <class T>
constexpr decltype(&encode_scalar<T>) encoders[isa_count] = {encode_scalar<T>, encode_scalar<T>,
                                                             encode_scalar<T>};
#endif

}  // namespace

template <class T>
PrincipalAxesData learn_axes(MatrixView<const T> points) {
    PrincipalAxesData data;
    data.center.resize(points.cols);
    std::vector<double> values;
    const auto sample = centered_sample(points, values, data.center);
    const Axes axes = principal_directions<axis_count>(sample);
    for (const auto& row : axes)
        for (const double value : row) data.directions.push_back(static_cast<float>(value));
    data.step = step_for(sample, axes);
    return data;
}

template <class T>
float encode(const PrincipalAxes& axes, MatrixView<const T> points, std::span<Code> codes,
             int threads) {
    constexpr std::size_t grain = 1'024;
    const auto encode_chunk = pick(encoders<T>);
    std::vector<float> widest((points.rows + grain - 1) / grain);
    parallel_for(points.rows, grain, threads, [&](std::size_t begin, std::size_t end) {
        widest[begin / grain] = encode_chunk(axes, points.slice(begin, end), &codes[begin]);
    });
    return widest.empty() ? 0 : std::sqrt(*std::max_element(widest.begin(), widest.end()));
}

template <class T>
CodedQuery::CodedQuery(const PrincipalAxes& axes, const T* query) {
    const auto dims = static_cast<double>(axes.center.size());
    Floats<lanes> y[vectors];
    lost_ = dims * 0x1p-149;
    const double norm = std::sqrt(double{project(axes, query, y)} + lost_);
    double from_middle = 0;
    for (std::size_t a = 0; a < axis_count; ++a) {
        const float z = place(y[a / lanes][a % lanes], 1 / axes.step);
        code_[a] = static_cast<std::uint8_t>(z);
        const double part = double{z} - code_[a] - 0.5;
        from_middle += part * part;
    }
    // Of a float32 sum of d products each, along 24 axes at the most 5 (d + 4) 2^-24 of the norm.
    const double slack =
        0x1p-21 * (dims + 8) * (norm + double{axes.reach} + std::sqrt(lost_)) / double{axes.step};
    rounding_ = std::sqrt(from_middle) + std::sqrt(axis_count * 0.25) + slack + 1e-3;
    step_ = double{axes.step} * (1 - 1e-5 - 0x1p-24 * (dims / 16 + 8));
}

std::int32_t CodedQuery::limit(double squared_distance) const {
    const double steps = std::sqrt(squared_distance + lost_) / step_ + rounding_;
    const double limit = steps * steps;
    constexpr auto most = std::numeric_limits<std::int32_t>::max();
    return limit < most ? static_cast<std::int32_t>(limit) : most;  // NaN passes all
}

template PrincipalAxesData learn_axes(MatrixView<const std::uint8_t>);
template PrincipalAxesData learn_axes(MatrixView<const float>);
template float encode(const PrincipalAxes&, MatrixView<const std::uint8_t>, std::span<Code>, int);
template float encode(const PrincipalAxes&, MatrixView<const float>, std::span<Code>, int);
template CodedQuery::CodedQuery(const PrincipalAxes&, const std::uint8_t*);
template CodedQuery::CodedQuery(const PrincipalAxes&, const float*);

}  // namespace trouvaille
