// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "features/image.hpp"

namespace trouvaille {

/// Memory for planes of floats, aligned to 64 bytes, contents unspecified. A thread keeps one block
/// that it no longer needs, of at most 64 MiB, for its next photo: fresh pages cost as much as
/// the blurs that fill them.
class Planes {
  public:
    Planes() = default;
    explicit Planes(std::size_t floats);  ///< throws std::bad_alloc
    Planes(Planes&&) noexcept = default;
    Planes& operator=(Planes&&) noexcept = default;
    ~Planes();

    /// Values beyond the row below a plane: a stride may be no more than the width.
    static constexpr std::size_t beyond = 16;

    /// Cuts the next plane off, with the stride of `padded_stride` and one row more than `height`,
    /// and `beyond` values more, so that the neighbour right and below can be read everywhere.
    /// Requires what `size` counts.
    ImageView<float> take(std::size_t width, std::size_t height);

    /// Floats that a plane takes. Throws std::length_error where they do not fit 64 bits.
    static std::size_t size(std::size_t width, std::size_t height);

  private:
    struct Free {
        void operator()(float* block) const;
    };
    struct Block {
        std::unique_ptr<float[], Free> data;
        std::size_t floats = 0;
    };
    static Block& spare();

    Block block_;
    std::size_t taken_ = 0;
};

}  // namespace trouvaille
