// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "neighbors/lloyd.hpp"
#include "words/distinct_rows.hpp"
#include "words/vocabulary_tree.hpp"

namespace trouvaille {
namespace {

/// The points of a node: those of the tree themselves if it is all of them, in order, else a copy.
template <class T>
class Gathered {
  public:
    Gathered(MatrixView<const T> points, std::span<const std::uint32_t> rows) : all_(points) {
        InterruptPoll poll;
        bool as_they_are = rows.size() == points.rows;
        for (std::size_t i = 0; as_they_are && i < rows.size(); ++i) as_they_are = rows[i] == i;
        if (as_they_are) return;
        copy_.resize(rows.size() * points.cols);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            std::copy_n(points.row(rows[i]), points.cols, &copy_[i * points.cols]);
            poll.did(1 + points.cols / 32);
        }
        all_ = {copy_.data(), rows.size(), points.cols};
    }

    MatrixView<const T> points() const { return all_; }

  private:
    MatrixView<const T> all_;
    std::vector<T> copy_;
};

/// Where the results of a node are written: room for as many children as it may have.
template <class T>
struct Room {
    MatrixView<T> centers;
    std::span<std::uint32_t> rows;    // of the node, by child
    std::span<std::uint32_t> counts;  // of each child
    std::span<double> errors;
};

template <class T>
class Splitter {
  public:
    Splitter(MatrixView<const T> points, std::span<const std::uint32_t> rows,
             std::span<const std::int64_t> starts, const SplitOptions& options)
        : points_(points), rows_(rows), starts_(starts), options_(options), room_(nodes() + 1) {
        for (std::size_t i = 0; i < nodes(); ++i)
            room_[i + 1] = room_[i] + std::min(options.branching, size(i));
        centers_.resize(room_.back() * points.cols);
        counts_.resize(room_.back());
        errors_.resize(room_.back());
        by_child_.resize(rows.size());
        children_.resize(nodes());
    }

    void run(int threads) {
        // A large node by itself on all threads, the others side by side.
        const std::size_t large = rows_.size() / (4 * static_cast<std::size_t>(threads)) + 1;
        for (std::size_t i = 0; i < nodes(); ++i)
            if (size(i) >= large) split(i, threads);
        const std::size_t mean = rows_.size() / nodes() + 1;
        parallel_for(nodes(), 1024 / mean + 1, threads, [&](std::size_t first, std::size_t last) {
            for (; first < last; ++first)
                if (size(first) < large) split(first, 1);
        });
    }

    NextLevel<T> result() {
        NextLevel<T> next;
        next.children = std::move(children_);
        next.starts.push_back(0);
        for (std::size_t i = 0; i < nodes(); ++i) {
            const std::size_t first = room_[i], last = first + next.children[i];
            for (std::size_t c = first; c < last; ++c)
                next.starts.push_back(next.starts.back() + counts_[c]);
            append(centers_, first * points_.cols, last * points_.cols, next.centers);
            append(errors_, first, last, next.errors);
            if (first < last) append(by_child_, begin(i), begin(i + 1), next.rows);
        }
        return next;
    }

  private:
    std::size_t nodes() const { return starts_.size() - 1; }
    std::size_t begin(std::size_t i) const { return static_cast<std::size_t>(starts_[i]); }
    std::size_t size(std::size_t i) const { return begin(i + 1) - begin(i); }

    template <class Item>
    static void append(const std::vector<Item>& from, std::size_t first, std::size_t last,
                       std::vector<Item>& to) {
        to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(first),
                  from.begin() + static_cast<std::ptrdiff_t>(last));
    }

    Room<T> room(std::size_t i) {
        const std::size_t most = room_[i + 1] - room_[i];
        return {{&centers_[room_[i] * points_.cols], most, points_.cols},
                std::span(by_child_).subspan(begin(i), size(i)),
                std::span(counts_).subspan(room_[i], most),
                std::span(errors_).subspan(room_[i], most)};
    }

    void split(std::size_t i, int threads) {
        const auto rows = rows_.subspan(begin(i), size(i));
        const Gathered<T> gathered(points_, rows);
        const auto points = gathered.points();
        Random random(options_.seed, options_.first + i);
        Room<T> out = room(i);
        const auto chosen = distinct_rows(points, out.centers.rows, random);
        const bool is_root = options_.first == 0;
        if (chosen.size() < 2 && !is_root) return;
        for (std::size_t c = 0; c < chosen.size(); ++c)
            std::copy_n(points.row(chosen[c]), points.cols, out.centers.row(c));
        out.centers.rows = chosen.size();
        const auto nearest = kmeans::lloyd(points, out.centers, options_.iterations, threads);
        children_[i] = write_children(rows, nearest, out);
    }

    /// Leaves out clusters without points and sorts the rows by child; returns how many there are.
    static std::uint32_t write_children(std::span<const std::uint32_t> rows,
                                        const kmeans::Nearest<T>& nearest, Room<T>& out) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto child = static_cast<std::size_t>(nearest.ids[i]);
            ++out.counts[child];
            out.errors[child] += static_cast<double>(nearest.distances[i]);
        }
        std::vector<std::size_t> next(out.centers.rows);  // place of each child's next row
        std::size_t place = 0;
        std::uint32_t kept = 0;
        for (std::size_t c = 0; c < out.centers.rows; ++c) {
            if (out.counts[c] == 0) continue;
            next[c] = place;
            place += out.counts[c];
            if (kept != c) {
                std::copy_n(out.centers.row(c), out.centers.cols, out.centers.row(kept));
                out.counts[kept] = out.counts[c];
                out.errors[kept] = out.errors[c];
            }
            ++kept;
        }
        for (std::size_t i = 0; i < rows.size(); ++i)
            out.rows[next[static_cast<std::size_t>(nearest.ids[i])]++] = rows[i];
        return kept;
    }

    MatrixView<const T> points_;
    std::span<const std::uint32_t> rows_;
    std::span<const std::int64_t> starts_;
    SplitOptions options_;
    std::vector<std::size_t> room_;  // of each node the first of its children's places
    std::vector<T> centers_;
    std::vector<std::uint32_t> counts_, by_child_, children_;
    std::vector<double> errors_;
};

}  // namespace

template <class T>
NextLevel<T> split_nodes(MatrixView<const T> points, std::span<const std::uint32_t> rows,
                         std::span<const std::int64_t> starts, const SplitOptions& options,
                         int threads) {
    assert(starts.size() >= 2 && options.branching >= 1 && options.iterations >= 0);
    Splitter<T> splitter(points, rows, starts, options);
    splitter.run(threads);
    return splitter.result();
}

template NextLevel<std::uint8_t> split_nodes(MatrixView<const std::uint8_t>,
                                             std::span<const std::uint32_t>,
                                             std::span<const std::int64_t>, const SplitOptions&,
                                             int);
template NextLevel<float> split_nodes(MatrixView<const float>, std::span<const std::uint32_t>,
                                      std::span<const std::int64_t>, const SplitOptions&, int);

}  // namespace trouvaille
