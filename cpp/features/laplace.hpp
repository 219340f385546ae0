// SPDX-License-Identifier: Apache-2.0
#pragma once

// Laplace scale selection (Lindeberg, IJCV 1998; Mikolajczyk and Schmid, IJCV 2004): of the places
// that are maxima of some response over space, those count at which the Laplacian of the photo is
// an extremum over scale.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille::laplace {

/// Rows y - 1, y and y + 1 of a response, readable one value before x = 0 and whole vectors after
/// the width.
struct Rows {
    const float *up, *at, *down;
};

/// The magnitude of sigma^2 (Lxx + Lyy) in one layer.
inline float laplacian(const Layer& layer, std::size_t x, std::size_t y) {
    const ImageView<const float>& image = layer.image;
    const float* at = image.row(y) + x;
    const float sum = (at[-1] + at[1]) + (*(at - image.stride) + at[image.stride]) - 4 * *at;
    const float sigma = layer.sigma / layer.step;
    return sigma * sigma * std::abs(sum);
}

/// Where the parabola through (-1, a), (0, b), (1, c), with b the greatest, has its peak.
inline float peak(float a, float b, float c) {
    const float curvature = a - 2 * b + c;
    return curvature < 0 ? std::clamp((a - c) / (2 * curvature), -0.5F, 0.5F) : 0.0F;
}

/// Where the quadratic through a maximum and its eight neighbours has its peak, off the middle.
inline std::pair<float, float> peak(const Rows& rows, std::size_t x) {
    const float *up = rows.up + x, *at = rows.at + x, *down = rows.down + x;
    const float gx = 0.5F * (at[1] - at[-1]), gy = 0.5F * (*down - *up);
    const float xx = (at[1] - 2 * *at) + at[-1], yy = (*down - 2 * *at) + *up;
    const float xy = 0.25F * ((down[1] - down[-1]) - (up[1] - up[-1]));
    const float determinant = xx * yy - xy * xy;
    if (!(determinant > 0)) return {0.0F, 0.0F};
    return {std::clamp((xy * gy - yy * gx) / determinant, -0.5F, 0.5F),
            std::clamp((xy * gx - xx * gy) / determinant, -0.5F, 0.5F)};
}

/// Appends the maxima of row y, x ascending, at which the Laplacian of layer `k` is above those of
/// its neighbours, 1 <= k <= 4; both are refined by quadratics. `marks` is scratch for the width
/// and a vector.
template <std::size_t N>
ALWAYS_INLINE void scan_row(Octave octave, std::size_t k, std::size_t y, const Rows& rows,
                            float threshold, std::int8_t* marks, Keypoints& found) {
    const std::size_t begin = border, end = octave[0].image.width - border;
    using Marks = typename VectorOf<std::int8_t, N>::type;
    // Of equal neighbours the first in order of row and column counts as the maximum.
    for (std::size_t x = begin; x < end; x += N) {
        const float *up = rows.up + x, *at = rows.at + x, *down = rows.down + x;
        const Floats<N> v = load<N>(at);
        const Floats<N> before =
            max(max(max(load<N>(up - 1), load<N>(up)), max(load<N>(up + 1), load<N>(at - 1))),
                splat<N>(threshold));
        const Floats<N> after =
            max(max(load<N>(at + 1), load<N>(down - 1)), max(load<N>(down), load<N>(down + 1)));
        const Ints<N> maxima = where_negative<N>(bits<N>(before - v) & ~bits<N>(v - after));
        store(marks + (x - begin), __builtin_convertvector(maxima, Marks));
    }
    std::fill_n(marks + (end - begin), sizeof(std::uint64_t), std::int8_t{0});
    for (std::size_t x = begin; x < end; ++x) {
        std::uint64_t eight;
        std::memcpy(&eight, marks + (x - begin), sizeof eight);
        if (eight == 0) {
            x += sizeof eight - 1;
            continue;
        }
        if (marks[x - begin] == 0) continue;
        const float here = laplacian(octave[k], x, y), below = laplacian(octave[k - 1], x, y);
        if (!(here > below)) continue;
        const float above = laplacian(octave[k + 1], x, y);
        if (!(here >= above)) continue;
        const auto [dx, dy] = peak(rows, x);
        const float ds = peak(below, here, above);
        const float step = octave[k].step;
        const auto sigma = static_cast<float>(
            octave[k].sigma *
            std::exp2(static_cast<double>(ds) / static_cast<double>(ScaleSpace::intervals)));
        found.push_back({{sigma, 0, (static_cast<float>(x) + dx) * step, 0, sigma,
                          (static_cast<float>(y) + dy) * step},
                         rows.at[x]});
    }
}

