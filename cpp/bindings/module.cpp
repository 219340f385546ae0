// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace trouvaille::python {
void bind_core(py::module_& m);
void bind_features(py::module_& m);
void bind_regions(py::module_& m);
void bind_words(py::module_& m);
void bind_vocabulary_tree(py::module_& m);
void bind_exact(py::module_& m);
void bind_graph(py::module_& m);
void bind_hamming(py::module_& m);
void bind_aggregate(py::module_& m);
void bind_index(py::module_& m);
void bind_kd_forest(py::module_& m);
void bind_kmeans_tree(py::module_& m);
void bind_lsh(py::module_& m);
void bind_geometry(py::module_& m);
void bind_match(py::module_& m);
void bind_match_kernel(py::module_& m);
void bind_estimate(py::module_& m);
}  // namespace trouvaille::python

PYBIND11_MODULE(_core, m) {
    m.doc() = "Compiled kernels. Private: call the functions of the trouvaille package instead.";
    m.attr("__version__") = TROUVAILLE_VERSION;
    trouvaille::python::bind_core(m);
    trouvaille::python::bind_features(m);
    trouvaille::python::bind_regions(m);
    trouvaille::python::bind_words(m);
    trouvaille::python::bind_vocabulary_tree(m);
    trouvaille::python::bind_exact(m);
    trouvaille::python::bind_graph(m);
    trouvaille::python::bind_hamming(m);
    trouvaille::python::bind_aggregate(m);
    trouvaille::python::bind_index(m);
    trouvaille::python::bind_kd_forest(m);
    trouvaille::python::bind_kmeans_tree(m);
    trouvaille::python::bind_lsh(m);
    trouvaille::python::bind_geometry(m);
    trouvaille::python::bind_match(m);
    trouvaille::python::bind_match_kernel(m);
    trouvaille::python::bind_estimate(m);
}
