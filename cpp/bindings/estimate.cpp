// SPDX-License-Identifier: Apache-2.0
#include "geometry/estimate.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

GeometricModel model_of(const std::string& name) {
    const auto* place = std::find(std::begin(model_names), std::end(model_names), name);
    if (place == std::end(model_names)) throw py::value_error("there is no model " + name);
    return static_cast<GeometricModel>(place - std::begin(model_names));
}

py::tuple estimate_model(const std::string& model, const Array<double>& first,
                         const Array<double>& second, const Array<double>& quality, bool magsac,
                         double residual_threshold, std::uint64_t max_trials, double confidence,
                         std::uint64_t seed) {
    const auto x1 = view(first), x2 = view(second);
    const auto given = vector_view(quality);
    if (x1.rows != x2.rows || x1.cols != x2.cols || (x1.cols != 2 && x1.cols != 6) ||
        x1.rows >> 31 != 0 || (!given.empty() && given.size() != x1.rows))
        throw py::value_error("the arrays of matches do not fit together");
    if (!(residual_threshold > 0) || max_trials < 1 || !(confidence > 0 && confidence < 1))
        throw py::value_error("an option is out of range");
    Array<bool> inliers(static_cast<py::ssize_t>(x1.rows));
    const EstimateOptions options{
        model_of(model),    magsac ? EstimateScoring::magsac : EstimateScoring::msac,
        residual_threshold, max_trials,
        confidence,         seed};
    Estimate found;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        found = estimate(x1, x2, given, options, mutable_vector_view(inliers));
    }
    Array<double> matrix({py::ssize_t{3}, py::ssize_t{3}});
    std::copy(found.model.of.begin(), found.model.of.end(), matrix.mutable_data());
    return py::make_tuple(matrix, inliers, found.n_inliers, found.score, found.trials,
                          found.reason);
}

}  // namespace

void bind_estimate(py::module_& m) {
    m.def("estimate", &estimate_model, "model"_a, "x1"_a.noconvert(), "x2"_a.noconvert(),
          "quality"_a.noconvert(), "magsac"_a, "residual_threshold"_a, "max_trials"_a,
          "confidence"_a, "seed"_a);
}

}  // namespace trouvaille::python
