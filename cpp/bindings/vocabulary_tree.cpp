// SPDX-License-Identifier: Apache-2.0
#include "words/vocabulary_tree.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

constexpr std::size_t most_points = std::size_t{1} << 31;

void check_nodes(std::span<const std::uint32_t> rows, std::span<const std::int64_t> starts,
                 std::size_t points) {
    if (points >= most_points)
        throw py::value_error("a vocabulary tree takes fewer than 2^31 points");
    if (starts.size() < 2 || starts.front() != 0 ||
        starts.back() != static_cast<std::int64_t>(rows.size()))
        throw py::value_error("starts must be those of all rows");
    for (std::size_t i = 0; i + 1 < starts.size(); ++i)
        if (starts[i + 1] <= starts[i]) throw py::value_error("a node must have rows");
    if (std::any_of(rows.begin(), rows.end(), [=](std::uint32_t row) { return row >= points; }))
        throw py::value_error("a row is that of no point");
}

template <class T>
void bind_split(py::module_& m) {
    m.def(
        "split_nodes",
        [](const Array<T>& points, const Array<std::uint32_t>& rows,
           const Array<std::int64_t>& starts, std::size_t branching, int iterations,
           std::uint64_t seed, std::uint64_t first, int threads) {
            const auto x = view(points);
            const auto r = vector_view(rows);
            const auto s = vector_view(starts);
            check_nodes(r, s, x.rows);
            if (sizeof(T) == 1 && x.cols > max_byte_dims)
                throw py::value_error("rows of bytes are too long for 32-bit distances");
            if (branching < 1 || iterations < 0 || threads < 1)
                throw py::value_error("branching, iterations or threads is out of range");
            NextLevel<T> next;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                next = split_nodes<T>(x, r, s, {branching, iterations, seed, first}, threads);
            }
            const auto children = static_cast<py::ssize_t>(next.errors.size());
            return py::make_tuple(copied<T>(next.centers, {children, points.shape(1)}),
                                  copied(next.children), copied(next.rows), copied(next.starts),
                                  copied(next.errors));
        },
        "points"_a.noconvert(), "rows"_a.noconvert(), "starts"_a.noconvert(), "branching"_a,
        "iterations"_a, "seed"_a, "first"_a, "threads"_a);
}

template <class T>
void bind_descend(py::module_& m) {
    m.def(
        "descend_vocabulary_tree",
        [](const Array<T>& centers, const Array<std::uint32_t>& children, const Array<T>& queries,
           bool hamming, py::ssize_t levels, int threads) {
            const VocabularyTree<T> tree{view(centers), vector_view(children)};
            const auto q = view(queries);
            if (q.cols != tree.centers.cols)
                throw py::value_error("queries and centers differ in columns");
            if (hamming && sizeof(T) != 1) throw py::value_error("bits are packed in bytes");
            if (tree.children.size() != tree.centers.rows + 2 || levels < 0)
                throw py::value_error("the arrays are not those of a tree");
            Array<std::int64_t> leaves(queries.shape(0));
            Array<std::int64_t> path({queries.shape(0), levels});
            const auto l = mutable_vector_view(leaves);
            const auto p = mutable_view(path);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                descend<T>(tree, q, hamming ? TreeMetric::hamming : TreeMetric::l2, l, p, threads);
            }
            return py::make_tuple(leaves, path);
        },
        "centers"_a.noconvert(), "children"_a.noconvert(), "queries"_a.noconvert(), "hamming"_a,
        "levels"_a, "threads"_a);
}

}  // namespace

void bind_vocabulary_tree(py::module_& m) {
    bind_split<std::uint8_t>(m);
    bind_split<float>(m);
    bind_descend<std::uint8_t>(m);
    bind_descend<float>(m);
    m.def(
        "check_vocabulary_tree",
        [](const Array<std::uint32_t>& children, std::size_t nodes) {
            return check_vocabulary_tree(vector_view(children), nodes);
        },
        "children"_a.noconvert(), "nodes"_a);
}

}  // namespace trouvaille::python
