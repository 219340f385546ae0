// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "geometry/verify.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

// Python has checked the arguments for the user; these are the ones that would be unsafe.
void require_safe(const Shortlist& in) {
    const auto covers = [](std::span<const std::int64_t> offsets, std::size_t rows) {
        if (offsets.empty() || offsets.front() != 0) return false;
        for (std::size_t i = 1; i < offsets.size(); ++i)
            if (offsets[i] < offsets[i - 1]) return false;
        return static_cast<std::size_t>(offsets.back()) == rows;
    };
    if (in.query_frames.cols != 6 || in.candidate_frames.cols != 6 || in.matches.cols != 2 ||
        in.frame_offsets.size() != in.match_offsets.size() ||
        !covers(in.frame_offsets, in.candidate_frames.rows) ||
        !covers(in.match_offsets, in.matches.rows) ||
        (!in.weights.empty() && in.weights.size() != in.matches.rows))
        throw py::value_error("the arrays of a shortlist do not fit together");
    for (std::size_t c = 0; c < in.candidates(); ++c) {
        const std::int64_t frames = in.frame_offsets[c + 1] - in.frame_offsets[c];
        for (std::int64_t k = in.match_offsets[c]; k < in.match_offsets[c + 1]; ++k) {
            const std::int32_t* match = in.matches.row(static_cast<std::size_t>(k));
            if (match[0] < 0 || static_cast<std::size_t>(match[0]) >= in.query_frames.rows)
                throw py::value_error(
                    "matches must name features of the query in the first column, from 0 to " +
                    std::to_string(static_cast<std::int64_t>(in.query_frames.rows) - 1) + "; row " +
                    std::to_string(k) + " has " + std::to_string(match[0]));
            if (match[1] < 0 || match[1] >= frames)
                throw py::value_error(
                    "matches must name features of their candidate in the second column, from 0 "
                    "to " +
                    std::to_string(frames - 1) + " for candidate " + std::to_string(c) + "; row " +
                    std::to_string(k) + " has " + std::to_string(match[1]));
        }
    }
}

py::tuple verify_shortlist(const Array<float>& query_frames, const Array<float>& candidate_frames,
                           const Array<std::int64_t>& frame_offsets,
                           const Array<std::int32_t>& matches,
                           const Array<std::int64_t>& match_offsets, std::uint8_t model,
                           const Array<double>& weights, double residual_threshold,
                           std::size_t min_inliers, int threads) {
    const Shortlist in{view(query_frames), view(candidate_frames),     vector_view(frame_offsets),
                       view(matches),      vector_view(match_offsets), vector_view(weights)};
    require_safe(in);
    if (model > static_cast<std::uint8_t>(TransformModel::homography))
        throw py::value_error("model must be 0 (similarity), 1 (affine) or 2 (homography)");
    const auto n = static_cast<py::ssize_t>(in.candidates());
    Array<std::int64_t> n_inliers(n);
    Array<double> scores(n), transforms({n, py::ssize_t{3}, py::ssize_t{3}}),
        boxes({n, py::ssize_t{4}});
    Array<bool> inliers(static_cast<py::ssize_t>(in.matches.rows));
    const Verification out{mutable_vector_view(n_inliers), mutable_vector_view(scores),
                           mutable_view(transforms), mutable_vector_view(inliers),
                           mutable_view(boxes)};
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        verify(in, {static_cast<TransformModel>(model), residual_threshold, min_inliers}, out,
               threads);
    }
    return py::make_tuple(n_inliers, scores, transforms, inliers, boxes);
}

}  // namespace

void bind_geometry(py::module_& m) {
    m.def("verify", &verify_shortlist, "query_frames"_a.noconvert(),
          "candidate_frames"_a.noconvert(), "frame_offsets"_a.noconvert(), "matches"_a.noconvert(),
          "match_offsets"_a.noconvert(), "model"_a, "weights"_a.noconvert(), "residual_threshold"_a,
          "min_inliers"_a, "threads"_a);
}

}  // namespace trouvaille::python
