// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "neighbors/kd_forest.hpp"
#include "neighbors/kd_walk.hpp"

namespace trouvaille {
namespace {

using kd::Walk;

constexpr std::size_t in_flight = 4;
constexpr std::size_t chunk = 64;  // queries

template <class T>
using Distance = std::conditional_t<std::is_same_v<T, float>, float, std::int32_t>;

/// The k nearest.
template <class D>
class Nearest {
  public:
    using Best = TopK<D, std::uint32_t, std::less<D>>;

    void start(std::size_t k) {
        items_.resize(std::max<std::size_t>(k, 1));
        best_ = Best(items_);
    }
    double limit() const {
        return best_.full() ? static_cast<double>(best_.worst().score)
                            : std::numeric_limits<double>::infinity();
    }
    ALWAYS_INLINE void push(D distance, std::uint32_t row) { best_.push(distance, row); }

    void write(std::size_t k, D* distances, std::int64_t* ids) {
        const auto sorted = best_.sorted();
        for (std::size_t j = 0; j < k; ++j) {
            const bool exists = j < sorted.size();
            distances[j] = exists ? sorted[j].score
                           : std::numeric_limits<D>::has_infinity
                               ? std::numeric_limits<D>::infinity()
                               : std::numeric_limits<D>::max();
            ids[j] = exists ? std::int64_t{sorted[j].id} : -1;
        }
    }

  private:
    std::vector<typename Best::Item> items_ = std::vector<typename Best::Item>(1);
    Best best_{items_};
};

template <class T>
struct Task {
    const KDForest<T>& forest;
    MatrixView<const T> queries;
    const KDSearchOptions& options;
    MatrixView<Distance<T>> distances;
    MatrixView<std::int64_t> ids;
};

/// Some queries, up to four at a time: each in turn takes a step.
template <class Kernel, class T>
ALWAYS_INLINE void walk_queries(const Task<T>& task, std::size_t begin, std::size_t end) {
    static thread_local std::array<Walk<Kernel, T, Nearest<Distance<T>>>, in_flight> walks;
    std::array<std::size_t, in_flight> queries{};
    std::size_t next = begin, active = 0;
    const auto start = [&](std::size_t lane) {
        walks[lane].start(task.forest, task.options, task.queries.row(next));
        walks[lane].found.start(task.ids.cols);
        queries[lane] = next++;
    };
    while (active < in_flight && next < end) start(active++);
    InterruptPoll poll;
    while (active > 0)
        for (std::size_t lane = 0; lane < active; ++lane) {
            poll.did(64);
            if (walks[lane].step(task.forest, task.options)) continue;
            const std::size_t q = queries[lane];
            walks[lane].found.write(task.ids.cols, task.distances.row(q), task.ids.row(q));
            if (next < end) {
                start(lane);
            } else {
                --active;
                std::swap(walks[lane], walks[active]);
                queries[lane] = queries[active];
            }
        }
}

template <class T>
void walk_scalar(const Task<T>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Scalar>(task, begin, end);
}
#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void walk_avx2(const Task<T>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Avx2>(task, begin, end);
}
template <class T>
TARGET_AVX512 void walk_avx512(const Task<T>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Avx512>(task, begin, end);
}
template <class T>
constexpr decltype(&walk_scalar<T>) walkers[isa_count] = {walk_scalar<T>, walk_avx2<T>,
                                                          walk_avx512<T>};
#else
template <class T>
constexpr decltype(&walk_scalar<T>) walkers[isa_count] = {walk_scalar<T>, walk_scalar<T>,
                                                          walk_scalar<T>};
#endif

template <class T>
void search(const Task<T>& task, int threads) {
    assert(task.queries.cols == task.forest.points.cols);
    if (task.ids.cols == 0) return;
    const auto walk = pick(walkers<T>);
    parallel_for(task.queries.rows, chunk, threads,
                 [&](std::size_t begin, std::size_t end) { walk(task, begin, end); });
}

}  // namespace

template <class T>
std::size_t KDForest<T>::units() const {
    return panels.size() / std::max<std::size_t>(kd::panel_bytes(points.rows, 1), 1);
}

template struct KDForest<std::uint8_t>;
template struct KDForest<float>;

void search_kd_forest(const KDForest<std::uint8_t>& forest, MatrixView<const std::uint8_t> queries,
                      const KDSearchOptions& options, MatrixView<std::int32_t> distances,
                      MatrixView<std::int64_t> ids, int threads) {
    search(Task<std::uint8_t>{forest, queries, options, distances, ids}, threads);
}

void search_kd_forest(const KDForest<float>& forest, MatrixView<const float> queries,
                      const KDSearchOptions& options, MatrixView<float> distances,
                      MatrixView<std::int64_t> ids, int threads) {
    search(Task<float>{forest, queries, options, distances, ids}, threads);
}

}  // namespace trouvaille
