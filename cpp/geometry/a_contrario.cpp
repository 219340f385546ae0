// SPDX-License-Identifier: Apache-2.0
#include "geometry/a_contrario.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace trouvaille {
namespace {

constexpr std::size_t max_pairs = 256;
constexpr double near_share = 0.1;  // of pairs: those that tell how crowded points are

// The distance that near_share of them are below; 0 if there are none.
double near_distance(std::vector<double>& distances) {
    if (distances.empty()) return 0;
    const auto place = static_cast<std::size_t>(near_share * static_cast<double>(distances.size()));
    const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(place);
    std::nth_element(distances.begin(), middle, distances.end());
    return *middle;
}

// Calls visit(q_i - q_j) for pairs of different second points, whose order is random.
template <class Visit>
void for_some_pairs(const PointPairs& points, Visit visit) {
    const std::size_t n = points.size();
    std::size_t visited = 0;
    for (std::size_t lag = 1; lag < n && visited < max_pairs; ++lag)
        for (std::size_t i = 0; i + lag < n && visited < max_pairs; ++i, ++visited) {
            const Point a = points.second(i), b = points.second(i + lag);
            if (a.x != b.x || a.y != b.y) visit(Point{a.x - b.x, a.y - b.y});
        }
}

double log_of_samples(std::size_t n, std::size_t size) {
    double log = 0;
    for (std::size_t i = 0; i < size; ++i)
        log += std::log(static_cast<double>(n - i) / static_cast<double>(i + 1));
    return log;
}

}  // namespace

std::size_t independent(const PointPairs& points, std::span<const std::uint32_t> places,
                        double cell) {
    std::vector<std::pair<double, double>> cells;
    const auto count = [&](auto point_of) {
        cells.clear();
        for (const std::uint32_t k : places) {
            const Point p = point_of(k);
            cells.emplace_back(std::floor(p.x / cell), std::floor(p.y / cell));
        }
        std::sort(cells.begin(), cells.end());
        return static_cast<std::size_t>(std::unique(cells.begin(), cells.end()) - cells.begin());
    };
    return std::min(count([&](std::size_t k) { return points.first(k); }),
                    count([&](std::size_t k) { return points.second(k); }));
}

double chance_of_a_match(const PointPairs& points, double distance, std::size_t dimensions) {
    constexpr double most = 0.99;
    std::vector<double> distances;
    if (dimensions == 2) {
        for_some_pairs(points, [&](Point d) { distances.push_back(d.x * d.x + d.y * d.y); });
        return std::min(most, near_share * distance * distance / near_distance(distances));
    }
    // Sampson's distance moves both points: it is within the threshold where the second point alone
    // is within root two of it.
    const double band = std::numbers::sqrt2 * distance;
    double chance = 0;
    for (const Point normal : {Point{1, 0}, Point{0, 1}, Point{0.8, 0.6}, Point{-0.6, 0.8}}) {
        distances.clear();
        for_some_pairs(points, [&](Point d) {
            distances.push_back(std::abs(d.x * normal.x + d.y * normal.y));
        });
        chance = std::max(chance, near_share * band / near_distance(distances));
    }
    return std::min(most, chance);
}

bool is_chance(std::size_t n_inliers, std::size_t n, std::size_t sample_size, std::size_t freedom,
               double chance, std::uint64_t models) {
    if (n_inliers < sample_size) return true;
    const auto others = static_cast<double>(n - sample_size);
    const auto explained = static_cast<double>(n_inliers - sample_size);
    if (explained <= others * chance) return true;
    const double q = explained / others;
    const double exponent =
        q * std::log(q / chance) + (q < 1 ? (1 - q) * std::log((1 - q) / (1 - chance)) : 0);
    const double tried =
        std::min(std::log(static_cast<double>(models)) + static_cast<double>(freedom),
                 log_of_samples(n, sample_size));
    return tried - others * exponent > std::log(0.01);
}

}  // namespace trouvaille
