// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/hellinger.hpp"
#include "neighbors/update_centers.hpp"
#include "words/spread_rows.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Labels = Array<std::int64_t>;

void check_labels(std::span<const std::int64_t> labels, std::size_t clusters) {
    const auto inside = [&](std::int64_t label) {
        return label >= 0 && static_cast<std::size_t>(label) < clusters;
    };
    if (!std::all_of(labels.begin(), labels.end(), inside))
        throw py::value_error("a label names no center");
}

// Changes sums and counts.
template <class T>
void bind_add_to_sums(py::module_& m) {
    m.def(
        "add_to_sums",
        [](const Array<T>& points, const Labels& labels, Array<Sum<T>> sums, Labels counts,
           int threads) {
            const auto x = view(points);
            const auto l = vector_view(labels);
            const auto s = mutable_view(sums);
            const auto n = mutable_vector_view(counts);
            if (x.cols != s.cols) throw py::value_error("points and sums differ in columns");
            if (l.size() != x.rows) throw py::value_error("points and labels differ in number");
            if (n.size() != s.rows) throw py::value_error("sums and counts differ in number");
            check_labels(l, s.rows);
            const ReleasedGil nogil;  // no Python object is touched after this
            add_to_sums(x, l, s, n, threads);
        },
        "points"_a.noconvert(), "labels"_a.noconvert(), "sums"_a.noconvert(),
        "counts"_a.noconvert(), "threads"_a);
}

// Leaves `centers` as they are and returns the new ones.
template <class S, class Center>
void bind_means(py::module_& m) {
    m.def(
        "means",
        [](const Array<S>& sums, const Labels& counts, const Array<Center>& centers, int threads) {
            const auto s = view(sums);
            const auto n = vector_view(counts);
            const auto old = view(centers);
            if (s.rows != old.rows || s.cols != old.cols || n.size() != s.rows)
                throw py::value_error("sums, counts and centers differ in shape");
            if (std::any_of(n.begin(), n.end(), [](std::int64_t count) { return count < 0; }))
                throw py::value_error("a count is negative");
            Array<Center> updated({centers.shape(0), centers.shape(1)});
            const auto out = mutable_view(updated);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                std::copy_n(old.data, old.rows * old.cols, out.data);
                write_means(s, n, out, threads);
            }
            return updated;
        },
        "sums"_a.noconvert(), "counts"_a.noconvert(), "centers"_a.noconvert(), "threads"_a);
}

// Changes labels.
template <class T>
void bind_repair_empty(py::module_& m) {
    m.def(
        "repair_empty",
        [](const std::vector<Array<T>>& parts, bool roots, const Array<Distance<T>>& distances,
           std::size_t clusters, Labels labels) {
            std::vector<MatrixView<const T>> views;
            std::size_t rows = 0;
            for (const auto& part : parts) {
                views.push_back(view(part));
                rows += views.back().rows;
                if (views.back().cols != views.front().cols)
                    throw py::value_error("parts differ in columns");
            }
            const auto d = vector_view(distances);
            const auto l = mutable_vector_view(labels);
            if (d.size() != rows || l.size() != rows)
                throw py::value_error("points, labels and distances differ in number");
            check_labels(l, clusters);
            const ReleasedGil nogil;  // no Python object is touched after this
            return repair_empty<T>(views, roots, d, clusters, l);
        },
        "parts"_a.noconvert(), "roots"_a, "distances"_a.noconvert(), "clusters"_a,
        "labels"_a.noconvert());
}

template <class T>
void bind_hellinger_roots(py::module_& m) {
    m.def(
        "hellinger_roots",
        [](const Array<T>& points, int threads) {
            const auto x = view(points);
            if (x.cols > std::size_t{1} << 24)
                throw py::value_error("points have too many columns");
            Array<T> roots({points.shape(0), points.shape(1)});
            const auto out = mutable_view(roots);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                hellinger_roots(x, out, threads);
            }
            return roots;
        },
        "points"_a.noconvert(), "threads"_a);
}

template <class T>
void bind_spread_rows(py::module_& m) {
    m.def(
        "spread_rows",
        [](const Array<T>& points, std::size_t count, std::uint64_t seed, int threads) {
            const auto x = view(points);
            std::vector<std::int64_t> rows;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                rows = spread_rows(x, count, seed, threads);
            }
            return copied(rows);
        },
        "points"_a.noconvert(), "count"_a, "seed"_a, "threads"_a);
}

}  // namespace

void bind_words(py::module_& m) {
    bind_add_to_sums<std::uint8_t>(m);
    bind_add_to_sums<float>(m);
    bind_means<std::uint64_t, std::uint8_t>(m);
    bind_means<std::uint64_t, float>(m);
    bind_means<double, float>(m);
    bind_repair_empty<std::uint8_t>(m);
    bind_repair_empty<float>(m);
    bind_hellinger_roots<std::uint8_t>(m);
    bind_hellinger_roots<float>(m);
    bind_spread_rows<std::uint8_t>(m);
    bind_spread_rows<float>(m);
}

}  // namespace trouvaille::python
