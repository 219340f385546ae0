// SPDX-License-Identifier: Apache-2.0
#include "features/planes.hpp"

#include <cassert>
#include <new>
#include <utility>

#include "core/size.hpp"
#include "features/gaussian.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t most_kept = (64 << 20) / sizeof(float);

}  // namespace

void Planes::Free::operator()(float* block) const {
    ::operator delete[](block, std::align_val_t{alignment});
}

Planes::Block& Planes::spare() {
    thread_local Block block;
    return block;
}

Planes::Planes(std::size_t floats) {
    if (spare().floats >= floats) {
        block_ = std::exchange(spare(), {});
        return;
    }
    const std::size_t bytes = checked_mul(floats, sizeof(float), "planes");
    block_.data.reset(static_cast<float*>(::operator new[](bytes, std::align_val_t{alignment})));
    block_.floats = floats;
}

Planes::~Planes() {
    if (block_.data && block_.floats <= most_kept && block_.floats > spare().floats)
        spare() = std::move(block_);
}

ImageView<float> Planes::take(std::size_t width, std::size_t height) {
    ImageView<float> plane{block_.data.get() + taken_, width, height, padded_stride(width)};
    taken_ += size(width, height);
    assert(taken_ <= block_.floats);
    return plane;
}

std::size_t Planes::size(std::size_t width, std::size_t height) {
    const std::size_t rows = checked_add(height, 1, "height");
    return checked_add(checked_mul(padded_stride(width), rows, "planes"), beyond, "planes");
}

}  // namespace trouvaille
