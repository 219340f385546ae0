// SPDX-License-Identifier: Apache-2.0
#include "neighbors/exact.hpp"

#include <cmath>
#include <cstring>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

Metric metric_of(const std::string& name) {
    if (name == "l2") return Metric::l2;
    if (name == "ip") return Metric::inner_product;
    if (name == "l1") return Metric::l1;
    throw py::value_error("metric must be l2, ip or l1");
}

template <class Query, class Point>
void check(MatrixView<const Query> queries, MatrixView<const Point> points) {
    if (queries.cols != points.cols)
        throw py::value_error("queries and database differ in columns");
    if (sizeof(Point) == 1 && queries.cols > max_byte_dims)
        throw py::value_error("rows of bytes are too long for 32-bit distances");
}

// NumPy has a float16, C++20 none: its bits are passed, as uint16.
MatrixView<const Half> points_view(const Array<std::uint16_t>& points) {
    const auto bits = view(points);
    return {reinterpret_cast<const Half*>(bits.data), bits.rows, bits.cols};
}

template <class T>
MatrixView<const T> points_view(const Array<T>& points) {
    return view(points);
}

template <class Query, class Point, class Distance>
void bind(py::module_& m) {
    m.def(
        "exact_neighbors",
        [](const Array<Query>& queries, const Array<Point>& database, py::ssize_t k, int threads,
           const std::string& name) {
            const Metric metric = metric_of(name);
            const auto q = view(queries);
            const auto points = points_view(database);
            check(q, points);
            if (k < 1) throw py::value_error("k must be positive");
            Array<Distance> distances({queries.shape(0), k});
            Array<std::int64_t> ids({queries.shape(0), k});
            const auto d = mutable_view(distances);
            const auto i = mutable_view(ids);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                exact_neighbors(q, points, d, i, threads, metric);
            }
            return py::make_tuple(distances, ids);
        },
        "queries"_a.noconvert(), "database"_a.noconvert(), "k"_a, "threads"_a, "metric"_a = "l2");
    m.def(
        "exact_neighbors_within",
        [](const Array<Query>& queries, const Array<Point>& database, double radius, int threads,
           const std::string& name) {
            const Metric metric = metric_of(name);
            const auto q = view(queries);
            const auto points = points_view(database);
            check(q, points);
            if (std::isnan(radius)) throw py::value_error("radius must be a number");
            NeighborsWithin<Distance> found;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                found = exact_neighbors_within(q, points, radius, threads, metric);
            }
            return py::make_tuple(copied(found.offsets), copied(found.distances),
                                  copied(found.ids));
        },
        "queries"_a.noconvert(), "database"_a.noconvert(), "radius"_a, "threads"_a,
        "metric"_a = "l2");
}

}  // namespace

void bind_exact(py::module_& m) {
    bind<std::uint8_t, std::uint8_t, std::int32_t>(m);
    bind<float, float, float>(m);
    bind<float, std::uint16_t, float>(m);
    m.attr("max_byte_dims") = max_byte_dims;
}

}  // namespace trouvaille::python
