// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rows that are equal, and rows that were removed. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/view.hpp"

namespace trouvaille::graph {

inline std::uint64_t copy_of(std::uint32_t node, std::uint32_t row) {
    return std::uint64_t{node} << 32 | row;
}

/// Of the rows from `begin` on, those that equal an earlier one of them: (that one, they),
/// ascending.
template <class T>
std::vector<std::uint64_t> equal_rows(MatrixView<const T> points, std::size_t begin, int threads);

/// The rows that a node stands for: itself and its copies, if they are alive.
class Members {
  public:
    Members(std::span<const std::uint64_t> copies, const std::uint64_t* alive)
        : copies_(copies), alive_(alive) {}

    /// Whether every node stands for itself and nothing else.
    bool trivial() const { return copies_.empty() && alive_ == nullptr; }

    bool alive(std::uint32_t row) const {
        return alive_ == nullptr || (alive_[row / 64] >> row % 64 & 1) != 0;
    }
    bool any(std::uint32_t node) const {
        if (alive(node)) return true;
        for (const std::uint64_t copy : copies(node))
            if (alive(static_cast<std::uint32_t>(copy))) return true;
        return false;
    }
    /// Appends the first `most` members of `node`, ascending.
    void append(std::uint32_t node, std::size_t most, std::vector<std::uint32_t>& rows) const {
        const std::size_t full = rows.size() + most;
        if (rows.size() < full && alive(node)) rows.push_back(node);
        for (const std::uint64_t copy : copies(node)) {
            if (rows.size() == full) return;
            if (alive(static_cast<std::uint32_t>(copy)))
                rows.push_back(static_cast<std::uint32_t>(copy));
        }
    }

  private:
    std::span<const std::uint64_t> copies(std::uint32_t node) const {
        const auto begin = std::lower_bound(copies_.begin(), copies_.end(), copy_of(node, 0));
        auto end = begin;
        while (end != copies_.end() && *end >> 32 == node) ++end;
        return {begin, end};
    }

    std::span<const std::uint64_t> copies_;
    const std::uint64_t* alive_;
};

}  // namespace trouvaille::graph
