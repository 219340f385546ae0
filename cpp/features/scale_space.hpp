// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "features/image.hpp"
#include "features/planes.hpp"

namespace trouvaille {

/// The photo smoothed to one scale. Its pixel (x, y) lies at (x * step, y * step) of the photo.
struct Layer {
    ImageView<const float> image;  ///< readable one pixel beyond its right and lower border
    float sigma;                   ///< of the Gaussian, in pixels of the photo
    float step;                    ///< pixels of the photo a pixel: a power of 2
};

/// Layers of one step, in order of scale.
using Octave = std::span<const Layer>;

/// Pixels at an octave's border where no detector looks.
inline constexpr std::size_t border = 5;

/// A photo's Gaussian scale space (Lindeberg 1994, Lowe 2004): octaves of `intervals` scales, each
/// 2^(1/3) times the one before, and three more, so that differences of neighbours have a
/// neighbour above and below.
///
/// Octave -1 holds sigma 0.8 to 2.5 pixels at the photo's own resolution, not at twice it: a
/// Gaussian of 0.8 pixels passes 4 % of the amplitude at the sampling limit, so nothing is gained
/// by more samples but their cost. Extrema are interpolated there (features/dog.cpp). It shares
/// its last three layers with octave 0 (1.6 to 5.1 pixels). Each later octave halves the
/// resolution. The photo itself is taken to have a blur of sigma 0.35.
///
/// Immutable once built, shared by any number of threads. 36 bytes a pixel of the photo, plus 8.
class ScaleSpace {
  public:
    static constexpr std::size_t intervals = 3, layers_an_octave = intervals + 3;

    /// `photo` is in gray levels, 0 to 255, finite, and only read here. Octaves begin with -1 or 0
    /// (`first_octave`) and end where the shorter side would have less than 8 pixels; there is
    /// always one. Requires a width and a height of at least 1.
    template <class T>  // std::uint8_t or float
    ScaleSpace(ImageView<const T> photo, int first_octave, int threads);

    std::size_t width() const { return width_; }
    std::size_t height() const { return height_; }
    std::size_t octaves() const { return octaves_.size(); }

    /// `layers_an_octave` layers of one step, in order of scale. Detections belong to the octave's
    /// layers 1 to `intervals`.
    Octave octave(std::size_t o) const { return {layers_.data() + octaves_[o], layers_an_octave}; }

    /// All layers, in order of octave and scale.
    std::span<const Layer> layers() const { return layers_; }

    /// The layer whose scale is nearest to `sigma` (>= 0) by ratio; of several steps, that where
    /// the smoothing is between 1.8 and 3.6 of its pixels, or the nearest to that.
    const Layer& nearest(double sigma) const;

  private:
    std::size_t width_, height_;
    int first_octave_;
    Planes planes_;
    std::vector<Layer> layers_;
    std::vector<std::size_t> octaves_;  // the place in layers_ of each octave's first
};

}  // namespace trouvaille
