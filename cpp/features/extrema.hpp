// SPDX-License-Identifier: Apache-2.0
#pragma once

// Extrema of a response over space and scale, written once for every response. A response is a type
// with
//
//     static constexpr bool minima;            // look for minima as well as maxima
//     template <std::size_t N>                 // row y of response r, 0 to intervals + 1, at the
//     static void row(octave, r, y, float*);   // octave's whole width (up to 15 values more)
//     static float value(octave, r, x, y);     // one value of it, the same bits
//
// Response r has its neighbours in scale at r - 1 and r + 1; extrema are looked for at 1 to
// `intervals`.

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "features/gaussian.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

/// What counts as an extremum.
struct ExtremaOptions {
    float threshold;       ///< of the interpolated response's magnitude
    float max_edge_ratio;  ///< of the principal curvatures of the response; above lies an edge
};

using Octave = std::span<const Layer>;

/// Pixels at an octave's border where nothing is looked for.
inline constexpr std::size_t extrema_border = 5;

namespace extrema {

inline constexpr std::size_t responses = ScaleSpace::intervals + 2;
inline constexpr std::size_t chunk_rows = 64;

/// Three rows of each response, used in turn: row y in place y % 3. Vectors may be read and written
/// beyond the width, by `pad` values.
class Ring {
  public:
    static constexpr std::size_t pad = 64;

    explicit Ring(std::size_t width) : stride_(padded_stride(width) + 2 * pad) {
        buffer().resize(std::max(buffer().size(), 3 * responses * stride_));
    }
    float* row(std::size_t r, std::size_t y) const {
        return buffer().data() + (3 * r + y % 3) * stride_ + pad;
    }

