// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "features/affine_shape.hpp"
#include "features/harris.hpp"
#include "features/hessian.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

static_assert(sizeof(Frame) == 6 * sizeof(float));

Array<float> frames_of(std::size_t n) {
    return Array<float>({static_cast<py::ssize_t>(n), py::ssize_t{2}, py::ssize_t{3}});
}

// Frames and responses.
py::tuple arrays_of(const Keypoints& keypoints) {
    Array<float> frames = frames_of(keypoints.size());
    Array<float> responses(static_cast<py::ssize_t>(keypoints.size()));
    auto* to = reinterpret_cast<std::byte*>(frames.mutable_data());
    for (std::size_t i = 0; i < keypoints.size(); ++i)
        std::memcpy(to + i * sizeof(Frame), &keypoints[i].frame, sizeof(Frame));
    std::ranges::transform(keypoints, responses.mutable_data(), &Keypoint::response);
    return py::make_tuple(frames, responses);
}

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
    const auto rows = view(frames);
    if (frames.ndim() != 3 || frames.shape(1) != 2 || frames.shape(2) != 3)
        throw py::value_error("expected frames of shape (n, 2, 3)");
    Keypoints keypoints(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i)
        std::memcpy(&keypoints[i].frame, rows.row(i), sizeof(Frame));
    AffineShapes found;
    {
        const ReleasedGil nogil;  // the caller holds the space
        found =
            affine_shapes(space, keypoints, {max_iterations, convergence, max_anisotropy}, threads);
    }
    Array<float> adapted = frames_of(rows.rows);
    Array<std::uint8_t> outcomes(static_cast<py::ssize_t>(rows.rows));
    if (rows.rows > 0) {
        std::memcpy(adapted.mutable_data(), found.frames.data(), rows.rows * sizeof(Frame));
        std::memcpy(outcomes.mutable_data(), found.outcomes.data(), rows.rows);
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
