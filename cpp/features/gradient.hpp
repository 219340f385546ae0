// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>

#include "core/simd.hpp"

namespace trouvaille {

/// Length and direction of N gradients.
template <std::size_t N>
struct Gradients {
    Floats<N> magnitude;
    /// 0 to 1 of a full turn, anticlockwise as seen (y points down), from the x axis.
    Floats<N> turn;
};

/// Central differences between the columns left and right of `row`, and the rows above and below.
template <std::size_t N>
ALWAYS_INLINE Gradients<N> gradients(const float* above, const float* row, const float* below) {
    const Floats<N> dx = load<N>(row + 1) - load<N>(row - 1), dy = load<N>(above) - load<N>(below);
    // atan(t) / (2 pi) for t in [0, 1], an odd polynomial within 3e-7, then by octants. The least
    // magnitude keeps 0 / 0 away: a zero gradient has direction 0.
    const Floats<N> ax = abs<N>(dx), ay = abs<N>(dy);
    const Floats<N> t = min(ax, ay) / max(max(ax, ay), splat<N>(std::numeric_limits<float>::min()));
    const Floats<N> s = t * t;
    Floats<N> turn = s * -0.00186515F + 0.00837906F;
    turn = s * turn - 0.01852982F;
    turn = s * turn + 0.03080290F;
    turn = s * turn - 0.05293857F;
    turn = s * turn + 0.15915132F;
    turn *= t;
    turn = select<N>(where_negative<N>(bits<N>(ax - ay)), 0.25F - turn, turn);
    turn = select<N>(where_negative<N>(bits<N>(dx)), 0.5F - turn, turn);
    turn = select<N>(where_negative<N>(bits<N>(dy)), 1.0F - turn, turn);
    return {sqrt<N>(dx * dx + dy * dy), turn};
}

}  // namespace trouvaille
