// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which of many candidates become neighbours of a point. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "neighbors/graph_pool.hpp"

namespace trouvaille::graph {

/// DiskANN's RobustPrune, in two passes. The nearest candidate is taken; one is passed over if a
/// taken one is more than `alpha` times nearer to it than the point is; and so on. The first pass
/// has an alpha of 1, so that long edges only fill the places that are left.
template <class T>
class Pruner {
  public:
    Pruner(MatrixView<const T> points, double alpha) : points_(points), alpha_(alpha) {}

    /// Writes up to `most` of the candidates, sorted by their distance from the point, to
    /// `neighbors`; returns how many.
    std::size_t prune(std::span<const Key> candidates, std::size_t most, std::uint32_t* neighbors) {
        nearer_.assign(candidates.size(), 0);
        std::size_t taken = 0;
        for (const double alpha : {1.0, alpha_})
            for (std::size_t i = 0; i < candidates.size() && taken < most; ++i) {
                if (nearer_[i] > alpha) continue;
                nearer_[i] = std::numeric_limits<double>::infinity();
                neighbors[taken++] = node_of(candidates[i]);
                compare_with(node_of(candidates[i]), candidates, i + 1);
            }
        return taken;
    }

  private:
    /// How much nearer `taken` is to each candidate from `begin` on than the point is.
    void compare_with(std::uint32_t taken, std::span<const Key> candidates, std::size_t begin) {
        rows_.clear();
        places_.clear();
        for (std::size_t i = begin; i < candidates.size(); ++i)
            if (nearer_[i] <= alpha_) {
                rows_.push_back(node_of(candidates[i]));
                places_.push_back(i);
            }
        distances_.resize(rows_.size());
        distances_of_(points_.row(taken), points_, rows_.data(), rows_.size(), distances_.data());
        for (std::size_t j = 0; j < rows_.size(); ++j) {
            const auto own = static_cast<double>(distance_of<Distance<T>>(candidates[places_[j]]));
            const auto other = static_cast<double>(distances_[j]);
            double& nearer = nearer_[places_[j]];
            // Distinct floats may be at a distance of 0, which is nearer than any.
            nearer =
                std::max(nearer, other > 0 ? own / other : std::numeric_limits<double>::infinity());
        }
    }

    MatrixView<const T> points_;
    double alpha_;
    RowDistances<T> distances_of_ = row_distances<T>();
    std::vector<double> nearer_;  // of each candidate: own distance / that from a taken one
    std::vector<std::uint32_t> rows_;
    std::vector<std::size_t> places_;
    std::vector<Distance<T>> distances_;
};

}  // namespace trouvaille::graph