/// Some rows of one level: what a response is computed for at once.
struct Chunk {
    std::size_t o;  ///< the octave's number
    Octave octave;
    std::size_t level;  ///< 0 to ScaleSpace::intervals - 1
    std::size_t begin, end;
    float threshold;
};

/// Drops what is found twice: of two keypoints less than half the stronger one's scale apart, whose
/// own scales are within a factor of 1.4, the weaker; of equal ones the later. A place may be a
/// maximum at neighbouring scales; without this one in four was another's double. The order stays.
inline void thin(Keypoints& keypoints) {
    constexpr float reach = 0.5F, max_ratio = 1.4F;
    struct Place {
        float x, y, scale, response;
        std::size_t index;
    };
    std::vector<Place> by_x;
    for (const Keypoint& k : keypoints)
        by_x.push_back({k.frame.x, k.frame.y, k.frame.a11, k.response, by_x.size()});
    std::ranges::sort(by_x, [](const Place& a, const Place& b) {
        return a.x < b.x || (a.x == b.x && a.index < b.index);
    });
    std::vector<std::pair<float, std::size_t>> by_strength;  // places in by_x
    for (const Place& place : by_x) by_strength.emplace_back(place.response, by_strength.size());
    std::ranges::sort(by_strength, [&](const auto& a, const auto& b) {
        return a.first > b.first ||
               (a.first == b.first && by_x[a.second].index < by_x[b.second].index);
    });
    std::vector<char> dropped(keypoints.size(), 0);
    InterruptPoll poll;
    for (const auto& [response, i] : by_strength) {
        const Place& kept = by_x[i];
        if (dropped[kept.index]) continue;
        const float radius = reach * kept.scale;
        const auto check = [&](const Place& other) {
            const float dx = other.x - kept.x, dy = other.y - kept.y;
            if (dx * dx + dy * dy < radius * radius && other.scale < max_ratio * kept.scale &&
                kept.scale < max_ratio * other.scale)
                dropped[other.index] = 1;
        };
        std::size_t left = i, right = i + 1;
        while (left > 0 && kept.x - by_x[left - 1].x < radius) check(by_x[--left]);
        while (right < by_x.size() && by_x[right].x - kept.x < radius) check(by_x[right++]);
        poll.did(right - left);
    }
    std::size_t i = 0;
    std::erase_if(keypoints, [&](const Keypoint&) { return dropped[i++] != 0; });
}

/// Calls scan(chunk, found) for every octave from number `first` on, level and `chunk_rows` rows,
/// and joins what it found in that order, thinned.
template <class Scan>
Keypoints find(const ScaleSpace& space, std::size_t first, std::size_t chunk_rows, float threshold,
               int threads, Scan scan) {
    std::vector<Chunk> chunks;
    for (std::size_t o = first; o < space.octaves(); ++o) {
        const Octave octave = space.octave(o);
        const ImageView<const float>& image = octave[0].image;
        if (std::min(image.width, image.height) <= 2 * border) continue;
        const std::size_t end = image.height - border;
        // Levels innermost: each looks at the rows of its neighbours, which are still in a cache.
        for (std::size_t y = border; y < end; y += chunk_rows)
            for (std::size_t level = 0; level < ScaleSpace::intervals; ++level)
                chunks.push_back({o, octave, level, y, std::min(y + chunk_rows, end), threshold});
    }
    std::vector<Keypoints> parts(chunks.size());
    parallel_for(chunks.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) scan(chunks[i], parts[i]);
    });
    Keypoints all;
    for (const Keypoints& part : parts) all.insert(all.end(), part.begin(), part.end());
    thin(all);
    return all;
}

}  // namespace trouvaille::laplace
