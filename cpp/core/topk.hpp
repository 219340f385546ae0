// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <functional>
#include <span>

#include "core/interrupt.hpp"

namespace trouvaille {

/// An item with its score, and the library's one rule for ties: the better score first, then the
/// smaller id. `Better` is std::greater for scores, std::less for distances.
template <class Score, class Id>
struct Ranked {
    Score score;
    Id id;
};

template <class Score, class Id, class Better>
constexpr bool ranks_before(const Ranked<Score, Id>& a, const Ranked<Score, Id>& b, Better better) {
    return better(a.score, b.score) || (!better(b.score, a.score) && a.id < b.id);
}

/// The k best of a stream, in a heap over storage that the caller owns (its size is k, k >= 1).
/// Independent of the order in which items arrive. O(log k) for an item that enters, one
/// comparison for one that does not. Ids must be distinct and scores not NaN.
template <class Score, class Id, class Better = std::greater<Score>>
class TopK {
  public:
    using Item = Ranked<Score, Id>;

    explicit TopK(std::span<Item> storage) : storage_(storage) { assert(!storage.empty()); }

    bool full() const { return size_ == storage_.size(); }
    std::size_t size() const { return size_; }
    std::size_t capacity() const { return storage_.size(); }

    /// The item that leaves next; only when full(). Whatever does not rank before it cannot enter.
    const Item& worst() const {
        assert(full());
        return storage_.front();
    }

    void push(Score score, Id id) {
        const Item item{score, id};
        if (!full()) {
            storage_[size_++] = item;
            std::push_heap(begin(), end(), before);
        } else if (before(item, storage_.front())) {
            replace_worst(item);
        }
    }

    /// The items, best first. Ends the stream: call `clear` before pushing again.
    /// Throws Interrupted (core/interrupt.hpp).
    std::span<const Item> sorted() {
        InterruptPoll poll;
        std::sort_heap(begin(), end(), [&poll](const Item& a, const Item& b) {
            poll.did(1);
            return before(a, b);
        });
        return storage_.first(size_);
    }

    void clear() { size_ = 0; }

  private:
    /// Sinks `item` from the front to its place: half the steps of std::pop_heap and push_heap.
    void replace_worst(const Item& item) {
        std::size_t hole = 0;
        for (std::size_t child = 1; child < size_; child = 2 * hole + 1) {
            child += child + 1 < size_ && before(storage_[child], storage_[child + 1]);
            if (!before(item, storage_[child])) break;
            storage_[hole] = storage_[child];
            hole = child;
        }
        storage_[hole] = item;
    }

    static bool before(const Item& a, const Item& b) { return ranks_before(a, b, Better{}); }
    auto begin() { return storage_.begin(); }
    auto end() { return storage_.begin() + static_cast<std::ptrdiff_t>(size_); }

    std::span<Item> storage_;  // a heap whose front is the worst item
    std::size_t size_ = 0;
};

}  // namespace trouvaille
