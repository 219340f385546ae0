// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"
#include "features/keypoint.hpp"
#include "features/scale_space.hpp"

namespace trouvaille {

struct CsLbpOptions {
    float magnification = 3;  ///< side of one of the 4 x 4 cells, in units of the frame's axes
    bool root = true;         ///< square roots of the histogram's shares; else of unit length
};

inline constexpr std::size_t cs_lbp_dimensions = 256;

/// The centre-symmetric local binary patterns of each frame (Heikkila, Pietikainen and Schmid,
/// "Description of interest regions with local binary patterns", Pattern Recognition 2009), affine
/// or not: row i describes frames[i].
///
/// The photo is sampled in the frame's plane, from the layer of half its scale, at 48 x 48 places,
/// 11 a cell. Eight neighbours lie on a circle of two samples around each of the inner 44 x 44,
/// anticlockwise as seen from the frame's x axis, the diagonal ones interpolated. Bit i of the
/// pattern, i = 0 to 3, is set where neighbour i exceeds the opposite one, i + 4, by more than 0.01
/// of the range of gray levels of all samples. Each pattern counts in the four nearest of
/// 4 x 4 cells, shared bilinearly, all samples alike. The histogram becomes bytes as that of
/// `describe_sift` does. The order: cells by row and column of the frame's plane (y, then x), in
/// each the 16 patterns. A frame whose samples are all equal gives zeros.
///
/// The paper's regions are 41 x 41 samples, about 10 a cell; its gray levels are of the photo's
/// range, not of the patch's, and its histograms have no roots.
///
/// Requires finite frames, and descriptors of frames.size() rows and `cs_lbp_dimensions` columns.
/// The same bits on every instruction set and for any number of threads.
void describe_cs_lbp(const ScaleSpace& space, std::span<const Frame> frames,
                     const CsLbpOptions& options, MatrixView<std::uint8_t> descriptors,
                     int threads);

}  // namespace trouvaille
