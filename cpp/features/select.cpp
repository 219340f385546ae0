// SPDX-License-Identifier: Apache-2.0
#include "features/select.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <tuple>

#include "core/interrupt.hpp"

namespace trouvaille {
namespace {

using Places = std::vector<std::uint32_t>;

std::size_t pixel(float coordinate, std::size_t size) {
    return static_cast<std::size_t>(
        std::clamp(std::lround(coordinate), 0L, static_cast<long>(size) - 1));
}

// Those of `places`, in order, that do not lie in a square of side 2 * distance around one kept
// before; the first `most`.
Places suppressed(std::span<const Frame> frames, const Places& places, std::size_t width,
                  std::size_t height, float distance, std::size_t most, InterruptPoll& poll) {
    const float cell = distance / 2;  // a keypoint covers the cells within two of its own
    const auto columns = static_cast<std::size_t>(static_cast<float>(width) / cell) + 1;
    const auto rows = static_cast<std::size_t>(static_cast<float>(height) / cell) + 1;
    std::vector<char> covered(rows * columns);
    poll.did(covered.size() / 64);
    Places kept;
    for (const std::uint32_t i : places) {
        poll.did(1);
        const auto along = [&](float coordinate, std::size_t cells) {
            return std::min(static_cast<std::size_t>(std::max(coordinate, 0.0F) / cell), cells - 1);
        };
        const std::size_t column = along(frames[i].x, columns), row = along(frames[i].y, rows);
        if (covered[row * columns + column] != 0) continue;
        kept.push_back(i);
        if (kept.size() == most) break;
        const std::size_t left = column - std::min<std::size_t>(column, 2);
        const std::size_t right = std::min(column + 3, columns);
        for (std::size_t r = row - std::min<std::size_t>(row, 2); r < std::min(row + 3, rows); ++r)
            std::fill(covered.begin() + static_cast<std::ptrdiff_t>(r * columns + left),
                      covered.begin() + static_cast<std::ptrdiff_t>(r * columns + right), 1);
    }
    return kept;
}

Places spread(std::span<const Frame> frames, const Places& places, std::size_t width,
              std::size_t height, std::size_t most, InterruptPoll& poll) {
    constexpr int halvings = 12;
    constexpr float side_cells = 4096;  // of a square photo, at most: 16 MiB
    const float area = static_cast<float>(width) * static_cast<float>(height);
    const float least = std::max(1.0F, 2 * std::sqrt(area) / side_cells);  // pixels
    float near = least, far = static_cast<float>(std::max(width, height));
    Places kept = places;
    for (int i = 0; i < halvings && far > near * 1.02F; ++i) {
        const float middle = std::sqrt(near * far);
        Places tried = suppressed(frames, places, width, height, middle, most, poll);
        if (tried.size() < most) {
            far = middle;
        } else {
            near = middle;
            kept = std::move(tried);
        }
    }
    return kept;
}

}  // namespace

Places select(std::span<const Frame> frames, std::span<const float> responses, std::size_t width,
              std::size_t height, const SelectOptions& options) {
    InterruptPoll poll;
    Places places(frames.size());
    std::iota(places.begin(), places.end(), std::uint32_t{0});
    if (options.mask.data != nullptr)
        std::erase_if(places, [&](std::uint32_t i) {
            poll.did(1);
            return options.mask.at(pixel(frames[i].x, width), pixel(frames[i].y, height)) == 0;
        });
    const auto key = [&](std::uint32_t i) {
        return std::tuple(-responses[i], frames[i].y, frames[i].x, frames[i].scale(), i);
    };
    const auto before = [&](std::uint32_t i, std::uint32_t j) {
        poll.did(1);  // within sorting, too, which takes the longest
        return responses[i] != responses[j] ? responses[i] > responses[j] : key(i) < key(j);
    };
    // What cannot be among them is not sorted, unless there turn out to be doubles.
    const std::size_t some = 2 * std::min(options.max_features, places.size());
    Places weakest;
    if (!options.spread && some < places.size()) {
        const auto middle = places.begin() + static_cast<std::ptrdiff_t>(some);
        std::nth_element(places.begin(), middle, places.end(), before);
        weakest.assign(middle, places.end());
        places.erase(middle, places.end());
    }
    // Two samples may have led to one extremum.
    const auto same = [&](std::uint32_t i, std::uint32_t j) {
        return std::memcmp(&frames[i], &frames[j], sizeof(Frame)) == 0;
    };
    const auto sort_once_each = [&] {
        std::sort(places.begin(), places.end(), before);
        places.erase(std::unique(places.begin(), places.end(), same), places.end());
    };
    sort_once_each();
    if (places.size() < options.max_features && !weakest.empty()) {
        places.insert(places.end(), weakest.begin(), weakest.end());
        sort_once_each();
    }
    const std::size_t most = std::min(options.max_features, places.size());
    if (options.spread && most < places.size())
        places = spread(frames, places, width, height, most, poll);
    places.resize(most);
    return places;
}

}  // namespace trouvaille
