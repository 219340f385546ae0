// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cassert>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "neighbors/found_row.hpp"
#include "neighbors/kd_forest.hpp"
#include "neighbors/kd_walk.hpp"

namespace trouvaille {
namespace {

using kd::Walk;

constexpr std::size_t in_flight = 4;
constexpr std::size_t chunk = 64;  // queries

/// Finds the k nearest.
template <class D>
class Nearest {
  public:
    struct Output {
        MatrixView<D> distances;
        MatrixView<std::int64_t> ids;
    };

    void start(const Output& output) {
        items_.resize(output.ids.cols);
        best_ = Best(items_);
    }
    double limit() const {
        return best_.full() ? static_cast<double>(best_.worst().score)
                            : std::numeric_limits<double>::infinity();
    }
    ALWAYS_INLINE void push(D distance, std::uint32_t row) { best_.push(distance, row); }

    void write(const Output& output, std::size_t query) {
        FoundRow<D>{output.distances.row(query), output.ids.row(query), output.ids.cols}.write(
            best_.sorted());
    }

  private:
    using Best = TopK<D, std::uint32_t, std::less<D>>;
    std::vector<typename Best::Item> items_ = std::vector<typename Best::Item>(1);
    Best best_{items_};
};

/// Finds all within a distance.
template <class D>
class Within {
  public:
    struct Output {
        D radius;
        std::span<std::vector<KDNeighbor<D>>> found;
    };

    void start(const Output& output) {
        radius_ = output.radius;
        found_.clear();
    }
    double limit() const { return static_cast<double>(radius_); }
    ALWAYS_INLINE void push(D distance, std::uint32_t row) {
        if (distance <= radius_) found_.push_back({distance, row});
    }
    void write(const Output& output, std::size_t query) {
        std::sort(found_.begin(), found_.end(),
                  [](const auto& a, const auto& b) { return ranks_before(a, b, std::less<D>()); });
        output.found[query] = found_;
    }

  private:
    D radius_ = 0;
    std::vector<KDNeighbor<D>> found_;
};

template <class T, class Found>
struct Task {
    const KDForest<T>& forest;
    MatrixView<const T> queries;
    const KDSearchOptions& options;
    typename Found::Output output;
};

/// Some queries, up to four at a time: each in turn takes a step.
template <class Kernel, class T, class Found>
ALWAYS_INLINE void walk_queries(const Task<T, Found>& task, std::size_t begin, std::size_t end) {
    static thread_local std::array<Walk<Kernel, T, Found>, in_flight> walks;
    std::array<std::size_t, in_flight> queries{};
    std::size_t next = begin, active = 0;
    const auto start = [&](std::size_t lane) {
        walks[lane].start(task.forest, task.options, task.queries.row(next));
        walks[lane].found.start(task.output);
        queries[lane] = next++;
    };
    while (active < in_flight && next < end) start(active++);
    InterruptPoll poll;
    while (active > 0)
        for (std::size_t lane = 0; lane < active; ++lane) {
            poll.did(64);
            if (walks[lane].step(task.forest, task.options)) continue;
            walks[lane].found.write(task.output, queries[lane]);
            if (next < end) {
                start(lane);
            } else if (lane != --active) {
                std::swap(walks[lane], walks[active]);
                queries[lane] = queries[active];
            }
        }
}

template <class T, class Found>
void walk_scalar(const Task<T, Found>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Scalar>(task, begin, end);
}
#if TROUVAILLE_X86
template <class T, class Found>
TARGET_AVX2 void walk_avx2(const Task<T, Found>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Avx2>(task, begin, end);
}
template <class T, class Found>
TARGET_AVX512 void walk_avx512(const Task<T, Found>& task, std::size_t begin, std::size_t end) {
    walk_queries<kd::Avx512>(task, begin, end);
}
template <class T, class Found>
constexpr decltype(&walk_scalar<T, Found>) walkers[isa_count] = {
    walk_scalar<T, Found>, walk_avx2<T, Found>, walk_avx512<T, Found>};
#else
template <class T, class Found>
constexpr decltype(&walk_scalar<T, Found>) walkers[isa_count] = {
    walk_scalar<T, Found>, walk_scalar<T, Found>, walk_scalar<T, Found>};
#endif

template <class T, class Found>
void search(const Task<T, Found>& task, int threads) {
    assert(task.queries.cols == task.forest.points.cols);
    const auto walk = pick(walkers<T, Found>);
    parallel_for(task.queries.rows, chunk, threads,
                 [&](std::size_t begin, std::size_t end) { walk(task, begin, end); });
}

}  // namespace

template <class T>
std::size_t KDForest<T>::units() const {
    return panels.size() / std::max<std::size_t>(kd::panel_bytes(points.rows, 1), 1);
}

template <class T>
void search_kd_forest(const KDForest<T>& forest, MatrixView<const T> queries,
                      const KDSearchOptions& options, MatrixView<KDDistance<T>> distances,
                      MatrixView<std::int64_t> ids, int threads) {
    assert(ids.cols > 0 && distances.cols == ids.cols);
    search(Task<T, Nearest<KDDistance<T>>>{forest, queries, options, {distances, ids}}, threads);
}

template <class T>
void search_kd_forest_within(const KDForest<T>& forest, MatrixView<const T> queries,
                             KDDistance<T> radius, const KDSearchOptions& options,
                             std::span<std::vector<KDNeighbor<KDDistance<T>>>> found, int threads) {
    assert(found.size() == queries.rows);
    search(Task<T, Within<KDDistance<T>>>{forest, queries, options, {radius, found}}, threads);
}

template struct KDForest<std::uint8_t>;
template struct KDForest<float>;
template void search_kd_forest(const KDForest<std::uint8_t>&, MatrixView<const std::uint8_t>,
                               const KDSearchOptions&, MatrixView<std::int32_t>,
                               MatrixView<std::int64_t>, int);
template void search_kd_forest(const KDForest<float>&, MatrixView<const float>,
                               const KDSearchOptions&, MatrixView<float>, MatrixView<std::int64_t>,
                               int);
template void search_kd_forest_within(const KDForest<std::uint8_t>&, MatrixView<const std::uint8_t>,
                                      std::int32_t, const KDSearchOptions&,
                                      std::span<std::vector<KDNeighbor<std::int32_t>>>, int);
template void search_kd_forest_within(const KDForest<float>&, MatrixView<const float>, float,
                                      const KDSearchOptions&,
                                      std::span<std::vector<KDNeighbor<float>>>, int);

}  // namespace trouvaille