  private:
    static std::vector<float>& buffer() {
        thread_local std::vector<float> values;
        return values;
    }
    std::size_t stride_;
};

// Of N pixels: -1 where the middle one is beyond `low` and its four neighbours in space and two in
// scale, or beneath -low and them. Of equal neighbours the first in order of scale, row and column
// counts as the extremum.
template <std::size_t N, bool minima>
ALWAYS_INLINE Ints<N> candidates(const float* below, const float* up, const float* row,
                                 const float* down, const float* above, float low) {
    const Floats<N> v = load<N>(row), limit = splat<N>(low);
    const Floats<N> a = load<N>(row - 1), b = load<N>(up), c = load<N>(below);
    const Floats<N> d = load<N>(row + 1), e = load<N>(down), f = load<N>(above);
    Ints<N> found = bits<N>(max(max(a, b), max(c, limit)) - v) & ~bits<N>(v - max(max(d, e), f));
    if constexpr (minima)
        found |= bits<N>(v - min(min(a, b), min(c, -limit))) & ~bits<N>(min(min(d, e), f) - v);
    return where_negative<N>(found);
}

// The twenty neighbours that `candidates` leaves; `sign` turns a minimum into a maximum.
inline bool extremal(const Ring& ring, std::size_t r, std::size_t x, std::size_t y, float sign) {
    const float v = sign * ring.row(r, y)[x];
    const float *up = ring.row(r, y - 1) + x, *down = ring.row(r, y + 1) + x;
    if (!(v > sign * up[-1] && v > sign * up[1] && v >= sign * down[-1] && v >= sign * down[1]))
        return false;
    for (std::size_t row = y - 1; row <= y + 1; ++row) {
        const float *below = ring.row(r - 1, row) + x, *above = ring.row(r + 1, row) + x;
        for (std::ptrdiff_t k = -1; k <= 1; ++k)
            if (!(v > sign * below[k] && v >= sign * above[k])) return false;
    }
    return true;
}

/// The place and value of the extremum near (x, y) of response r: Newton's steps on the quadratic
/// through the 27 neighbours (Brown and Lowe 2002). False if it lies elsewhere, is weak or an edge.
template <class Response>
bool refine(Octave octave, std::size_t r, std::size_t x, std::size_t y,
            const ExtremaOptions& options, Keypoint& keypoint) {
    const ImageView<const float>& image = octave[0].image;
    constexpr int most_moves = 5;
    for (int move = 0; move < most_moves; ++move) {
        const auto at = [&](std::ptrdiff_t dr, std::ptrdiff_t dx, std::ptrdiff_t dy) {
            return static_cast<double>(Response::value(
                octave, static_cast<std::size_t>(static_cast<std::ptrdiff_t>(r) + dr),
                static_cast<std::size_t>(static_cast<std::ptrdiff_t>(x) + dx),
                static_cast<std::size_t>(static_cast<std::ptrdiff_t>(y) + dy)));
        };
        const double v = at(0, 0, 0);
        const double gx = (at(0, 1, 0) - at(0, -1, 0)) / 2, gy = (at(0, 0, 1) - at(0, 0, -1)) / 2;
        const double gs = (at(1, 0, 0) - at(-1, 0, 0)) / 2;
        const double xx = at(0, 1, 0) + at(0, -1, 0) - 2 * v;
        const double yy = at(0, 0, 1) + at(0, 0, -1) - 2 * v;
        const double ss = at(1, 0, 0) + at(-1, 0, 0) - 2 * v;
        const double xy = (at(0, 1, 1) - at(0, -1, 1) - at(0, 1, -1) + at(0, -1, -1)) / 4;
        const double xs = (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0)) / 4;
        const double ys = (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1)) / 4;
        // Cramer's rule for the symmetric 3 x 3 system.
        const double a = yy * ss - ys * ys, b = xs * ys - xy * ss, c = xy * ys - xs * yy;
        const double determinant = xx * a + xy * b + xs * c;
        if (determinant == 0) return false;
        const double e = xx * ss - xs * xs, f = xy * xs - xx * ys, g = xx * yy - xy * xy;
        const double dx = -(a * gx + b * gy + c * gs) / determinant;
        const double dy = -(b * gx + e * gy + f * gs) / determinant;
        const double ds = -(c * gx + f * gy + g * gs) / determinant;
        if (std::abs(dx) <= 0.5 && std::abs(dy) <= 0.5 && std::abs(ds) <= 0.5) {
            const double response = std::abs(v + (gx * dx + gy * dy + gs * ds) / 2);
            const double ratio = options.max_edge_ratio, trace = xx + yy;
            if (response < options.threshold || g <= 0 ||
                trace * trace * ratio >= (ratio + 1) * (ratio + 1) * g)
                return false;
            const double step = octave[0].step;
            const double sigma =
                octave[r].sigma * std::exp2(ds / static_cast<double>(ScaleSpace::intervals));
            keypoint = {{static_cast<float>(sigma), 0,
                         static_cast<float>((static_cast<double>(x) + dx) * step), 0,
                         static_cast<float>(sigma),
                         static_cast<float>((static_cast<double>(y) + dy) * step)},
                        static_cast<float>(response)};
            return true;
        }
        // Steps are whole pixels; an unbounded one is a singular system, not a distant extremum.
        if (!(std::abs(dx) < 8 && std::abs(dy) < 8 && std::abs(ds) < 4)) return false;
        const auto moved = [](std::size_t from, double by) {
            return static_cast<std::ptrdiff_t>(from) + std::lround(by);
        };
        const auto nx = moved(x, dx), ny = moved(y, dy), nr = moved(r, ds);
        const auto border = static_cast<std::ptrdiff_t>(extrema_border);
        if (nr < 1 || nr > static_cast<std::ptrdiff_t>(ScaleSpace::intervals) || nx < border ||
            ny < border || nx >= static_cast<std::ptrdiff_t>(image.width) - border ||
            ny >= static_cast<std::ptrdiff_t>(image.height) - border)
            return false;
        x = static_cast<std::size_t>(nx), y = static_cast<std::size_t>(ny);
        r = static_cast<std::size_t>(nr);
    }
    return false;
}

