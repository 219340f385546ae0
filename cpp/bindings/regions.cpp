// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "bindings/arrays.hpp"
#include "bindings/frames.hpp"
#include "bindings/gil.hpp"
#include "features/affine_shape.hpp"
#include "features/harris.hpp"
#include "features/hessian.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Detector = Keypoints (*)(const ScaleSpace&, std::size_t, float, int);

template <Detector detector>
py::tuple detect(const ScaleSpace& space, std::size_t first_octave, float threshold, int threads) {
    Keypoints found;
    {
        const ReleasedGil nogil;  // the caller holds the space
        found = detector(space, first_octave, threshold, threads);
    }
    return arrays_of(found);
}

py::tuple shapes(const ScaleSpace& space, const Array<float>& frames, int max_iterations,
                 float convergence, float max_anisotropy, int threads) {
    const std::span<const Frame> given = frames_view(frames);
    Keypoints keypoints(given.size());
    std::ranges::transform(given, keypoints.begin(),
                           [](const Frame& frame) { return Keypoint{frame, 0}; });
    AffineShapes found;
    {
        const ReleasedGil nogil;  // the caller holds the space
        found =
            affine_shapes(space, keypoints, {max_iterations, convergence, max_anisotropy}, threads);
    }
    Array<float> adapted = new_frames(given.size());
    Array<std::uint8_t> outcomes(static_cast<py::ssize_t>(given.size()));
    if (!given.empty()) {
        std::memcpy(adapted.mutable_data(), found.frames.data(), given.size_bytes());
        std::memcpy(outcomes.mutable_data(), found.outcomes.data(), given.size());
    }
    return py::make_tuple(adapted, outcomes);
}

}  // namespace

void bind_regions(py::module_& m) {
    m.def("detect_hessian", &detect<detect_hessian>, "space"_a, "first_octave"_a, "threshold"_a,
          "threads"_a);
    m.def("detect_harris", &detect<detect_harris>, "space"_a, "first_octave"_a, "threshold"_a,
          "threads"_a);
    m.def("affine_shapes", &shapes, "space"_a, "frames"_a.noconvert(), "max_iterations"_a,
          "convergence"_a, "max_anisotropy"_a, "threads"_a);
}

}  // namespace trouvaille::python
