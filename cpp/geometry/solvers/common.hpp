// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/simd.hpp"
#include "geometry/fits.hpp"

namespace trouvaille {

/// Triangles of samples whose doubled area, in normalised coordinates, is below this are taken for
/// lines: half a square pixel in a photo of 1,000.
inline constexpr float least_area = 1e-5F;

template <std::size_t N>
ALWAYS_INLINE Floats<N> twice_area(Floats<N> x0, Floats<N> y0, Floats<N> x1, Floats<N> y1,
                                   Floats<N> x2, Floats<N> y2) {
    return (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0);
}

}  // namespace trouvaille
