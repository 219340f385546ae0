// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a walk along a graph remembers. Private to neighbors/.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "neighbors/graph.hpp"

namespace trouvaille::graph {

// A distance and a node in one number whose order is theirs: 32 bits of distance (the bits of
// floats that are not negative ascend with them), 31 of the node, and one that a pool uses.
using Key = std::uint64_t;

template <class D>
Key key_of(D distance, std::uint32_t node) {
    return Key{std::bit_cast<std::uint32_t>(distance)} << 32 | Key{node} << 1;
}
inline std::uint32_t node_of(Key key) {
    return static_cast<std::uint32_t>(key) >> 1;
}
template <class D>
D distance_of(Key key) {
    return std::bit_cast<D>(static_cast<std::uint32_t>(key >> 32));
}

/// The nearest of the nodes that were inserted, in order, each once.
class Pool {
  public:
    void reset(std::size_t capacity) {
        if (keys_.size() < capacity + 1) keys_.resize(capacity + 1);
        capacity_ = capacity;
        size_ = next_ = 0;
    }
    std::span<const Key> keys() const { return {keys_.data(), size_}; }
    bool full() const { return size_ == capacity_; }

    void insert(Key key) {
        if (size_ == capacity_ && (capacity_ == 0 || key >= keys_[size_ - 1])) return;
        Key *end = keys_.data() + size_, *place = std::lower_bound(keys_.data(), end, key);
        if (place != end && (*place | expanded) == (key | expanded)) return;
        std::memmove(place + 1, place, static_cast<std::size_t>(end - place) * sizeof(Key));
        *place = key;
        size_ = std::min(size_ + 1, capacity_);  // there is room for one that falls out
        next_ = std::min(next_, static_cast<std::size_t>(place - keys_.data()));
    }

    /// What `expand` would give; beyond all if nothing.
    Key next() {
        skip_expanded();
        return next_ == size_ ? ~Key{0} : keys_[next_];
    }

    /// The nearest node that has not been given before; false if there is none.
    bool expand(Key& key) {
        skip_expanded();
        if (next_ == size_) return false;
        key = keys_[next_];
        keys_[next_++] |= expanded;
        return true;
    }

  private:
    void skip_expanded() {
        while (next_ < size_ && (keys_[next_] & expanded) != 0) ++next_;
    }

    static constexpr Key expanded = 1;
    std::vector<Key> keys_;
    std::size_t capacity_ = 0, size_ = 0;
    std::size_t next_ = 0;  // all before have been expanded
};

/// Nodes that were met. It forgets some, which a pool then refuses: this is cheaper than a set.
class Seen {
  public:
    void reset(int bits) {
        shift_ = 32 - bits;
        nodes_.assign(std::size_t{1} << bits, no_neighbor);
    }
    /// Whether `node` seems new; from now on it does not.
    bool add(std::uint32_t node) {
        std::uint32_t& slot = nodes_[(node * 0x9E3779B1u) >> shift_];
        const bool fresh = slot != node;
        slot = node;
        return fresh;
    }

  private:
    std::vector<std::uint32_t> nodes_;
    int shift_ = 0;
};

}  // namespace trouvaille::graph