// Pixels of one row at which an extremum is, in order.
template <class Response, std::size_t N>
ALWAYS_INLINE void scan_row(Octave octave, const Ring& ring, std::size_t r, std::size_t y,
                            const ExtremaOptions& options, std::int8_t* marks, Keypoints& found) {
    const std::size_t begin = extrema_border, end = octave[0].image.width - extrema_border;
    const float *below = ring.row(r - 1, y), *above = ring.row(r + 1, y), *row = ring.row(r, y);
    const float *up = ring.row(r, y - 1), *down = ring.row(r, y + 1);
    // The interpolated response may be greater than the sample: half is let through.
    const float low = options.threshold / 2;
    using Marks = typename VectorOf<std::int8_t, N>::type;
    for (std::size_t x = begin; x < end; x += N) {
        const auto mask =
            candidates<N, Response::minima>(below + x, up + x, row + x, down + x, above + x, low);
        store(marks + (x - begin), __builtin_convertvector(mask, Marks));
    }
    std::fill(marks + (end - begin), marks + (end - begin) + 8, std::int8_t{0});
    for (std::size_t i = 0; i < end - begin; i += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, marks + i, sizeof eight);
        if (eight == 0) continue;
        for (std::size_t k = i; k < i + 8; ++k) {
            if (marks[k] == 0) continue;
            const std::size_t x = begin + k;
            Keypoint keypoint;
            if (extremal(ring, r, x, y, row[x] > 0 ? 1.0F : -1.0F) &&
                refine<Response>(octave, r, x, y, options, keypoint))
                found.push_back(keypoint);
        }
    }
}

// Extrema in rows [begin, end) of an octave.
template <class Response, std::size_t N>
ALWAYS_INLINE void scan(Octave octave, std::size_t begin, std::size_t end,
                        const ExtremaOptions& options, Keypoints& found) {
    const Ring ring(octave[0].image.width);
    std::vector<std::int8_t> marks(octave[0].image.width + 32);
    const auto fill = [&](std::size_t y) __attribute__((always_inline)) {
        for (std::size_t r = 0; r < responses; ++r)
            Response::template row<N>(octave, r, y, ring.row(r, y));
    };
    fill(begin - 1);
    fill(begin);
    for (std::size_t y = begin; y < end; ++y) {
        fill(y + 1);
        for (std::size_t r = 1; r <= ScaleSpace::intervals; ++r)
            scan_row<Response, N>(octave, ring, r, y, options, marks.data(), found);
    }
}

using Scan = void (*)(Octave, std::size_t, std::size_t, const ExtremaOptions&, Keypoints&);

/// Runs `scan` over every octave of `space`, in chunks of rows; in order of octave and chunk.
inline Keypoints find(const ScaleSpace& space, const ExtremaOptions& options, Scan scan,
                      int threads) {
    struct Chunk {
        std::size_t octave, begin, end;
        Keypoints found;
    };
    std::vector<Chunk> chunks;
    for (std::size_t o = 0; o < space.octaves(); ++o) {
        const ImageView<const float>& image = space.octave(o)[0].image;
        if (image.width <= 2 * extrema_border || image.height <= 2 * extrema_border) continue;
        const std::size_t end = image.height - extrema_border;
        for (std::size_t y = extrema_border; y < end; y += chunk_rows)
            chunks.push_back({o, y, std::min(y + chunk_rows, end), {}});
    }
    parallel_for(chunks.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            scan(space.octave(chunks[i].octave), chunks[i].begin, chunks[i].end, options,
                 chunks[i].found);
    });
    Keypoints all;
    for (const Chunk& chunk : chunks) all.insert(all.end(), chunk.found.begin(), chunk.found.end());
    return all;
}

}  // namespace extrema
}  // namespace trouvaille
