// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/checksum.hpp"
#include "core/interrupt.hpp"

namespace trouvaille {

/// The numbers of rows no two of which are equal; zeros of either sign are. The rows themselves are
/// kept elsewhere. Takes some 40 bytes for each. Throws Interrupted (core/interrupt.hpp).
template <class T>
class RowSet {
  public:
    explicit RowSet(std::size_t cols) : scratch_(cols) {}

    /// Adds row `number` unless an equal one is there; says whether it did. `row_at(i)` points to
    /// row i, until it is called again.
    template <class RowAt>
    bool insert(const T* row, std::size_t number, RowAt row_at) {
        const std::size_t cols = scratch_.size();
        const std::uint32_t hash = hash_of(row);
        const auto [first, last] = by_hash_.equal_range(hash);
        const bool is_new = std::none_of(first, last, [&](const auto& other) {
            poll_.did(1 + cols / 16);
            return std::equal(row, row + cols, row_at(other.second));
        });
        if (is_new) by_hash_.emplace(hash, number);
        return is_new;
    }

    /// Takes as long as there were rows, however many there were before the last call.
    void clear() { by_hash_ = {}; }

  private:
    std::uint32_t hash_of(const T* row) {
        for (std::size_t d = 0; d < scratch_.size(); ++d)
            scratch_[d] = static_cast<T>(row[d] + T{});  // -0 becomes 0
        return crc32c(std::as_bytes(std::span<const T>(scratch_)));
    }

    std::unordered_multimap<std::uint32_t, std::size_t> by_hash_;
    std::vector<T> scratch_;
    InterruptPoll poll_;
};

}  // namespace trouvaille
