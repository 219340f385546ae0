// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bindings/arrays.hpp"
#include "core/topk.hpp"

namespace trouvaille::python {

/// Lists one after the other: where each begins and the last one ends, distances, ids.
template <class Distance>
py::tuple joined(const std::vector<std::vector<Ranked<Distance, std::uint32_t>>>& found) {
    Array<std::int64_t> offsets(static_cast<py::ssize_t>(found.size()) + 1);
    std::int64_t total = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        offsets.mutable_data()[i] = total;
        total += static_cast<std::int64_t>(found[i].size());
    }
    offsets.mutable_data()[found.size()] = total;
    Array<Distance> distances(static_cast<py::ssize_t>(total));
    Array<std::int64_t> ids(static_cast<py::ssize_t>(total));
    Distance* d = distances.mutable_data();
    std::int64_t* id = ids.mutable_data();
    for (const auto& list : found)
        for (const auto& neighbor : list) {
            *d++ = neighbor.score;
            *id++ = neighbor.id;
        }
    return py::make_tuple(offsets, distances, ids);
}

}  // namespace trouvaille::python
