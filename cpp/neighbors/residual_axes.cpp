// SPDX-License-Identifier: Apache-2.0
#include "neighbors/residual_axes.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "neighbors/orthogonal_iteration.hpp"

namespace trouvaille {
namespace {

constexpr float half = 7.5F;
constexpr int largest_weight = 127;

/// Of a normal distribution, the step of 16 that is best, and a little more, for the tails.
constexpr double steps_a_deviation = 0.4;

/// Of the largest step: along an axis with less of one there is nothing but rounding.
constexpr double least_step = 1e-6;

/// No term is larger, nor what a query adds to it: so their sum is finite.
constexpr float largest_term = 0x1p124F, largest_product = 0x1p112F, smallest_unit = 0x1p-120F;

}  // namespace

ResidualAxesData learn_residual_axes(MatrixView<const double> residuals,
                                     std::span<const float> middle) {
    const auto axes = principal_directions<sketch_axes>(residuals);
    std::array<double, sketch_axes> squares{};
    double total = 0;
    for (std::size_t i = 0; i < residuals.rows; ++i) {
        std::array<double, sketch_axes> y{};
        for (std::size_t d = 0; d < residuals.cols; ++d)
            orthogonal::add_scaled(y, residuals.row(i)[d], axes[d]);
        for (std::size_t a = 0; a < sketch_axes; ++a) squares[a] += y[a] * y[a];
        for (std::size_t d = 0; d < residuals.cols; ++d)
            total += residuals.row(i)[d] * residuals.row(i)[d];
    }
    ResidualAxesData data;
    data.middle.assign(middle.begin(), middle.end());
    const auto rows = static_cast<double>(std::max<std::size_t>(residuals.rows, 1));
    const double largest = *std::max_element(squares.begin(), squares.end());
    for (const double square : squares) {
        const bool varies = square > least_step * least_step * largest;
        const double step = varies ? steps_a_deviation * std::sqrt(square / rows) : 0;
        data.steps.push_back(static_cast<float>(std::min(step, 0x1p126)));
    }
    const double held = std::accumulate(squares.begin(), squares.end(), 0.0);
    if (total > 0)
        data.unseen = held > 0 ? static_cast<float>(std::clamp(1 - held / total, 0.0, 1.0)) : 1.0F;
    for (const auto& row : axes)
        for (const double value : row) data.directions.push_back(static_cast<float>(value));
    return data;
}

Sketch sketch(const ResidualAxes& axes, const Projection& residual, const Projection& center) {
    Sketch made;
    made.term = 0;
    for (std::size_t a = 0; a < sketch_axes; ++a) {
        const float step = axes.steps[a], place = step > 0 ? residual[a] / step + 8 : 8;
        made.codes[a] = static_cast<std::uint8_t>(std::max(0.0F, std::min(15.0F, place)));
        const float value = (static_cast<float>(made.codes[a]) - half) * step;
        made.term += value * (value + 2 * center[a]);
    }
    made.term = std::max(-largest_term, std::min(largest_term, made.term));  // NaN: the largest
    return made;
}

SketchedQuery sketch_query(const ResidualAxes& axes, Projection y) {
    SketchedQuery made;
    float largest = 0;
    for (std::size_t a = 0; a < sketch_axes; ++a) {
        y[a] *= axes.steps[a];
        if (!(std::abs(y[a]) <= largest_product)) made.is_blind = true;
        largest = std::max(largest, std::abs(y[a]));
    }
    const float unit = largest / largest_weight;
    if (largest > 0 && unit < smallest_unit) made.is_blind = true;
    if (largest == 0 || made.is_blind) return made;
    made.scale = 2 * unit;
    for (std::size_t a = 0; a < sketch_axes; ++a)
        made.weights[a] = static_cast<std::int8_t>(std::lround(y[a] / unit));
    return made;
}

}  // namespace trouvaille
