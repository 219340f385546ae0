// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include "aggregate/fisher.hpp"
#include "aggregate/mixture.hpp"
#include "aggregate/vlad.hpp"
#include "aggregate/whiten.hpp"
#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

/// Offsets of parts of so many rows.
std::span<const std::int64_t> offsets_view(const Array<std::int64_t>& offsets, std::size_t rows) {
    const auto parts = vector_view(offsets);
    if (parts.empty() || parts.front() != 0 || !std::is_sorted(parts.begin(), parts.end()) ||
        parts.back() != static_cast<std::int64_t>(rows))
        throw py::value_error("offsets must rise from 0 to the number of rows");
    return parts;
}

Normalization normalization_of(double power, std::size_t block, bool unit) {
    if (!(power > 0 && power <= 1)) throw py::value_error("power must be above 0 and at most 1");
    return {power, block, unit};
}

Mixture mixture_of(const Array<double>& weights, const Array<double>& means,
                   const Array<double>& variances, std::size_t dims) {
    const Mixture mixture{vector_view(weights), view(means), view(variances)};
    const std::size_t components = mixture.weights.size();
    if (components == 0 || mixture.means.rows != components || mixture.means.cols != dims ||
        mixture.variances.rows != components || mixture.variances.cols != dims)
        throw py::value_error("weights, means, variances and rows do not fit together");
    return mixture;
}

template <class T>
Array<T> new_matrix(py::ssize_t rows, std::size_t cols) {
    return array_on_pages<T>({rows, static_cast<py::ssize_t>(cols)});  // of megabytes, often
}

template <class T>
void bind_vlad(py::module_& m) {
    m.def(
        "vlad",
        [](const Array<T>& x, const Array<std::int64_t>& offsets, const Array<T>& words,
           const Array<std::int64_t>& ids, const Array<float>& weights, bool unit_residuals,
           double power, bool intra, bool unit, int threads) {
            const auto rows = view(x), centers = view(words);
            const auto nearest = view(ids);
            const auto shares = view(weights);
            const auto parts = offsets_view(offsets, rows.rows);
            if (centers.rows == 0 || centers.cols != rows.cols ||
                (nearest.cols != 0 && nearest.rows != rows.rows))
                throw py::value_error("x, words and ids do not fit together");
            if (shares.cols != 0 && (shares.rows != rows.rows || shares.cols != nearest.cols))
                throw py::value_error("weights and ids differ in shape");
            if (sizeof(T) == 1 && centers.cols > max_byte_dims)
                throw py::value_error("rows of bytes are too long for 32-bit distances");
            const auto inside = [&](std::int64_t id) {
                return id >= 0 && static_cast<std::size_t>(id) < centers.rows;
            };
            if (!std::all_of(nearest.data, nearest.row(nearest.rows), inside))
                throw py::value_error("an id names no word");
            const auto how = normalization_of(power, intra ? centers.cols : 0, unit);
            auto out = new_matrix<float>(offsets.shape(0) - 1,
                                         checked_mul(centers.rows, centers.cols, "words * dims"));
            const auto vectors = mutable_view(out);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                vlad(rows, parts, centers, nearest, shares, unit_residuals, how, vectors, threads);
            }
            return out;
        },
        "x"_a.noconvert(), "offsets"_a.noconvert(), "words"_a.noconvert(), "ids"_a.noconvert(),
        "weights"_a.noconvert(), "unit_residuals"_a, "power"_a, "intra"_a, "unit"_a, "threads"_a);
}

template <class Distance>
void bind_soft_weights(py::module_& m) {
    m.def(
        "soft_weights",
        [](const Array<Distance>& distances, double scale, int threads) {
            const auto given = view(distances);
            if (!(scale >= 0)) throw py::value_error("scale must not be negative");
            auto out = new_matrix<float>(distances.shape(0), given.cols);
            const auto weights = mutable_view(out);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                soft_weights(given, scale, weights, threads);
            }
            return out;
        },
        "distances"_a.noconvert(), "scale"_a, "threads"_a);
}

template <class T>
void bind_mixture(py::module_& m) {
    m.def(
        "mixture_sums",
        [](const Array<T>& x, const Array<std::int64_t>& offsets, const Array<double>& weights,
           const Array<double>& means, const Array<double>& variances, int threads) {
            const auto rows = view(x);
            const auto parts = offsets_view(offsets, rows.rows);
            const auto mixture = mixture_of(weights, means, variances, rows.cols);
            auto sums = new_matrix<double>(offsets.shape(0) - 1,
                                           mixture_sums_size(mixture.weights.size(), rows.cols));
            Array<double> likelihoods({offsets.shape(0) - 1});
            const auto s = mutable_view(sums);
            const auto l = mutable_vector_view(likelihoods);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                mixture_sums(rows, parts, mixture, s, l, threads);
            }
            return py::make_tuple(sums, likelihoods);
        },
        "x"_a.noconvert(), "offsets"_a.noconvert(), "weights"_a.noconvert(), "means"_a.noconvert(),
        "variances"_a.noconvert(), "threads"_a);
    m.def(
        "fisher_vectors",
        [](const Array<T>& x, const Array<std::int64_t>& offsets, const Array<double>& weights,
           const Array<double>& means, const Array<double>& variances, double power, bool unit,
           int threads) {
            const auto rows = view(x);
            const auto parts = offsets_view(offsets, rows.rows);
            const auto mixture = mixture_of(weights, means, variances, rows.cols);
            const auto how = normalization_of(power, 0, unit);
            auto out = new_matrix<float>(
                offsets.shape(0) - 1,
                2 * checked_mul(mixture.weights.size(), rows.cols, "components * dims"));
            const auto vectors = mutable_view(out);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                fisher_vectors(rows, parts, mixture, how, vectors, threads);
            }
            return out;
        },
        "x"_a.noconvert(), "offsets"_a.noconvert(), "weights"_a.noconvert(), "means"_a.noconvert(),
        "variances"_a.noconvert(), "power"_a, "unit"_a, "threads"_a);
}

template <class T>
void bind_whiten(py::module_& m) {
    m.def(
        "whiten",
        [](const Array<T>& x, const Array<double>& mean, const Array<float>& directions,
           const Array<double>& scales, bool zeros_stay, bool unit, int threads) {
            const auto rows = view(x);
            const auto axes = view(directions);
            const auto center = vector_view(mean), factors = vector_view(scales);
            if (center.size() != rows.cols || axes.cols != rows.cols || factors.size() != axes.rows)
                throw py::value_error("x, mean, directions and scales do not fit together");
            auto out = new_matrix<float>(x.shape(0), axes.rows);
            const auto vectors = mutable_view(out);
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                whiten(rows, center, axes, factors, zeros_stay, unit, vectors, threads);
            }
            return out;
        },
        "x"_a.noconvert(), "mean"_a.noconvert(), "directions"_a.noconvert(), "scales"_a.noconvert(),
        "zeros_stay"_a, "unit"_a, "threads"_a);
}

}  // namespace

void bind_aggregate(py::module_& m) {
    bind_vlad<std::uint8_t>(m);
    bind_vlad<float>(m);
    bind_soft_weights<std::int32_t>(m);
    bind_soft_weights<float>(m);
    bind_mixture<std::uint8_t>(m);
    bind_mixture<float>(m);
    bind_whiten<std::uint8_t>(m);
    bind_whiten<float>(m);
}

}  // namespace trouvaille::python
