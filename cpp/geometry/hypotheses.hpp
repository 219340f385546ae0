// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/simd.hpp"
#include "geometry/matrix3.hpp"
#include "geometry/point_pairs.hpp"

namespace trouvaille {

/// Hypotheses are made sixteen samples at a time, one a lane, whatever the instruction set.
inline constexpr std::size_t batch = 16;

/// A match, or N of them.
template <std::size_t N>
struct Match {
    Floats<N> x, y, u, v;
};

/// The matches of sixteen samples: of[i][c][l] is column c of the i-th match of sample l.
template <std::size_t size, std::size_t columns = PointPairs::point_columns>
struct Samples {
    alignas(64) float of[size][columns][batch];

    template <std::size_t N>
    ALWAYS_INLINE Floats<N> get(std::size_t i, std::size_t column, std::size_t lane) const {
        return load<N>(of[i][column] + lane);
    }

    template <std::size_t N>
    ALWAYS_INLINE Match<N> match(std::size_t i, std::size_t lane) const {
        using P = PointPairs;
        return {get<N>(i, P::x, lane), get<N>(i, P::y, lane), get<N>(i, P::u, lane),
                get<N>(i, P::v, lane)};
    }
};

template <std::size_t size>
using FrameSamples = Samples<size, PointPairs::frame_columns>;

/// Matrices in normalised coordinates, one a lane: of[e][i] is entry e of model i. Entries are of
/// the order of 1.
struct Models {
    static constexpr std::size_t capacity = 3 * batch;
    alignas(64) float of[9][capacity]{};
    std::size_t count = 0;

    Matrix3 operator[](std::size_t i) const {
        Matrix3 m;
        for (std::size_t e = 0; e < 9; ++e) m.of[e] = static_cast<double>(of[e][i]);
        return m;
    }

    void push(const Matrix3& m) {
        for (std::size_t e = 0; e < 9; ++e) of[e][count] = static_cast<float>(m.of[e]);
        ++count;
    }

    /// Adds the lanes that have no bits in `refused`.
    template <std::size_t N>
    ALWAYS_INLINE void push(const Floats<N> (&m)[9], Ints<N> refused) {
        for (std::size_t l = 0; l < N; ++l) {
            for (std::size_t e = 0; e < 9; ++e) of[e][count] = m[e][l];
            count += refused[l] == 0 ? 1 : 0;
        }
    }
};

/// A squared residual as a quotient. It is infinite where the denominator is not positive: behind
/// the camera, say.
template <std::size_t N>
struct Quotient {
    Floats<N> numerator, denominator;
};

/// What a match is worth: a polynomial in the residual over the threshold, from 1 to 0, and its
/// weight in least squares.
struct Loss {
    static constexpr std::size_t terms = 9;
    float gain[terms], weight[terms];
};

}  // namespace trouvaille
