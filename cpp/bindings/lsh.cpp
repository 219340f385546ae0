// SPDX-License-Identifier: Apache-2.0
#include "neighbors/lsh.hpp"

#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

template <class Items>
py::ssize_t length(const Items& items) {
    return static_cast<py::ssize_t>(items.size());
}

template <class T>
py::tuple as_tuple(const Array<T>& points, const LSHData& data) {
    const HashFunctionsData& functions = data.functions;
    const py::ssize_t n = points.shape(0), tables = static_cast<py::ssize_t>(data.tables);
    const std::vector<std::int32_t> settings = {static_cast<std::int32_t>(functions.sketch_bits),
                                                functions.reach, functions.packed_bits ? 1 : 0};
    return py::make_tuple(
        points, copied_to_pages<std::uint32_t>(data.rows, {n}),
        copied_to_pages<std::uint32_t>(data.slots, {tables, length(data.slots) / tables, 2}),
        copied_to_pages<std::uint32_t>(data.orders, {tables - 1, n}),
        copied_to_pages<std::uint8_t>(data.panels, {tables, length(data.panels) / tables}),
        copied_to_pages<float>(functions.center, {length(functions.center)}),
        copied_to_pages<float>(functions.directions,
                               {length(functions.center), length(functions.offsets)}),
        copied_to_pages<float>(functions.offsets, {length(functions.offsets)}),
        copied_to_pages<std::uint32_t>(functions.multipliers, {length(functions.multipliers)}),
        copied_to_pages<std::int32_t>(settings, {3}));
}

class TableArrays : public IndexArrays {
  public:
    explicit TableArrays(const py::tuple& arrays) : IndexArrays(arrays, "LSH") {
        if (arrays.size() != 10) throw py::value_error("LSH tables are ten arrays");
    }

    template <class T>
    LSH<T> view() const {
        const auto slots = at<std::uint32_t>(2);
        const auto settings = vector_view(at<std::int32_t>(9));
        if (slots.ndim() != 3 || slots.shape(2) != 2 || settings.size() != 3 || settings[0] < 0 ||
            (settings[2] != 0 && (settings[2] != 1 || sizeof(T) != 1)))
            throw py::value_error("LSH tables of other shapes");
        LSH<T> lsh;
        lsh.points = trouvaille::python::view(at<T>(0));
        lsh.rows = vector_view(at<std::uint32_t>(1));
        lsh.slots = {reinterpret_cast<const LSHSlot*>(aligned_data(slots)),
                     static_cast<std::size_t>(slots.shape(0)),
                     static_cast<std::size_t>(slots.shape(1))};
        lsh.orders = trouvaille::python::view(at<std::uint32_t>(3));
        lsh.panels = trouvaille::python::view(at<std::uint8_t>(4));
        lsh.functions = {vector_view(at<float>(5)),
                         trouvaille::python::view(at<float>(6)),
                         vector_view(at<float>(7)),
                         vector_view(at<std::uint32_t>(8)),
                         static_cast<std::size_t>(settings[0]),
                         settings[1],
                         settings[2] != 0};
        return lsh;
    }
};

HashFamily family_of(const std::string& name) {
    if (name == "hyperplanes") return HashFamily::hyperplanes;
    if (name == "p-stable") return HashFamily::stable;
    if (name == "bits") return HashFamily::bits;
    throw py::value_error("no hash family is called " + name);
}

template <class T>
void check_options(MatrixView<const T> points, const HashOptions& options) {
    if (points.rows == 0 || points.cols == 0) throw py::value_error("there are no points");
    if (points.rows >= std::size_t{1} << 31)
        throw py::value_error("LSH tables hold less than 2^31 points");
    if (sizeof(T) == 1 && points.cols > max_byte_dims)
        throw py::value_error("rows of bytes are too long for 32-bit distances");
    if (options.tables < 1 || options.tables > 1'024 || options.functions < 1 ||
        options.functions > most_functions || options.sketch_bytes < 2 ||
        options.sketch_bytes > 4'096 || options.sketch_bytes % 2 != 0 || !(options.width >= 0))
        throw py::value_error("tables, functions, sketch_bytes or width is out of range");
    if (options.packed_bits && sizeof(T) != 1) throw py::value_error("bits are packed in bytes");
    if (options.family == HashFamily::bits && !options.packed_bits)
        throw py::value_error("points that are not bits have none to sample");
}

template <class T>
void bind_build(py::module_& m) {
    m.def(
        "build_lsh",
        [](const Array<T>& points, std::size_t tables, std::size_t functions,
           std::size_t sketch_bytes, const std::string& family, double width, bool packed_bits,
           std::uint64_t seed, int threads) {
            const HashOptions options{tables, functions,   sketch_bytes, family_of(family),
                                      width,  packed_bits, seed};
            const auto x = view(points);
            check_options(x, options);
            Array<T> ordered = array_on_pages<T>({points.shape(0), points.shape(1)});
            const auto out = mutable_view(ordered);
            LSHData data;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                data = build_lsh<T>(x, options, out, threads);
            }
            return as_tuple(ordered, data);
        },
        "points"_a.noconvert(), "tables"_a, "functions"_a, "sketch_bytes"_a, "family"_a, "width"_a,
        "packed_bits"_a, "seed"_a, "threads"_a);
}

using Alive = std::optional<Array<std::uint64_t>>;

template <class T>
void bind_search(py::module_& m) {
    m.def(
        "search_lsh",
        [](const py::tuple& arrays, const Array<T>& queries, py::ssize_t k, std::uint64_t checks,
           std::uint64_t probes, std::uint64_t comparisons, const Alive& alive, int threads) {
            const auto lsh = TableArrays(arrays).view<T>();
            const auto q = view(queries);
            if (q.cols != lsh.points.cols)
                throw py::value_error("queries and points differ in columns");
            if (k < 1) throw py::value_error("k must be positive");
            LSHSearchOptions options{checks, probes, comparisons, {}};
            if (alive) options.alive = vector_view(*alive);
            if (alive && options.alive.size() < (lsh.points.rows + 63) / 64)
                throw py::value_error("alive must have a bit for each point");
            Array<Distance<T>> distances({queries.shape(0), k});
            Array<std::int64_t> ids({queries.shape(0), k});
            const auto d = mutable_view(distances);
            const auto i = mutable_view(ids);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                search_lsh<T>(lsh, q, options, d, i, threads);
            }
            return py::make_tuple(distances, ids);
        },
        "lsh"_a, "queries"_a.noconvert(), "k"_a, "checks"_a, "probes"_a, "comparisons"_a,
        "alive"_a.noconvert(), "threads"_a);
}

void check(const py::tuple& arrays) {
    const TableArrays tables(arrays);
    if (tables.holds<std::uint8_t>()) return check_lsh(tables.view<std::uint8_t>());
    check_lsh(tables.view<float>());
}

}  // namespace

void bind_lsh(py::module_& m) {
    bind_build<std::uint8_t>(m);
    bind_build<float>(m);
    bind_search<std::uint8_t>(m);
    bind_search<float>(m);
    m.def("check_lsh", &check, "lsh"_a);
}

}  // namespace trouvaille::python
