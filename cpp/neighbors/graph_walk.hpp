// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "neighbors/graph.hpp"

namespace trouvaille::graph {

// A node and its distance in one number whose order is theirs: 32 bits of distance (the bits of a
// float that is not negative ascend with it), 31 of the node, and whether it has been expanded.
using Key = std::uint64_t;
inline Key key_of(std::int32_t distance, std::uint32_t node) {
    return Key{static_cast<std::uint32_t>(distance)} << 32 | Key{node} << 1;
}
inline Key key_of(float distance, std::uint32_t node) {
    return Key{std::bit_cast<std::uint32_t>(distance)} << 32 | Key{node} << 1;
}
inline std::uint32_t node_of(Key key) { return static_cast<std::uint32_t>(key) >> 1; }
template <class D>
D distance_of(Key key) {
    return std::bit_cast<D>(static_cast<std::uint32_t>(key >> 32));
}

/// The nearest nodes met, sorted, at most `capacity` of them.
class Pool {
  public:
    void reset(std::size_t capacity) {
        keys_.resize(capacity + 1);
        capacity_ = capacity;
        size_ = next_ = 0;
    }
    bool full() const { return size_ == capacity_; }
    Key worst() const { return keys_[size_ - 1]; }
    std::size_t size() const { return size_; }
    Key operator[](std::size_t i) const { return keys_[i]; }

    void insert(Key key) {
        if (size_ == capacity_ && key >= keys_[size_ - 1]) return;
        Key* place = std::lower_bound(keys_.data(), keys_.data() + size_, key);
        Key* end = keys_.data() + size_;
        if (place != end && (*place | 1) == (key | 1)) return;
        std::memmove(place + 1, place, static_cast<std::size_t>(end - place) * sizeof(Key));
        *place = key;
        size_ = std::min(size_ + 1, capacity_);
        next_ = std::min(next_, static_cast<std::size_t>(place - keys_.data()));
    }
    /// The nearest node not expanded, from now on expanded; false if there is none.
    bool expand(Key& key) {
        while (next_ < size_ && (keys_[next_] & 1) != 0) ++next_;
        if (next_ == size_) return false;
        key = keys_[next_];
        keys_[next_++] |= 1;
        return true;
    }

  private:
    std::vector<Key> keys_;
    std::size_t capacity_ = 0, size_ = 0, next_ = 0;
};

/// Remembers nodes, most of the time.
class Seen {
  public:
    void reset(std::size_t bits) {
        shift_ = static_cast<int>(32 - bits);
        nodes_.assign(std::size_t{1} << bits, no_neighbor);
    }
    /// Whether `node` is new; from now on it is not.
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

#ifdef COUNT
inline std::size_t hops = 0, compared = 0;
#endif

template <class T>
ALWAYS_INLINE void prefetch(const T* data, std::size_t n) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    for (std::uintptr_t line = address & ~std::uintptr_t{63}; line < address + n * sizeof(T);
         line += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(line));
}

template <class T>
class Walk {
  public:
    void start(const GraphView<T>& graph, const T* query, std::size_t width, std::size_t bits,
               bool record) {
        query_ = query;
        pool.reset(width);
        seen_.reset(bits);
        fresh_.resize(graph.neighbors.cols + 4);
        distances_.resize(graph.neighbors.cols + 4);
        expanded.clear();
        record_ = record;
        fresh_[0] = graph.entry;
        seen_.add(graph.entry);
        count_ = 1;
        compare_next_ = true;
        prefetch(graph.points.row(graph.entry), graph.points.cols);
    }

    /// One step; each ends where memory is asked for that the next one needs. False at the end.
    bool step(const GraphView<T>& graph, RowDistances<T> distances) {
        if (compare_next_) {
            compare(graph, distances);
            return choose(graph);
        }
        gather(graph);
        return true;
    }

    Pool pool;
    std::vector<Key> expanded;

  private:
    void gather(const GraphView<T>& graph) {
        const std::uint32_t* neighbors = graph.neighbors.row(node_);
        count_ = 0;
        for (std::size_t i = 0; i < graph.neighbors.cols && neighbors[i] != no_neighbor; ++i) {
            fresh_[count_] = neighbors[i];
            count_ += seen_.add(neighbors[i]);
        }
        for (std::size_t i = 0; i < count_; ++i)
            prefetch(graph.points.row(fresh_[i]), graph.points.cols);
        compare_next_ = true;
    }

    void compare(const GraphView<T>& graph, RowDistances<T> distances) {
        if (count_ == 0) return;
        distances(query_, graph.points, fresh_.data(), count_, distances_.data());
#ifdef COUNT
        compared += count_;
#endif
        for (std::size_t i = 0; i < count_; ++i) pool.insert(key_of(distances_[i], fresh_[i]));
    }

    bool choose(const GraphView<T>& graph) {
        Key key;
        if (!pool.expand(key)) return false;
#ifdef COUNT
        ++hops;
#endif
        if (record_) expanded.push_back(key);
        node_ = node_of(key);
        prefetch(graph.neighbors.row(node_), graph.neighbors.cols);
        compare_next_ = false;
        return true;
    }

    const T* query_ = nullptr;
    Seen seen_;
    std::vector<std::uint32_t> fresh_;
    std::vector<Distance<T>> distances_;
    std::size_t count_ = 0;
    std::uint32_t node_ = 0;
    bool compare_next_ = false, record_ = false;
};

#ifndef FLIGHT
#define FLIGHT 4
#endif
/// Walks for items [begin, end), several in flight.
template <class T, class QueryOf, class Finish>
void walk_all(const GraphView<T>& graph, std::size_t begin, std::size_t end, std::size_t width,
              bool record, QueryOf query_of, Finish finish) {
    static std::size_t in_flight = getenv("FL") ? std::size_t(atoi(getenv("FL"))) : FLIGHT;
    static std::size_t mult = getenv("SB") ? std::size_t(atoi(getenv("SB"))) : 64;
    thread_local std::vector<Walk<T>> walks(32);
    thread_local std::vector<std::size_t> items(32);
    const auto distances = row_distances<T>();
    const std::size_t bits = std::clamp<std::size_t>(std::bit_width(width * mult), 8, 20);
    std::size_t running = std::min(in_flight, end - begin);
    for (std::size_t i = 0; i < running; ++i) {
        items[i] = begin++;
        walks[i].start(graph, query_of(items[i]), width, bits, record);
    }
    for (std::size_t i = 0; running > 0; i = i + 1 < running ? i + 1 : 0) {
        if (i >= running) i = 0;
        if (walks[i].step(graph, distances)) continue;
        finish(items[i], walks[i]);
        if (begin < end) {
            items[i] = begin++;
            walks[i].start(graph, query_of(items[i]), width, bits, record);
        } else {
            --running;
            std::swap(walks[i], walks[running]);
            std::swap(items[i], items[running]);
        }
    }
}

}  // namespace trouvaille::graph
