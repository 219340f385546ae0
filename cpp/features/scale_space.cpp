// SPDX-License-Identifier: Apache-2.0
#include "features/scale_space.hpp"

#include <algorithm>
#include <cmath>

#include "core/parallel.hpp"
#include "features/gaussian.hpp"

namespace trouvaille {
namespace {

constexpr double photo_sigma = 0.35;  // the blur that a photo is taken to have: sharp, reduced once
constexpr double base_sigma = 1.6;    // of an octave's first layer, in its own pixels
constexpr std::size_t shortest_side = 8;
constexpr std::size_t grain_rows = 64;

double sigma_of(int octave, std::size_t layer) {
    return base_sigma * std::exp2(octave + static_cast<double>(layer) / ScaleSpace::intervals);
}

// Sizes of the levels of resolution, the photo's own first.
std::vector<std::pair<std::size_t, std::size_t>> sizes(std::size_t width, std::size_t height) {
    std::vector<std::pair<std::size_t, std::size_t>> levels{{width, height}};
    for (;;) {
        width = (width + 1) / 2, height = (height + 1) / 2;
        if (std::min(width, height) < shortest_side) return levels;
        levels.emplace_back(width, height);
    }
}

// Zeros right and below, which readers beyond the border weigh with 0.
void finish_row_below(ImageView<float> plane) {
    std::fill_n(plane.row(plane.height), plane.stride + Planes::beyond, 0.0F);
}

template <class T>
void as_floats(ImageView<const T> from, ImageView<float> to, int threads) {
    parallel_for(from.height, grain_rows, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t y = begin; y < end; ++y) {
            std::transform(from.row(y), from.row(y) + from.width, to.row(y),
                           [](T value) { return static_cast<float>(value); });
            std::fill(to.row(y) + to.width, to.row(y) + to.stride, 0.0F);
        }
    });
    finish_row_below(to);
}

void every_second(ImageView<const float> from, ImageView<float> to, int threads) {
    parallel_for(to.height, grain_rows, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t y = begin; y < end; ++y) {
            const float* row = from.row(2 * y);
            for (std::size_t x = 0; x < to.width; ++x) to.at(x, y) = row[2 * x];
            std::fill(to.row(y) + to.width, to.row(y) + to.stride, 0.0F);
        }
    });
    finish_row_below(to);
}

ImageView<const float> read_only(ImageView<float> plane) {
    return {plane.data, plane.width, plane.height, plane.stride};
}

}  // namespace

template <class T>
ScaleSpace::ScaleSpace(ImageView<const T> photo, int first_octave, int threads)
    : width_(photo.width), height_(photo.height), first_octave_(first_octave) {
    const auto levels = sizes(width_, height_);
    // Octaves -1 and 0 are one row of layers at the photo's resolution.
    const std::size_t finest = layers_an_octave + (first_octave < 0 ? intervals : 0);
    const auto layers_of = [&](std::size_t l) { return l == 0 ? finest : layers_an_octave; };
    std::size_t floats = 0;
    for (std::size_t l = 0; l < levels.size(); ++l)
        floats += layers_of(l) * Planes::size(levels[l].first, levels[l].second);
    planes_ = Planes(floats);

    ImageView<float> original;
    for (std::size_t l = 0; l < levels.size(); ++l) {
        const auto [width, height] = levels[l];
        const int octave = l == 0 ? first_octave : static_cast<int>(l);
        const auto step = static_cast<float>(std::exp2(l));
        octaves_.push_back(layers_.size());
        if (l == 0 && first_octave < 0) octaves_.push_back(intervals);
        std::vector<ImageView<float>> planes(layers_of(l));
        for (ImageView<float>& plane : planes) plane = planes_.take(width, height);
        if (l == 0) {  // the photo lies where its last layer will, long after the first needed it
            original = planes.back();
            as_floats(photo, original, threads);
        }
        for (std::size_t i = 0; i < planes.size(); ++i) {
            const ImageView<float> plane = planes[i];
            if (l > 0 && i == 0) {  // of twice the scale that begins the octave before
                every_second(layers_[layers_.size() - intervals].image, plane, threads);
            } else {
                const double before = i == 0 ? photo_sigma : sigma_of(octave, i - 1);
                const double more = std::sqrt(std::pow(sigma_of(octave, i), 2) - before * before);
                blur(i == 0 ? read_only(original) : layers_.back().image, plane,
                     gaussian_taps(more / step), threads);
                finish_row_below(plane);
            }
            layers_.push_back({read_only(plane), static_cast<float>(sigma_of(octave, i)), step});
        }
    }
}

template ScaleSpace::ScaleSpace(ImageView<const std::uint8_t>, int, int);
template ScaleSpace::ScaleSpace(ImageView<const float>, int, int);

const Layer& ScaleSpace::nearest(double sigma) const {
    // The middle layers of the octaves, 1 to `intervals`, in one sequence of growing scale.
    // A singular frame's scale is 0, a huge one's infinite: their logarithms are not to be rounded.
    const double place = std::clamp(std::log2(sigma / base_sigma) * intervals, -1e3, 1e3);
    const auto wanted = std::lround(place) - 1 - first_octave_ * static_cast<long>(intervals);
    const long last = static_cast<long>(octaves() * intervals) - 1;
    // Below and above them are the octave's other layers, of the same step.
    if (wanted < 0) return layers_.front();
    if (wanted > last)
        return layers_[octaves_.back() + intervals +
                       static_cast<std::size_t>(std::min(wanted - last, 2L))];
    const auto [octave, layer] = std::ldiv(wanted, static_cast<long>(intervals));
    return layers_[octaves_[static_cast<std::size_t>(octave)] + 1 +
                   static_cast<std::size_t>(layer)];
}

}  // namespace trouvaille
