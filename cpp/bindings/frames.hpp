// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "bindings/arrays.hpp"
#include "features/keypoint.hpp"

namespace trouvaille::python {

static_assert(sizeof(Frame) == 6 * sizeof(float));

/// The frames of an array of shape (n, 2, 3).
inline std::span<const Frame> frames_view(const Array<float>& frames) {
    if (frames.ndim() != 3 || frames.shape(1) != 2 || frames.shape(2) != 3)
        throw py::value_error("expected frames of shape (n, 2, 3)");
    return {reinterpret_cast<const Frame*>(aligned_data(frames)),
            static_cast<std::size_t>(frames.shape(0))};
}

/// An array of n frames, not yet written.
inline Array<float> new_frames(std::size_t n) {
    return Array<float>({static_cast<py::ssize_t>(n), py::ssize_t{2}, py::ssize_t{3}});
}

/// Frames and responses.
inline py::tuple arrays_of(const Keypoints& keypoints) {
    Array<float> frames = new_frames(keypoints.size());
    Array<float> responses(static_cast<py::ssize_t>(keypoints.size()));
    float *frame = frames.mutable_data(), *response = responses.mutable_data();
    for (const Keypoint& keypoint : keypoints) {
        std::memcpy(frame, &keypoint.frame, sizeof keypoint.frame);
        frame += 6;
        *response++ = keypoint.response;
    }
    return py::make_tuple(frames, responses);
}

}  // namespace trouvaille::python
