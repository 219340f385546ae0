// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "bindings/neighbor_lists.hpp"
#include "neighbors/hamming_scan.hpp"
#include "neighbors/project.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Codes = Array<std::uint8_t>;
using Bitmap = Array<std::uint64_t>;

/// What would read beyond an array is refused.
void require_fit(const Codes& queries, const Codes& points, const Bitmap& alive) {
    const auto q = view(queries), p = view(points);
    if (q.cols != p.cols) throw py::value_error("queries and points differ in columns");
    if (p.cols > max_code_bytes) throw py::value_error("codes are longer than max_code_bytes");
    if (alive.size() > 0 && vector_view(alive).size() < (p.rows + 63) / 64)
        throw py::value_error("alive must have a bit for each point");
}

py::tuple neighbors(const Codes& queries, const Codes& points, py::ssize_t k, int threads,
                    const Bitmap& alive) {
    require_fit(queries, points, alive);
    if (k < 1) throw py::value_error("k must be positive");
    Array<std::int32_t> distances({queries.shape(0), k});
    Array<std::int64_t> ids({queries.shape(0), k});
    const auto q = view(queries), p = view(points);
    const auto rows = vector_view(alive);
    const auto d = mutable_view(distances);
    const auto i = mutable_view(ids);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        hamming_neighbors(p, q, rows, d, i, threads);
    }
    return py::make_tuple(distances, ids);
}

py::tuple neighbors_within(const Codes& queries, const Codes& points, std::int32_t radius,
                           int threads, const Bitmap& alive) {
    require_fit(queries, points, alive);
    if (radius < 0) throw py::value_error("radius must not be negative");
    const auto q = view(queries), p = view(points);
    const auto rows = vector_view(alive);
    std::vector<std::vector<HammingNeighbor>> found(q.rows);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        hamming_neighbors_within(p, q, radius, rows, found, threads);
    }
    return joined<std::int32_t>(found);
}

template <class T>
void bind_project(py::module_& m) {
    m.def(
        "project",
        [](const Array<T>& x, const Array<float>& weights, const Array<float>& offsets,
           int threads) {
            const auto rows = view(x);
            const auto w = view(weights);
            const auto o = vector_view(offsets);
            if (w.rows != rows.cols || o.size() != w.cols)
                throw py::value_error("x, weights and offsets do not fit together");
            Array<float> out({x.shape(0), weights.shape(1)});
            const auto to = mutable_view(out);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                project<T>(rows, w, o, to, threads);
            }
            return out;
        },
        "x"_a.noconvert(), "weights"_a.noconvert(), "offsets"_a.noconvert(), "threads"_a);
}

}  // namespace

void bind_hamming(py::module_& m) {
    m.attr("max_code_bytes") = max_code_bytes;
    m.def("hamming_neighbors", &neighbors, "queries"_a.noconvert(), "points"_a.noconvert(), "k"_a,
          "threads"_a, py::arg("alive").noconvert() = Bitmap(0));
    m.def("hamming_neighbors_within", &neighbors_within, "queries"_a.noconvert(),
          "points"_a.noconvert(), "radius"_a, "threads"_a,
          py::arg("alive").noconvert() = Bitmap(0));
    bind_project<std::uint8_t>(m);
    bind_project<float>(m);
}

}  // namespace trouvaille::python
