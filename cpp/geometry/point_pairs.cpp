// SPDX-License-Identifier: Apache-2.0
#include "geometry/point_pairs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.hpp"

namespace trouvaille {
namespace {

// Where padding is: farther than any point that hypotheses are judged by, and no image of itself
// that a simple map (the identity, a shift, a turn) would explain.
constexpr float beyond[PointPairs::point_columns] = {1.3e9F, -0.7e9F, -0.4e9F, 1.1e9F};
constexpr double farthest = 1e6;       // of the points that hypotheses are judged by
constexpr double smallest = 1e-90;     // difference: matrices of its inverse are in range
constexpr std::size_t n_sampled = 31;  // points, for a centre and a scale

double median(std::vector<double>& values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// Of a sample: medians, so that a few wild points do not cost the others their precision.
Normalization normalization(MatrixView<const double> rows, std::span<const std::uint32_t> order) {
    const std::size_t place_of_x = rows.cols == 6 ? 2 : 0, place_of_y = rows.cols == 6 ? 5 : 1;
    const std::size_t n = std::min(order.size(), n_sampled);
    std::vector<double> xs, ys, distances;
    for (std::size_t i = 0; i < n; ++i) {
        xs.push_back(rows.row(order[i])[place_of_x]);
        ys.push_back(rows.row(order[i])[place_of_y]);
    }
    Normalization result{median(xs), median(ys), 1};
    const auto spread = [&](std::size_t row) {
        return std::max(std::abs(rows.row(row)[place_of_x] - result.x),
                        std::abs(rows.row(row)[place_of_y] - result.y));
    };
    for (std::size_t i = 0; i < n; ++i) distances.push_back(spread(order[i]));
    double unit = median(distances);
    if (unit == 0)  // most points are one
        for (std::size_t row = 0; row < rows.rows; ++row) unit = std::max(unit, spread(row));
    if (unit > smallest) result.scale = 1 / unit;
    return result;
}

std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t seed) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    Random random(seed, ~std::uint64_t{0});  // trials have the other streams
    for (std::size_t i = n; i > 1; --i) {
        const std::uint64_t j = std::uint64_t{random.next()} * i >> 32;  // n is below 2^32
        std::swap(order[i - 1], order[j]);
    }
    return order;
}

}  // namespace

PointPairs::PointPairs(MatrixView<const double> first, MatrixView<const double> second, bool alike,
                       std::uint64_t seed)
    : stride_((first.rows + block - 1) / block * block),
      order_(shuffled(first.rows, seed)),
      floats_((first.cols == 6 ? frame_columns : point_columns) * stride_),
      doubles_(point_columns * stride_),
      first_(normalization(first, order_)),
      second_(normalization(second, order_)) {
    if (alike) first_.scale = second_.scale = std::min(first_.scale, second_.scale);
    const bool frames = first.cols == 6;
    fill(x, first, frames ? 2 : 0, first_.x, first_.scale);
    fill(y, first, frames ? 5 : 1, first_.y, first_.scale);
    fill(u, second, frames ? 2 : 0, second_.x, second_.scale);
    fill(v, second, frames ? 5 : 1, second_.y, second_.scale);
    if (frames) {
        fill_frames(first, second);
    } else {
        regular_.resize(size());
        std::iota(regular_.begin(), regular_.end(), 0U);
    }
}

void PointPairs::fill_frames(MatrixView<const double> first, MatrixView<const double> second) {
    const double scale = second_.scale / first_.scale;
    for (std::size_t k = 0; k < size(); ++k) {
        const auto frame_of = [&](MatrixView<const double> rows) {
            const double* row = rows.row(order_[k]);
            return Affine{row[0], row[1], 0, row[3], row[4], 0};
        };
        const Affine from = frame_of(first), to = frame_of(second);
        if (!is_regular(from) || !is_regular(to)) continue;
        const Affine b = compose(to, inverse(from));
        const double entries[] = {b.a11 * scale, b.a12 * scale, b.a21 * scale, b.a22 * scale};
        const double largest = std::max({std::abs(entries[0]), std::abs(entries[1]),
                                         std::abs(entries[2]), std::abs(entries[3])});
        if (!(largest > 1 / farthest && largest < farthest)) continue;
        regular_.push_back(static_cast<std::uint32_t>(k));
        for (std::size_t i = 0; i < 4; ++i)
            floats_[(b11 + i) * stride_ + k] = static_cast<float>(entries[i]);
    }
}

void PointPairs::fill(Column c, MatrixView<const double> rows, std::size_t column, double centre,
                      double scale) {
    for (std::size_t k = 0; k < size(); ++k) {
        const double value = (rows.row(order_[k])[column] - centre) * scale;
        doubles_[c * stride_ + k] = value;
        floats_[c * stride_ + k] = static_cast<float>(std::clamp(value, -farthest, farthest));
    }
    for (std::size_t k = size(); k < stride_; ++k) floats_[c * stride_ + k] = beyond[c];
}

}  // namespace trouvaille
