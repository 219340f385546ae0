// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/frames.hpp"
#include "bindings/gil.hpp"
#include "features/cs_lbp.hpp"
#include "features/dog.hpp"
#include "features/orientation.hpp"
#include "features/scale_space.hpp"
#include "features/select.hpp"
#include "features/sift.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

template <class T>
ImageView<const T> image_view(const Array<T>& image) {
    const MatrixView<const T> pixels = view(image);
    if (image.ndim() != 2 || pixels.rows == 0 || pixels.cols == 0)
        throw py::value_error("expected an image of at least one pixel");
    return {pixels.data, pixels.cols, pixels.rows, pixels.cols};
}

template <class T>
std::unique_ptr<ScaleSpace> scale_space(const Array<T>& photo, int first_octave, int threads) {
    const ImageView<const T> pixels = image_view(photo);
    const ReleasedGil nogil;
    return std::make_unique<ScaleSpace>(pixels, first_octave, threads);
}

// Copies, which outlive the space.
py::list octaves(const ScaleSpace& space) {
    py::list all;
    for (std::size_t o = 0; o < space.octaves(); ++o) {
        py::list layers;
        for (const Layer& layer : space.octave(o)) {
            const auto& [pixels, width, height, stride] = layer.image;
            Array<float> image({static_cast<py::ssize_t>(height), static_cast<py::ssize_t>(width)});
            for (std::size_t y = 0; y < height; ++y)
                std::memcpy(image.mutable_data() + y * width, layer.image.row(y),
                            width * sizeof(float));
            layers.append(py::make_tuple(image, layer.sigma, layer.step));
        }
        all.append(layers);
    }
    return all;
}

py::tuple detect_dog(const ScaleSpace& space, float threshold, float max_edge_ratio, int threads) {
    Keypoints keypoints;
    {
        const ReleasedGil nogil;
        keypoints = trouvaille::detect_dog(space, {threshold, max_edge_ratio}, threads);
    }
    return arrays_of(keypoints);
}

Array<std::uint32_t> select(const Array<float>& frames, const Array<float>& responses,
                            std::size_t width, std::size_t height, std::size_t max_features,
                            const std::optional<Array<std::uint8_t>>& mask, bool spread) {
    const std::span<const Frame> listed = frames_view(frames);
    const std::span<const float> strengths = vector_view(responses);
    SelectOptions options{max_features, {}, spread};
    if (mask) options.mask = image_view(*mask);
    if (strengths.size() != listed.size() ||
        (mask && (options.mask.width != width || options.mask.height != height)))
        throw py::value_error("the arrays differ in size");
    std::vector<std::uint32_t> kept;
    {
        const ReleasedGil nogil;
        kept = trouvaille::select(listed, strengths, width, height, options);
    }
    return copied<std::uint32_t>(kept, {static_cast<py::ssize_t>(kept.size())});
}

py::tuple orient(const ScaleSpace& space, const Array<float>& frames, std::size_t max_orientations,
                 int threads) {
    const std::span<const Frame> upright = frames_view(frames);
    Oriented oriented;
    {
        const ReleasedGil nogil;
        oriented =
            trouvaille::orient(space, upright, {.max_orientations = max_orientations}, threads);
    }
    const auto n = static_cast<py::ssize_t>(oriented.frames.size());
    return py::make_tuple(copied<float>(oriented.frames, {n, 2, 3}),
                          copied<std::uint32_t>(oriented.sources, {n}));
}

Array<std::uint8_t> describe_sift(const ScaleSpace& space, const Array<float>& frames,
                                  float magnification, bool root, int threads) {
    const std::span<const Frame> described = frames_view(frames);
    Array<std::uint8_t> descriptors(
        {static_cast<py::ssize_t>(described.size()), static_cast<py::ssize_t>(sift_dimensions)});
    const MatrixView<std::uint8_t> rows = mutable_view(descriptors);
    {
        const ReleasedGil nogil;
        trouvaille::describe_sift(space, described, {magnification, root}, rows, threads);
    }
    return descriptors;
}

Array<std::uint8_t> describe_cs_lbp(const ScaleSpace& space, const Array<float>& frames,
                                    float magnification, bool root, int threads) {
    const std::span<const Frame> described = frames_view(frames);
    Array<std::uint8_t> descriptors(
        {static_cast<py::ssize_t>(described.size()), static_cast<py::ssize_t>(cs_lbp_dimensions)});
    const MatrixView<std::uint8_t> rows = mutable_view(descriptors);
    {
        const ReleasedGil nogil;
        trouvaille::describe_cs_lbp(space, described, {magnification, root}, rows, threads);
    }
    return descriptors;
}

}  // namespace

void bind_features(py::module_& m) {
    py::class_<ScaleSpace>(m, "ScaleSpace")
        .def(py::init(&scale_space<std::uint8_t>), "photo"_a.noconvert(), "first_octave"_a,
             "threads"_a)
        .def(py::init(&scale_space<float>), "photo"_a.noconvert(), "first_octave"_a, "threads"_a)
        .def_property_readonly("width", &ScaleSpace::width)
        .def_property_readonly("height", &ScaleSpace::height)
        .def("octaves", &octaves);
    m.def("detect_dog", &detect_dog, "space"_a, "threshold"_a, "max_edge_ratio"_a, "threads"_a);
    m.def("select", &select, "frames"_a.noconvert(), "responses"_a.noconvert(), "width"_a,
          "height"_a, "max_features"_a, "mask"_a.noconvert().none(true), "spread"_a);
    m.def("orient", &orient, "space"_a, "frames"_a.noconvert(), "max_orientations"_a, "threads"_a);
    m.def("describe_sift", &describe_sift, "space"_a, "frames"_a.noconvert(), "magnification"_a,
          "root"_a, "threads"_a);
    m.def("describe_cs_lbp", &describe_cs_lbp, "space"_a, "frames"_a.noconvert(), "magnification"_a,
          "root"_a, "threads"_a);
}

}  // namespace trouvaille::python
