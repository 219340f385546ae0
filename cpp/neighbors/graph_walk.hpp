// SPDX-License-Identifier: Apache-2.0
#pragma once

// Walks along a graph, several at a time. Private to neighbors/.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/prefetch.hpp"
#include "core/target.hpp"
#include "neighbors/graph.hpp"
#include "neighbors/graph_copies.hpp"
#include "neighbors/graph_pool.hpp"

namespace trouvaille::graph {

/// What the walks of one call have in common.
template <class T>
struct Course {
    MatrixView<const T> points;
    MatrixView<const std::uint32_t> neighbors;
    std::uint32_t entry;
    std::size_t width;
    const Members* members = nullptr;  // null: every node is wanted, else those that have any
    bool wants_path = false;
    std::span<const std::uint32_t> starts{};  // of each item, besides the entry; or none
    RowDistances<T> distances = row_distances<T>();

    // A walk of width w compares with 30 w to 60 w nodes: few collide among this many places.
    int seen_bits() const {
        return std::clamp(static_cast<int>(std::bit_width(width * 128)), 8, 18);
    }
};

template <class T>
class Walk {
  public:
    void start(const Course<T>& course, const T* query, std::size_t item) {
        query_ = query;
        pool_.reset(course.width);
        unwanted_.reset(course.members == nullptr ? 0 : course.width);
        seen_.reset(course.seen_bits());
        path_.clear();
        const std::size_t most = std::max<std::size_t>(course.neighbors.cols, 2);
        met_.resize(most);
        distances_.resize(most);
        n_met_ = 0;
        begin_at(course, course.entry);
        if (!course.starts.empty()) begin_at(course, course.starts[item]);
        has_met_ = true;
    }

    /// Ends where it asks for memory that the next step needs; false at the end of the walk.
    bool step(const Course<T>& course) {
        if (has_met_) {
            compare(course);
            return choose(course);
        }
        meet(course);
        return true;
    }

    /// The nearest nodes that are wanted.
    std::span<const Key> nearest() const { return pool_.keys(); }

    /// The nodes that the walk came through, in its order, if it is wanted.
    std::span<const Key> path() const { return path_; }

  private:
    void begin_at(const Course<T>& course, std::uint32_t node) {
        met_[n_met_] = node;
        n_met_ += seen_.add(node);
        prefetch(course.points.row(node), course.points.cols);
    }

    /// The neighbours of the chosen node that seem new.
    void meet(const Course<T>& course) {
        const std::uint32_t* neighbors = course.neighbors.row(chosen_);
        n_met_ = 0;
        for (std::size_t i = 0; i < course.neighbors.cols && neighbors[i] != no_neighbor; ++i) {
            met_[n_met_] = neighbors[i];
            n_met_ += seen_.add(neighbors[i]);
        }
        for (std::size_t i = 0; i < n_met_; ++i)
            prefetch(course.points.row(met_[i]), course.points.cols);
        has_met_ = true;
    }

    void compare(const Course<T>& course) {
        course.distances(query_, course.points, met_.data(), n_met_, distances_.data());
        for (std::size_t i = 0; i < n_met_; ++i) {
            const bool wanted = course.members == nullptr || course.members->any(met_[i]);
            Pool& pool = wanted ? pool_ : unwanted_;
            pool.insert(key_of(distances_[i], met_[i]));
        }
    }

    /// Takes the nearest node to go on from; an unwanted one only if it is among the nearest
    /// `width` of the wanted ones.
    bool take(const Course<T>& course, Key& key) {
        if (course.members == nullptr) return pool_.expand(key);
        const Key wanted = pool_.next(), other = unwanted_.next();
        if (other < wanted && (!pool_.full() || other < pool_.keys().back()))
            return unwanted_.expand(key);
        return pool_.expand(key);
    }

    bool choose(const Course<T>& course) {
        Key key;
        if (!take(course, key)) return false;
        if (course.wants_path) path_.push_back(key);
        chosen_ = node_of(key);
        prefetch(course.neighbors.row(chosen_), course.neighbors.cols);
        has_met_ = false;
        return true;
    }

    const T* query_ = nullptr;
    Pool pool_, unwanted_;  // as wide as each other
    Seen seen_;
    std::vector<Key> path_;
    std::uint32_t chosen_ = 0;
    std::vector<std::uint32_t> met_;
    std::vector<Distance<T>> distances_;
    std::size_t n_met_ = 0;
    bool has_met_ = false;  // and not yet compared
};

/// Walks under way in one thread. Four hide each other's latency; of more, what one has asked for
/// is gone again before its turn.
inline constexpr std::size_t walks_at_once = 4;

/// A walk towards query_of(i) for each i of [begin, end), and finish(i, walk) at its end.
template <class T, class QueryOf, class Finish>
void walk_all(const Course<T>& course, std::size_t begin, std::size_t end, QueryOf query_of,
              Finish finish) {
    std::array<Walk<T>, walks_at_once> walks;
    std::array<std::size_t, walks_at_once> items{};
    std::size_t under_way = 0;
    for (; under_way < walks.size() && begin < end; ++under_way, ++begin) {
        items[under_way] = begin;
        walks[under_way].start(course, query_of(begin), begin);
    }
    InterruptPoll poll;
    for (std::size_t turn = 0; under_way > 0; turn = turn + 1 < under_way ? turn + 1 : 0) {
        Walk<T>& walk = walks[turn];
        poll.did(8 + course.width / 64);
        if (walk.step(course)) continue;
        finish(items[turn], walk);
        if (begin < end) {
            items[turn] = begin++;
            walk.start(course, query_of(items[turn]), items[turn]);
        } else {
            --under_way;
            std::swap(walk, walks[under_way]);
            std::swap(items[turn], items[under_way]);
        }
    }
}

}  // namespace trouvaille::graph
