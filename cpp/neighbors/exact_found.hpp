// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an exact search keeps for one query. Private to neighbors/.
//
// A Found is given keys (metric.hpp) with the numbers of their rows, in any order, and has
//   full(), worst()   whether, and below which key, it still takes rows; below any before it is
//   full capacity(), size() push(key, row)    takes the row, or not

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "core/interrupt.hpp"
#include "core/topk.hpp"

namespace trouvaille::exact {

template <class Key>
using Item = Ranked<Key, std::uint32_t>;

/// The k nearest.
template <class Key>
using Best = TopK<Key, std::uint32_t, std::less<Key>>;

/// All whose key is below a limit.
template <class Key>
class Within {
  public:
    explicit Within(Key limit) : limit_{limit, 0} {}

    bool full() const { return true; }
    const Item<Key>& worst() const { return limit_; }
    std::size_t capacity() const { return std::numeric_limits<std::size_t>::max(); }
    std::size_t size() const { return items_.size(); }

    void push(Key key, std::uint32_t row) {
        if (key < limit_.score) items_.push_back({key, row});
    }

    std::vector<Item<Key>>& items() { return items_; }

    /// The nearest first. Throws Interrupted (core/interrupt.hpp).
    void sort() {
        InterruptPoll poll;
        std::sort(items_.begin(), items_.end(), [&poll](const Item<Key>& a, const Item<Key>& b) {
            poll.did(1);
            return ranks_before(a, b, std::less<Key>{});
        });
    }

  private:
    Item<Key> limit_;
    std::vector<Item<Key>> items_;
};

template <class Key>
inline constexpr Key farthest =
    std::numeric_limits<Key>::has_infinity ? std::numeric_limits<Key>::infinity()
                                           : std::numeric_limits<Key>::max();

}  // namespace trouvaille::exact
