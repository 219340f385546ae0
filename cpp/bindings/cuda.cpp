// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "cuda/device.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_cuda, m) {
    using trouvaille::cuda::Device;
    m.doc() =
        "Compiled CUDA kernels. Private: call the functions of the trouvaille package instead.";
    py::class_<Device>(m, "Device")
        .def_readonly("index", &Device::index)
        .def_readonly("name", &Device::name)
        .def_readonly("memory", &Device::memory)
        .def_readonly("multiprocessors", &Device::multiprocessors)
        .def_property_readonly("compute_capability",
                               [](const Device& d) { return py::make_tuple(d.major, d.minor); });
    m.def("devices", &trouvaille::cuda::devices);
}
