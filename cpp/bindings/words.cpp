// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/update_centers.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

// Leaves `centers` as they are and returns the new ones.
template <class T, class Distance>
void bind_update_centers(py::module_& m) {
    m.def(
        "update_centers",
        [](const Array<T>& points, const Array<std::int64_t>& labels,
           const Array<Distance>& distances, const Array<T>& centers, int threads) {
            const auto x = view(points), old = view(centers);
            const auto l = vector_view(labels);
            const auto d = vector_view(distances);
            if (x.cols != old.cols) throw py::value_error("points and centers differ in columns");
            if (l.size() != x.rows || d.size() != x.rows)
                throw py::value_error("points, labels and distances differ in number");
            const auto inside = [&](std::int64_t label) {
                return label >= 0 && static_cast<std::size_t>(label) < old.rows;
            };
            if (!std::all_of(l.begin(), l.end(), inside))
                throw py::value_error("a label names no center");
            Array<T> updated({centers.shape(0), centers.shape(1)});
            const auto out = mutable_view(updated);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                std::copy_n(old.data, old.rows * old.cols, out.data);
                update_centers(x, l, d, out, threads);
            }
            return updated;
        },
        "points"_a.noconvert(), "labels"_a.noconvert(), "distances"_a.noconvert(),
        "centers"_a.noconvert(), "threads"_a);
}

}  // namespace

void bind_words(py::module_& m) {
    bind_update_centers<std::uint8_t, std::int32_t>(m);
    bind_update_centers<float, float>(m);
}

}  // namespace trouvaille::python
