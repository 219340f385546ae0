// SPDX-License-Identifier: Apache-2.0
#include "neighbors/kd_forest.hpp"

#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "bindings/neighbor_lists.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

template <class T>
py::ssize_t length(const std::vector<T>& items) {
    return static_cast<py::ssize_t>(items.size());
}

template <class T>
py::tuple as_tuple(const Array<T>& points, const KDForestData& data) {
    const py::ssize_t n = points.shape(0), dims = points.shape(1);
    const py::ssize_t orders = n == 0 ? 0 : length(data.roots) - 1;
    const std::vector<float> scale{data.axes.step, data.axes.reach};
    return py::make_tuple(points, copied_to_pages<std::uint32_t>(data.rows, {n}),
                          copied_to_pages<std::uint8_t>(data.panels, {length(data.panels)}),
                          copied_to_pages<std::uint32_t>(data.nodes, {length(data.nodes), 2}),
                          copied_to_pages<std::uint32_t>(data.roots, {length(data.roots)}),
                          copied_to_pages<std::uint32_t>(data.orders, {orders, n}),
                          copied_to_pages<float>(data.axes.center, {dims}),
                          copied_to_pages<float>(data.axes.directions, {dims, axis_count}),
                          copied_to_pages<float>(scale, {2}));
}

class ForestArrays : public IndexArrays {
  public:
    explicit ForestArrays(const py::tuple& arrays) : IndexArrays(arrays, "a forest") {
        if (arrays.size() != 9) throw py::value_error("a forest is nine arrays");
    }

    template <class T>
    KDForest<T> view() const {
        const auto nodes = trouvaille::python::view(at<std::uint32_t>(3));
        const auto scale = vector_view(at<float>(8));
        if (nodes.cols != 2 || scale.size() != 2) throw py::value_error("a forest of other shapes");
        KDForest<T> forest;
        forest.points = trouvaille::python::view(at<T>(0));
        forest.rows = vector_view(at<std::uint32_t>(1));
        forest.panels = vector_view(at<std::uint8_t>(2));
        forest.nodes = {reinterpret_cast<const KDNode*>(nodes.data), nodes.rows};
        forest.roots = vector_view(at<std::uint32_t>(4));
        forest.orders = trouvaille::python::view(at<std::uint32_t>(5));
        forest.axes = {vector_view(at<float>(6)), trouvaille::python::view(at<float>(7)), scale[0],
                       scale[1]};
        return forest;
    }
};

using Alive = std::optional<Array<std::uint64_t>>;

template <class T>
KDSearchOptions options_for(const KDForest<T>& forest, MatrixView<const T> queries,
                            std::uint64_t checks, const Alive& alive) {
    if (queries.cols != forest.points.cols)
        throw py::value_error("queries and points differ in columns");
    if (!alive) return {checks, {}};
    const auto words = vector_view(*alive);
    if (words.size() < (forest.points.rows + 63) / 64)
        throw py::value_error("alive must have a bit for each point");
    return {checks, words};
}

template <class T>
void bind_build(py::module_& m) {
    m.def(
        "build_kd_forest",
        [](const Array<T>& points, int trees, int leaf_size, int drawn_from, std::uint64_t seed,
           int threads) {
            const auto x = view(points);
            if (x.rows > std::numeric_limits<std::uint32_t>::max() / 4)
                throw py::value_error("a forest holds at most 2^30 points");
            if (sizeof(T) == 1 && x.cols > max_byte_dims)
                throw py::value_error("rows of bytes are too long for 32-bit distances");
            if (trees < 1 || leaf_size < 1 || leaf_size > 65'535 || drawn_from < 1)
                throw py::value_error("trees, leaf_size or drawn_from is out of range");
            Array<T> ordered = array_on_pages<T>({points.shape(0), points.shape(1)});
            const auto out = mutable_view(ordered);
            KDForestData data;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                data = build_kd_forest<T>(x, {trees, leaf_size, drawn_from, seed}, out, threads);
            }
            return as_tuple(ordered, data);
        },
        "points"_a.noconvert(), "trees"_a, "leaf_size"_a, "drawn_from"_a, "seed"_a, "threads"_a);
}

template <class T>
void bind_search(py::module_& m) {
    using Distance = KDDistance<T>;
    m.def(
        "search_kd_forest",
        [](const py::tuple& arrays, const Array<T>& queries, py::ssize_t k, std::uint64_t checks,
           const Alive& alive, int threads) {
            const auto forest = ForestArrays(arrays).view<T>();
            const auto q = view(queries);
            const auto options = options_for(forest, q, checks, alive);
            if (k < 1) throw py::value_error("k must be positive");
            Array<Distance> distances({queries.shape(0), k});
            Array<std::int64_t> ids({queries.shape(0), k});
            const auto d = mutable_view(distances);
            const auto i = mutable_view(ids);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                search_kd_forest<T>(forest, q, options, d, i, threads);
            }
            return py::make_tuple(distances, ids);
        },
        "forest"_a, "queries"_a.noconvert(), "k"_a, "checks"_a, "alive"_a.noconvert(), "threads"_a);
}

template <class T>
void bind_search_within(py::module_& m) {
    using Distance = KDDistance<T>;
    m.def(
        "search_kd_forest_within",
        [](const py::tuple& arrays, const Array<T>& queries, Distance radius, std::uint64_t checks,
           const Alive& alive, int threads) {
            const auto forest = ForestArrays(arrays).view<T>();
            const auto q = view(queries);
            const auto options = options_for(forest, q, checks, alive);
            if (!(radius >= 0)) throw py::value_error("radius must not be negative");
            std::vector<std::vector<KDNeighbor<Distance>>> found(q.rows);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                search_kd_forest_within<T>(forest, q, radius, options, found, threads);
            }
            return joined<Distance>(found);
        },
        "forest"_a, "queries"_a.noconvert(), "radius"_a, "checks"_a, "alive"_a.noconvert(),
        "threads"_a);
}

void check(const py::tuple& arrays) {
    const ForestArrays forest(arrays);
    if (forest.holds<std::uint8_t>()) return check_kd_forest(forest.view<std::uint8_t>());
    check_kd_forest(forest.view<float>());
}

}  // namespace

void bind_kd_forest(py::module_& m) {
    bind_build<std::uint8_t>(m);
    bind_build<float>(m);
    bind_search<std::uint8_t>(m);
    bind_search<float>(m);
    bind_search_within<std::uint8_t>(m);
    bind_search_within<float>(m);
    m.def("check_kd_forest", &check, "forest"_a);
}

}  // namespace trouvaille::python
