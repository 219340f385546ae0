// SPDX-License-Identifier: Apache-2.0
#include "neighbors/kmeans_tree.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

constexpr std::size_t most_points = std::size_t{1} << 30;

template <class T>
py::tuple as_tuple(const Array<T>& points, const KMeansTreeData& data) {
    return py::make_tuple(
        points, copied_to_pages(data.rows), copied_to_pages(data.panels),
        copied_to_pages(data.starts), copied_to_pages(data.children), copied_to_pages(data.centers),
        copied_to_pages(data.blocks), copied_to_pages(data.sketches),
        copied_to_pages(data.axes.middle),
        copied_to_pages<float>(data.axes.directions, {points.shape(1), sketch_axes}),
        copied_to_pages(data.axes.steps), copied_to_pages(std::vector{data.axes.unseen}));
}

class TreeArrays : public IndexArrays {
  public:
    explicit TreeArrays(const py::tuple& arrays) : IndexArrays(arrays, "a k-means tree") {
        if (arrays.size() != 12) throw py::value_error("a k-means tree is twelve arrays");
    }

    template <class T>
    KMeansTree<T> view() const {
        KMeansTree<T> tree;
        tree.points = trouvaille::python::view(at<T>(0));
        tree.rows = vector_view(at<std::uint32_t>(1));
        tree.panels = vector_view(at<std::uint32_t>(2));
        tree.starts = vector_view(at<std::uint32_t>(3));
        tree.children = vector_view(at<std::uint32_t>(4));
        tree.centers = vector_view(at<std::uint8_t>(5));
        tree.blocks = vector_view(at<std::uint32_t>(6));
        tree.sketches = vector_view(at<std::uint8_t>(7));
        const auto unseen = vector_view(at<float>(11));
        if (unseen.size() != 1) throw py::value_error("damaged k-means tree: unseen is one number");
        tree.axes = {vector_view(at<float>(8)), trouvaille::python::view(at<float>(9)),
                     vector_view(at<float>(10)), unseen[0]};
        return tree;
    }
};

template <class T>
void bind_build(py::module_& m) {
    m.def(
        "build_kmeans_tree",
        [](const Array<T>& points, std::size_t branching, int levels, int iterations,
           std::uint64_t seed, int threads) {
            const auto x = view(points);
            if (x.rows >= most_points) throw py::value_error("a k-means tree holds 2^30 points");
            if (sizeof(T) == 1 && x.cols > max_byte_dims)
                throw py::value_error("rows of bytes are too long for 32-bit distances");
            if (branching < 1 || levels < 1 || levels > 8 || iterations < 0)
                throw py::value_error("branching, levels or iterations is out of range");
            Array<T> ordered = array_on_pages<T>({points.shape(0), points.shape(1)});
            const auto out = mutable_view(ordered);
            KMeansTreeData data;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                data = build_kmeans_tree<T>(x, {branching, levels, iterations, seed}, out, threads);
            }
            return as_tuple(ordered, data);
        },
        "points"_a.noconvert(), "branching"_a, "levels"_a, "iterations"_a, "seed"_a, "threads"_a);
}

template <class T>
void bind_grow(py::module_& m) {
    m.def(
        "grow_kmeans_tree",
        [](const py::tuple& arrays, const Array<T>& added, int threads) {
            const auto tree = TreeArrays(arrays).view<T>();
            const auto x = view(added);
            if (x.cols != tree.points.cols)
                throw py::value_error("old and new points differ in columns");
            if (x.rows >= most_points || tree.points.rows >= most_points - x.rows)
                throw py::value_error("a k-means tree holds 2^30 points");
            if (tree.points.rows == 0) throw py::value_error("a tree without points cannot grow");
            Array<T> ordered = array_on_pages<T>(
                {static_cast<py::ssize_t>(tree.points.rows + x.rows), added.shape(1)});
            const auto out = mutable_view(ordered);
            KMeansTreeData data;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                data = grow_kmeans_tree<T>(tree, x, out, threads);
            }
            return as_tuple(ordered, data);
        },
        "tree"_a, "added"_a.noconvert(), "threads"_a);
}

template <class T>
void bind_search(py::module_& m) {
    m.def(
        "search_kmeans_tree",
        [](const py::tuple& arrays, const Array<T>& queries, py::ssize_t k, std::uint64_t checks,
           const std::optional<Array<std::uint64_t>>& alive, int threads) {
            const auto tree = TreeArrays(arrays).view<T>();
            const auto q = view(queries);
            if (q.cols != tree.points.cols)
                throw py::value_error("queries and points differ in columns");
            if (k < 1) throw py::value_error("k must be positive");
            KMeansSearchOptions options{checks, {}};
            if (alive) {
                options.alive = vector_view(*alive);
                if (options.alive.size() < (tree.points.rows + 63) / 64)
                    throw py::value_error("alive must have a bit for each point");
            }
            Array<Distance<T>> distances({queries.shape(0), k});
            Array<std::int64_t> ids({queries.shape(0), k});
            const auto d = mutable_view(distances);
            const auto i = mutable_view(ids);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                search_kmeans_tree<T>(tree, q, options, d, i, threads);
            }
            return py::make_tuple(distances, ids);
        },
        "tree"_a, "queries"_a.noconvert(), "k"_a, "checks"_a, "alive"_a.noconvert(), "threads"_a);
}

void check(const py::tuple& arrays) {
    const TreeArrays tree(arrays);
    if (tree.holds<std::uint8_t>()) return check_kmeans_tree(tree.view<std::uint8_t>());
    check_kmeans_tree(tree.view<float>());
}

}  // namespace

void bind_kmeans_tree(py::module_& m) {
    bind_build<std::uint8_t>(m);
    bind_build<float>(m);
    bind_grow<std::uint8_t>(m);
    bind_grow<float>(m);
    bind_search<std::uint8_t>(m);
    bind_search<float>(m);
    m.def("check_kmeans_tree", &check, "tree"_a);
}

}  // namespace trouvaille::python
