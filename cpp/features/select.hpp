// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "features/image.hpp"
#include "features/keypoint.hpp"

namespace trouvaille {

struct SelectOptions {
    std::size_t max_features;
    ImageView<const std::uint8_t> mask;  ///< keypoints centred where it is 0 are left out; or null
    bool spread = false;                 ///< over the photo, rather than the strongest wherever
};

/// The places in `frames` of those to keep, strongest first; of equal responses, the first by row,
/// column and scale; of equal frames, one.
///
/// `spread` keeps the strongest within some distance of each other (adaptive non-maximal
/// suppression, Brown, Szeliski and Winder 2005, over squares): the greatest distance that leaves
/// `max_features`, if it is above a pixel (of a photo of more than 4 megapixels, a 2048th of the
/// root of its area: the table of places takes 16 MiB at most). Requires as many responses as
/// frames, finite, and centres within the photo of `width` x `height` and its mask.
std::vector<std::uint32_t> select(std::span<const Frame> frames, std::span<const float> responses,
                                  std::size_t width, std::size_t height,
                                  const SelectOptions& options);

}  // namespace trouvaille
