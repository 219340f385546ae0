// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "check.hpp"
#include "draw.hpp"
#include "neighbors/exact.hpp"
#include "neighbors/update_centers.hpp"

using namespace trouvaille;
using trouvaille::test::draw;
using trouvaille::test::for_each_isa;
using trouvaille::test::rows_of;

namespace {

// Each point's nearest centre.
template <class T>
struct Assignment {
    std::vector<std::int64_t> labels;
    std::vector<Distance<T>> distances;

    Assignment(MatrixView<const T> points, MatrixView<const T> centers)
        : labels(points.rows), distances(points.rows) {
        exact_neighbors(points, centers, {distances.data(), points.rows, 1},
                        {labels.data(), points.rows, 1}, 1);
    }
};

// The farthest point that an empty cluster may take, or points.rows.
template <class T>
std::size_t farthest(MatrixView<const T> points, const Assignment<T>& assigned,
                     std::span<const std::size_t> taken) {
    const auto may_be_taken = [&](std::size_t i) {
        const auto& labels = assigned.labels;
        return assigned.distances[i] > 0 &&
               std::count(labels.begin(), labels.end(), labels[i]) > 1 &&
               std::none_of(taken.begin(), taken.end(), [&](std::size_t other) {
                   return std::equal(points.row(i), points.row(i + 1), points.row(other));
               });
    };
    std::size_t best = points.rows;
    for (std::size_t i = 0; i < points.rows; ++i)
        if ((best == points.rows || assigned.distances[i] > assigned.distances[best]) &&
            may_be_taken(i))
            best = i;
    return best;
}

template <class T>
std::size_t repair(MatrixView<const T> points, std::size_t clusters, Assignment<T>& assigned) {
    std::vector<std::size_t> taken;
    for (std::int64_t c = 0; c < static_cast<std::int64_t>(clusters); ++c) {
        if (std::count(assigned.labels.begin(), assigned.labels.end(), c) > 0) continue;
        const std::size_t point = farthest<T>(points, assigned, taken);
        if (point == points.rows) break;
        assigned.labels[point] = c;
        taken.push_back(point);
    }
    return taken.size();
}

// Sums in the order of the points; of bytes they are exact in a double.
template <class T>
void set_to_means(MatrixView<const T> points, std::span<const std::int64_t> labels,
                  MatrixView<T> centers) {
    for (std::size_t c = 0; c < centers.rows; ++c)
        for (std::size_t d = 0; d < centers.cols; ++d) {
            double sum = 0, count = 0;
            for (std::size_t i = 0; i < points.rows; ++i) {
                if (labels[i] != static_cast<std::int64_t>(c)) continue;
                sum += points.row(i)[d];
                ++count;
            }
            if (count == 0) continue;
            const double half = std::is_same_v<T, float> ? 0 : 0.5;
            centers.row(c)[d] = static_cast<T>(sum / count + half);
        }
}

// One step of Lloyd's algorithm from the first points as centres; the first `copies` of the centres
// after the first are copies of it, and so have no points.
template <class T>
void check_step(std::size_t n, std::size_t clusters, std::size_t dims, std::size_t copies,
                std::uint64_t limit) {
    Random random(n * 100 + clusters, dims);
    auto numbers = draw<T>(random, n * dims, limit);
    if constexpr (std::is_same_v<T, float>)
        for (float& number : numbers) number /= 7;  // sums are rounded
    const auto points = rows_of(numbers, dims);
    const std::vector<T> first(numbers.begin(),
                               numbers.begin() + static_cast<std::ptrdiff_t>(clusters * dims));
    auto start = first;
    for (std::size_t c = 1; c <= copies; ++c)
        std::copy_n(first.begin(), dims, start.begin() + static_cast<std::ptrdiff_t>(c * dims));

    Assignment<T> repaired(points, rows_of(start, dims));
    const std::size_t n_repaired = repair(points, clusters, repaired);
    auto expected = start;
    set_to_means<T>(points, repaired.labels, {expected.data(), clusters, dims});
    for_each_isa([&] {
        const Assignment<T> assigned(points, rows_of(start, dims));
        for (const int threads : {1, 5}) {
            auto centers = start;
            auto labels = assigned.labels;
            CHECK_EQUAL(update_centers(points, std::span(labels),
                                       std::span<const Distance<T>>(assigned.distances),
                                       MatrixView<T>{centers.data(), clusters, dims}, threads),
                        n_repaired);
            CHECK_EQUAL(labels, repaired.labels);
            CHECK_EQUAL(centers, expected);
        }
    });
}

template <class T>
void check_steps() {
    for (const std::size_t dims : {1, 4, 127, 130})
        for (const std::size_t clusters : {1, 2, 17}) check_step<T>(100, clusters, dims, 0, 256);
    check_step<T>(17, 17, 4, 0, 256);       // each its own centre
    check_step<T>(9'000, 16, 128, 0, 256);  // two chunks
    for (const std::size_t copies : {1, 5, 15}) check_step<T>(60, 16, 4, copies, 256);
    check_step<T>(60, 16, 2, 15, 3);  // fewer distinct points than centres
}

}  // namespace

TEST(update_of_bytes_equals_a_plain_loop) {
    check_steps<std::uint8_t>();
}

TEST(update_of_floats_equals_a_plain_loop) {
    check_steps<float>();
}

TEST(means_of_bytes_round_halves_up) {
    const std::vector<std::uint8_t> points{0, 1, 254, 255, 7};
    std::vector<std::int64_t> labels{0, 0, 1, 1, 2};
    const std::vector<std::int32_t> distances(5, 1);
    std::vector<std::uint8_t> centers(3);
    update_centers(rows_of(points, 1), std::span(labels), std::span(distances),
                   MatrixView<std::uint8_t>{centers.data(), 3, 1}, 1);
    CHECK_EQUAL(centers, (std::vector<std::uint8_t>{1, 255, 7}));
}
