// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "bindings/neighbor_lists.hpp"
#include "neighbors/hamming_lists.hpp"
#include "neighbors/hamming_scan.hpp"
#include "neighbors/multi_index.hpp"
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

/// What would read beyond an array is refused.
void require_lists(const PointLists& of_points, std::size_t points,
                   MatrixView<const std::int64_t> lists) {
    const auto starts = of_points.starts;
    if (starts.empty() || starts.front() != 0 || !std::is_sorted(starts.begin(), starts.end()) ||
        static_cast<std::size_t>(starts.back()) != of_points.points.size())
        throw py::value_error("starts must go from 0 to the end of the lists");
    std::uint32_t largest = 0;  // found without a branch, which a few queries would wait for
    for (const std::uint32_t point : of_points.points) largest = std::max(largest, point);
    if (!of_points.points.empty() && largest >= points)
        throw py::value_error("a list has a point that there is not");
    const auto n_lists = static_cast<std::int64_t>(starts.size()) - 1;
    const auto inside = [&](std::int64_t list) { return list >= 0 && list < n_lists; };
    if (!std::all_of(lists.data, lists.row(lists.rows), inside))
        throw py::value_error("a query has a list that there is not");
}

py::tuple neighbors_in_lists(const Codes& points, const Array<std::int64_t>& starts,
                             const Array<std::uint32_t>& members, const Codes& queries,
                             const Array<std::int64_t>& lists, py::ssize_t k, int threads) {
    const auto p = view(points), q = view(queries);
    const auto l = view(lists);
    const PointLists of_points{vector_view(starts), vector_view(members)};
    if (p.cols > max_code_bytes) throw py::value_error("codes are longer than max_code_bytes");
    if (q.cols != p.cols && q.cols != l.cols * p.cols)
        throw py::value_error("queries must have a code, or one for each of their lists");
    if (q.rows != l.rows) throw py::value_error("queries and lists differ in rows");
    if (k < 1) throw py::value_error("k must be positive");
    require_lists(of_points, p.rows, l);
    Array<std::int32_t> distances({queries.shape(0), k});
    Array<std::int64_t> ids({queries.shape(0), k});
    const auto d = mutable_view(distances);
    const auto i = mutable_view(ids);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        hamming_neighbors_in_lists(p, of_points, q, l, d, i, threads);
    }
    return py::make_tuple(distances, ids);
}

/// The arrays of a multi-index: rows, codes, directories.
py::tuple build(const Codes& points, std::size_t tables, int threads) {
    const auto p = view(points);
    const std::size_t bits = 8 * p.cols;
    if (p.cols > max_code_bytes) throw py::value_error("codes are longer than max_code_bytes");
    if (tables < 1 || tables > bits || bits > tables * max_substring_bits)
        throw py::value_error("tables are too few or too many for the codes");
    const auto m = static_cast<py::ssize_t>(tables), n = points.shape(0);
    auto rows = array_on_pages<std::uint32_t>({m, n});
    auto codes = array_on_pages<std::uint8_t>({m * n, points.shape(1)});
    auto directories =
        array_on_pages<std::uint32_t>({static_cast<py::ssize_t>(directory_places(bits, tables))});
    const auto r = mutable_view(rows);
    const auto c = mutable_view(codes);
    const auto d = mutable_vector_view(directories);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        build_multi_index(p, r, c, d, threads);
    }
    return py::make_tuple(rows, codes, directories);
}

MultiIndex multi_index(const Codes& points, const Array<std::uint32_t>& rows, const Codes& codes,
                       const Array<std::uint32_t>& directories) {
    return {view(points), view(rows), view(codes), vector_view(directories)};
}

py::tuple search(const Codes& points, const Array<std::uint32_t>& rows, const Codes& codes,
                 const Array<std::uint32_t>& directories, const Codes& queries, py::ssize_t k,
                 int threads, const Bitmap& alive) {
    require_fit(queries, points, alive);
    if (k < 1) throw py::value_error("k must be positive");
    Array<std::int32_t> distances({queries.shape(0), k});
    Array<std::int64_t> ids({queries.shape(0), k});
    const auto index = multi_index(points, rows, codes, directories);
    const auto q = view(queries);
    const auto living = vector_view(alive);
    const auto d = mutable_view(distances);
    const auto i = mutable_view(ids);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        search_multi_index(index, q, living, d, i, threads);
    }
    return py::make_tuple(distances, ids);
}

py::tuple search_within(const Codes& points, const Array<std::uint32_t>& rows, const Codes& codes,
                        const Array<std::uint32_t>& directories, const Codes& queries,
                        std::int32_t radius, int threads, const Bitmap& alive) {
    require_fit(queries, points, alive);
    if (radius < 0) throw py::value_error("radius must not be negative");
    const auto index = multi_index(points, rows, codes, directories);
    const auto q = view(queries);
    const auto living = vector_view(alive);
    std::vector<std::vector<HammingNeighbor>> found(q.rows);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        search_multi_index_within(index, q, radius, living, found, threads);
    }
    return joined<std::int32_t>(found);
}

void check(const Codes& points, const Array<std::uint32_t>& rows, const Codes& codes,
           const Array<std::uint32_t>& directories) {
    check_multi_index(multi_index(points, rows, codes, directories));
}

void bind_multi_index(py::module_& m) {
    m.def("advised_tables", &advised_tables, "bits"_a, "points"_a);
    m.def("build_multi_index", &build, "points"_a.noconvert(), "tables"_a, "threads"_a);
    m.def("check_multi_index", &check, "points"_a.noconvert(), "rows"_a.noconvert(),
          "codes"_a.noconvert(), "directories"_a.noconvert());
    m.def("search_multi_index", &search, "points"_a.noconvert(), "rows"_a.noconvert(),
          "codes"_a.noconvert(), "directories"_a.noconvert(), "queries"_a.noconvert(), "k"_a,
          "threads"_a, py::arg("alive").noconvert() = Bitmap(0));
    m.def("search_multi_index_within", &search_within, "points"_a.noconvert(), "rows"_a.noconvert(),
          "codes"_a.noconvert(), "directories"_a.noconvert(), "queries"_a.noconvert(), "radius"_a,
          "threads"_a, py::arg("alive").noconvert() = Bitmap(0));
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
    m.def("hamming_neighbors_in_lists", &neighbors_in_lists, "points"_a.noconvert(),
          "starts"_a.noconvert(), "members"_a.noconvert(), "queries"_a.noconvert(),
          "lists"_a.noconvert(), "k"_a, "threads"_a);
    m.def("hamming_neighbors_within", &neighbors_within, "queries"_a.noconvert(),
          "points"_a.noconvert(), "radius"_a, "threads"_a,
          py::arg("alive").noconvert() = Bitmap(0));
    bind_multi_index(m);
    bind_project<std::uint8_t>(m);
    bind_project<float>(m);
}

}  // namespace trouvaille::python
