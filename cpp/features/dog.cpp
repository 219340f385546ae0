// SPDX-License-Identifier: Apache-2.0
#include "features/dog.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/cpu.hpp"
#include "core/parallel.hpp"
#include "core/simd.hpp"
#include "core/target.hpp"
#include "features/extremum.hpp"
#include "features/gaussian.hpp"

namespace trouvaille {
namespace {

// Difference r, 0 to intervals + 1, is that of layers r + 1 and r; its neighbours in scale are
// r - 1 and r + 1, so extrema are looked for at 1 to `intervals`. N values from (x, y), which may
// lie up to 15 beyond the width.
template <std::size_t N>
ALWAYS_INLINE Floats<N> difference(Octave octave, std::size_t r, std::size_t x, std::size_t y) {
    return load<N>(octave[r + 1].image.row(y) + x) - load<N>(octave[r].image.row(y) + x);
}

constexpr std::size_t differences = ScaleSpace::intervals + 2;
constexpr std::size_t chunk_rows = 64;

// Three rows of each difference, used in turn: row y in place y % 3. Vectors may be read and
// written beyond the width, by `pad` values.
class Ring {
  public:
    static constexpr std::size_t pad = 64;

    explicit Ring(std::size_t width) : stride_(padded_stride(width) + 2 * pad) {
        buffer().resize(std::max(buffer().size(), 3 * differences * stride_));
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
template <std::size_t N>
ALWAYS_INLINE Ints<N> candidates(const float* below, const float* up, const float* row,
                                 const float* down, const float* above, float low) {
    const Floats<N> v = load<N>(row), limit = splat<N>(low);
    const Floats<N> a = load<N>(row - 1), b = load<N>(up), c = load<N>(below);
    const Floats<N> d = load<N>(row + 1), e = load<N>(down), f = load<N>(above);
    Ints<N> found = bits<N>(max(max(a, b), max(c, limit)) - v) & ~bits<N>(v - max(max(d, e), f));
    found |= bits<N>(v - min(min(a, b), min(c, -limit))) & ~bits<N>(min(min(d, e), f) - v);
    return where_negative<N>(found);
}

// The twenty neighbours that `candidates` leaves; `sign` turns a minimum into a maximum.
bool extremal(const Ring& ring, std::size_t r, std::size_t x, std::size_t y, float sign) {
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

// Places are counted in `1 / grid` pixels. In octave -1 the grid is 2: its Gaussians hold all their
// frequencies at whole pixels, but a quadratic through neighbours a sigma apart is no fit.
std::size_t grid_of(Octave octave) {
    return octave[0].sigma < 1.2F * octave[0].step ? std::size_t{2} : std::size_t{1};
}

// A place on the grid of an octave, in a response.
struct Place {
    std::size_t r, x, y;

    // Moves, and says whether that is a place where extrema are looked for.
    bool move(std::ptrdiff_t dr, std::ptrdiff_t dx, std::ptrdiff_t dy, Octave octave) {
        const std::size_t grid = grid_of(octave), margin = border * grid;
        r += static_cast<std::size_t>(dr), x += static_cast<std::size_t>(dx);
        y += static_cast<std::size_t>(dy);  // below 0 wraps round to beyond the end
        return r >= 1 && r <= ScaleSpace::intervals && x >= margin && y >= margin &&
               x < octave[0].image.width * grid - margin &&
               y < octave[0].image.height * grid - margin;
    }
};

void at_pixels(Octave octave, const Place& at, Neighbourhood& to) {
    for (std::size_t k = 0; k < 3; ++k)
        for (std::size_t i = 0; i < 3; ++i)
            for (std::size_t j = 0; j < 3; ++j)
                to.values[k][i][j] =
                    difference<1>(octave, at.r + k - 1, at.x + j - 1, at.y + i - 1)[0];
}

// Half a pixel after the third of six values: exact for quintics.
template <class T>
ALWAYS_INLINE T between(T a, T b, T c, T d, T e, T f) {
    return ((c + d) * 150.0F - (b + e) * 25.0F + (a + f) * 3.0F) * (1 / 256.0F);
}

// Places (x, y) in half pixels: even ones lie on pixels, odd ones are interpolated, first along
// columns, then along rows.
void between_pixels(Octave octave, const Place& place, Neighbourhood& to) {
    constexpr std::size_t side = 8, half = 4;  // six taps around places half a pixel apart
    using Four = Floats<half>;
    const auto [r, x, y] = place;
    const std::size_t left = (x - 1) / 2 - 2, top = (y - 1) / 2 - 2;
    for (std::size_t k = 0; k < 3; ++k) {
        float rows[3][side];
        for (std::size_t j = 0; j < side; j += half) {
            Four p[side];
            for (std::size_t i = 0; i < side; ++i)
                p[i] = difference<half>(octave, r + k - 1, left + j, top + i);
            for (std::size_t i = 0; i < 3; ++i) {
                const std::size_t at = y - 1 + i;
                const Four* q = p + (at / 2 - 2 - top);
                store(rows[i] + j,
                      at % 2 == 0 ? q[2] : between(q[0], q[1], q[2], q[3], q[4], q[5]));
            }
        }
        for (std::size_t j = 0; j < 3; ++j) {
            const std::size_t at = x - 1 + j, first = at / 2 - 2 - left;
            for (std::size_t i = 0; i < 3; ++i) {
                const float* p = rows[i] + first;
                to.values[k][i][j] =
                    at % 2 == 0 ? p[2] : between(p[0], p[1], p[2], p[3], p[4], p[5]);
            }
        }
    }
}

// Moves to the neighbour whose value is furthest from 0, if it is further than the middle's:
// `moved` says so. False if that leaves the octave.
bool climb(const Neighbourhood& near, Octave octave, Place& at, bool& moved) {
    const double sign = near.values[1][1][1] > 0 ? 1 : -1;
    double best = sign * near.values[1][1][1];
    std::ptrdiff_t dr = 0, dx = 0, dy = 0;
    for (std::ptrdiff_t k = 0; k < 3; ++k)
        for (std::ptrdiff_t i = 0; i < 3; ++i)
            for (std::ptrdiff_t j = 0; j < 3; ++j)
                if (sign * near.values[k][i][j] > best)
                    best = sign * near.values[k][i][j], dr = k - 1, dy = i - 1, dx = j - 1;
    moved = dr != 0 || dx != 0 || dy != 0;
    return !moved || at.move(dr, dx, dy, octave);
}

bool strong_and_no_edge(const Extremum& found, const DogOptions& options) {
    const double ratio = options.max_edge_ratio;
    return std::abs(found.value) >= options.threshold && found.determinant > 0 &&
           found.trace * found.trace * ratio < (ratio + 1) * (ratio + 1) * found.determinant;
}

// The extremum near an extremal pixel of the octave: to the greatest value on a grid of half
// pixels, if the octave is that fine, and then by Newton's steps on the quadratic through the 27
// neighbours (Brown and Lowe 2002). False if it lies elsewhere, is weak or an edge.
bool refine(Octave octave, Place at, const DogOptions& options, Keypoint& keypoint) {
    const std::size_t grid = grid_of(octave);
    const int most_moves = grid == 1 ? 5 : 8;
    // Between two places, each one's quadratic may put the extremum nearer to the other: at half a
    // place, one extremum in ten would be passed to and fro. Now one in four hundred, at the border
    // of two octaves, is found in both.
    constexpr double furthest = 0.7;
    at.x *= grid, at.y *= grid;
    bool moved = grid > 1;
    for (int step = 0; step < most_moves; ++step) {
        Neighbourhood near;
        if (grid == 1)
            at_pixels(octave, at, near);
        else
            between_pixels(octave, at, near);
        if (moved) {
            if (!climb(near, octave, at, moved)) return false;
            if (moved) continue;
        }
        Extremum found;
        if (!fit(near, found)) return false;
        const auto [dx, dy, ds] = std::array{found.dx, found.dy, found.ds};
        if (std::max({std::abs(dx), std::abs(dy), std::abs(ds)}) <= furthest) {
            if (!strong_and_no_edge(found, options)) return false;
            const double pixels = octave[0].step / static_cast<double>(grid);
            const auto sigma = static_cast<float>(
                octave[at.r].sigma * std::exp2(ds / static_cast<double>(ScaleSpace::intervals)));
            const auto x = static_cast<float>((static_cast<double>(at.x) + dx) * pixels);
            const auto y = static_cast<float>((static_cast<double>(at.y) + dy) * pixels);
            keypoint = {{sigma, 0, x, 0, sigma, y}, static_cast<float>(std::abs(found.value))};
            return true;
        }
        // Steps are whole places; an unbounded one is a singular system, not a distant extremum.
        if (!(std::abs(dx) < 8 && std::abs(dy) < 8 && std::abs(ds) < 4)) return false;
        if (!at.move(std::lround(ds), std::lround(dx), std::lround(dy), octave)) return false;
    }
    return false;
}

// Pixels of one row of response r at which an extremum is, in order.
template <std::size_t N>
ALWAYS_INLINE void scan_row(Octave octave, const Ring& ring, std::size_t r, std::size_t y,
                            const DogOptions& options, std::int8_t* marks,
                            std::vector<Place>& found) {
    const std::size_t begin = border, end = octave[0].image.width - border;
    const float *below = ring.row(r - 1, y), *above = ring.row(r + 1, y), *row = ring.row(r, y);
    const float *up = ring.row(r, y - 1), *down = ring.row(r, y + 1);
    // The interpolated response may be greater than the sample: half is let through.
    const float low = options.threshold / 2;
    using Marks = typename VectorOf<std::int8_t, N>::type;
    for (std::size_t x = begin; x < end; x += N) {
        const auto mask = candidates<N>(below + x, up + x, row + x, down + x, above + x, low);
        store(marks + (x - begin), __builtin_convertvector(mask, Marks));
    }
    std::fill(marks + (end - begin), marks + (end - begin) + 8, std::int8_t{0});
    static_assert(std::endian::native == std::endian::little);
    for (std::size_t i = 0; i < end - begin; i += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, marks + i, sizeof eight);
        while (eight != 0) {
            const auto k = static_cast<std::size_t>(std::countr_zero(eight)) / 8;
            eight &= ~(std::uint64_t{0xFF} << 8 * k);
            const std::size_t x = begin + i + k;
            if (extremal(ring, r, x, y, row[x] > 0 ? 1.0F : -1.0F)) found.push_back({r, x, y});
        }
    }
}

// Extrema in rows [begin, end) of an octave.
template <std::size_t N>
ALWAYS_INLINE void scan(Octave octave, std::size_t begin, std::size_t end,
                        const DogOptions& options, Keypoints& found) {
    const Ring ring(octave[0].image.width);
    std::vector<std::int8_t> marks(octave[0].image.width + 32);
    const auto fill = [&](std::size_t y) __attribute__((always_inline)) {
        for (std::size_t r = 0; r < differences; ++r)
            for (std::size_t x = 0; x < octave[0].image.width; x += N)
                store(ring.row(r, y) + x, difference<N>(octave, r, x, y));
    };
    // A place is refined some rows later, when all that it needs has come into the cache, in order,
    // and is still there.
    constexpr std::size_t delay = 5;
    std::vector<Place> places;
    std::size_t refined = 0;
    const auto refine_up_to = [&](std::size_t y) {
        for (; refined < places.size() && places[refined].y < y; ++refined) {
            Keypoint keypoint;
            if (refine(octave, places[refined], options, keypoint)) found.push_back(keypoint);
        }
    };
    fill(begin - 1);
    fill(begin);
    for (std::size_t y = begin; y < end; ++y) {
        fill(y + 1);
        for (std::size_t r = 1; r <= ScaleSpace::intervals; ++r)
            scan_row<N>(octave, ring, r, y, options, marks.data(), places);
        refine_up_to(y + 1 - std::min(y + 1, delay));
    }
    refine_up_to(end);
}

using Scan = void (*)(Octave, std::size_t, std::size_t, const DogOptions&, Keypoints&);

void scan_scalar(Octave o, std::size_t begin, std::size_t end, const DogOptions& options,
                 Keypoints& found) {
    scan<4>(o, begin, end, options, found);
}
#if TROUVAILLE_X86
TARGET_AVX2 void scan_avx2(Octave o, std::size_t begin, std::size_t end, const DogOptions& options,
                           Keypoints& found) {
    scan<8>(o, begin, end, options, found);
}
TARGET_AVX512 void scan_avx512(Octave o, std::size_t begin, std::size_t end,
                               const DogOptions& options, Keypoints& found) {
    scan<16>(o, begin, end, options, found);
}
constexpr Scan variants[isa_count] = {scan_scalar, scan_avx2, scan_avx512};
#else
constexpr Scan variants[isa_count] = {scan_scalar, nullptr, nullptr};
#endif

}  // namespace

Keypoints detect_dog(const ScaleSpace& space, const DogOptions& options, int threads) {
    const auto scan = pick(variants);
    // Octaves of one resolution share layers, and are looked at in turn while those are in the
    // cache.
    struct Chunk {
        std::size_t first_octave, last_octave, begin, end;
        Keypoints found;
    };
    std::vector<Chunk> chunks;
    for (std::size_t first = 0, last; first < space.octaves(); first = last + 1) {
        const Layer& layer = space.octave(first)[0];
        last = first;
        while (last + 1 < space.octaves() && space.octave(last + 1)[0].step == layer.step) ++last;
        const auto [width, height] = std::pair(layer.image.width, layer.image.height);
        if (width <= 2 * border || height <= 2 * border) continue;
        const std::size_t end = height - border;
        for (std::size_t y = border; y < end; y += chunk_rows)
            chunks.push_back({first, last, y, std::min(y + chunk_rows, end), {}});
    }
    parallel_for(chunks.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t o = chunks[i].first_octave; o <= chunks[i].last_octave; ++o)
                scan(space.octave(o), chunks[i].begin, chunks[i].end, options, chunks[i].found);
    });
    Keypoints all;
    for (const Chunk& chunk : chunks) all.insert(all.end(), chunk.found.begin(), chunk.found.end());
    return all;
}

}  // namespace trouvaille
