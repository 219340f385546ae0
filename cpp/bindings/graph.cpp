// SPDX-License-Identifier: Apache-2.0
#include "neighbors/graph.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "core/pages.hpp"
#include "core/size.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Edges = Array<std::uint32_t>;
using Words = Array<std::uint64_t>;

GraphView view_of(const Edges& neighbors, std::uint32_t entry, const Words& copies) {
    return {view(neighbors), entry, vector_view(copies)};
}

template <class T>
MatrixView<const T> points_of(const Array<T>& points) {
    const auto rows = view(points);
    if (rows.cols == 0) throw py::value_error("points have no columns");
    if (sizeof(T) == 1 && rows.cols > max_byte_dims)
        throw py::value_error("rows of bytes are too long for 32-bit distances");
    return rows;
}

template <class T>
py::tuple extend(const Array<T>& points, const Edges& neighbors, std::uint32_t entry,
                 const Words& copies, std::size_t degree, std::size_t width, double alpha,
                 std::uint64_t seed, int threads) {
    const auto rows = points_of(points);
    const GraphView old = view_of(neighbors, entry, copies);
    if (old.neighbors.rows > rows.rows) throw py::value_error("points are missing");
    if (degree == 0 || width == 0 || !(alpha >= 1 && alpha < 1e9))
        throw py::value_error("degree and width must be 1 or more, alpha from 1 to 1e9");
    Graph grown;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        check_graph(old, old.neighbors.rows);
        grown = extend_graph(rows, old, {degree, width, alpha, seed}, threads);
    }
    Words all(static_cast<py::ssize_t>(grown.copies.size()));
    std::copy(grown.copies.begin(), grown.copies.end(), all.mutable_data());
    return py::make_tuple(array_of(std::move(grown.neighbors),
                                   {points.shape(0), static_cast<py::ssize_t>(grown.degree)}),
                          grown.entry, all);
}

template <class T>
py::tuple search(const Array<T>& points, const Edges& neighbors, std::uint32_t entry,
                 const Words& copies, const Array<T>& queries, std::size_t k, std::size_t width,
                 const std::optional<Words>& alive, int threads,
                 const std::optional<Array<std::uint32_t>>& starts) {
    const auto rows = points_of(points);
    const auto q = view(queries);
    const GraphView graph = view_of(neighbors, entry, copies);
    if (graph.neighbors.rows != rows.rows || q.cols != rows.cols || k == 0)
        throw py::value_error("neighbors, queries or k do not fit the points");
    if (alive && vector_view(*alive).size() < (rows.rows + 63) / 64)
        throw py::value_error("alive has too few words");
    std::span<const std::uint32_t> begin;
    if (starts) {
        begin = vector_view(*starts);
        if (begin.size() != q.rows) throw py::value_error("queries and starts differ in number");
        for (const std::uint32_t row : begin)
            if (row >= rows.rows) throw py::value_error("a start is no row");
    }
    static_cast<void>(checked_mul(q.rows, k, "queries * k"));
    Array<Distance<T>> distances({q.rows, k});
    Array<std::int64_t> ids({q.rows, k});
    const auto d = mutable_view(distances);
    const auto i = mutable_view(ids);
    const std::uint64_t* words = alive ? vector_view(*alive).data() : nullptr;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        search_graph(rows, graph, q, width, words, d, i, threads, begin);
    }
    return py::make_tuple(distances, ids);
}

template <class T>
Array<T> aligned_rows(const Array<T>& rows) {
    const auto from = view(rows);
    Pages<T> pages(from.rows * from.cols);
    if (pages.size() > 0) std::memcpy(pages.data(), from.data, pages.size() * sizeof(T));
    return array_of(std::move(pages), {rows.shape(0), rows.shape(1)});
}

template <class T>
void bind_for(py::module_& m) {
    m.def("aligned_rows", &aligned_rows<T>, "rows"_a.noconvert());
    m.def("extend_graph", &extend<T>, "points"_a.noconvert(), "neighbors"_a.noconvert(), "entry"_a,
          "copies"_a.noconvert(), "degree"_a, "width"_a, "alpha"_a, "seed"_a, "threads"_a);
    m.def("search_graph", &search<T>, "points"_a.noconvert(), "neighbors"_a.noconvert(), "entry"_a,
          "copies"_a.noconvert(), "queries"_a.noconvert(), "k"_a, "width"_a, "alive"_a.noconvert(),
          "threads"_a, "starts"_a.noconvert() = py::none());
}

}  // namespace

void bind_graph(py::module_& m) {
    bind_for<std::uint8_t>(m);
    bind_for<float>(m);
    m.def(
        "check_graph",
        [](const Edges& neighbors, std::uint32_t entry, const Words& copies, std::size_t points) {
            check_graph(view_of(neighbors, entry, copies), points);
        },
        "neighbors"_a.noconvert(), "entry"_a, "copies"_a.noconvert(), "points"_a);
}

}  // namespace trouvaille::python
