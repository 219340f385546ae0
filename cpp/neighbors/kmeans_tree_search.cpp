// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "core/bits.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/prefetch.hpp"
#include "core/topk.hpp"
#include "neighbors/alive.hpp"
#include "neighbors/found_row.hpp"
#include "neighbors/kmeans_candidates.hpp"
#include "neighbors/kmeans_kernels.hpp"
#include "neighbors/kmeans_tree.hpp"
#include "neighbors/kmeans_walk.hpp"

namespace trouvaille {
namespace {

using kmeans::Candidates;
using kmeans::Level;
using kmeans::Node;

constexpr std::size_t chunk = 64;  // queries

/// Squared: where even the nearest centre is so far, float32 does not tell points apart.
constexpr float farthest = 0x1p120F;

/// Of the nodes above the lists those are opened that have so many times the points.
constexpr std::uint64_t spread = 16;

/// How many points are compared, those of the least estimates. A few are enough for SIFT; the less
/// of the points' variance sketches see, the more of what was looked at may be the nearest.
std::size_t compared(std::size_t k, std::uint64_t checks, double unseen) {
    const double doubtful = unseen * unseen * unseen * static_cast<double>(checks);
    return 2 * k + 40 + static_cast<std::size_t>(doubtful);
}

template <class T>
struct Task {
    const KMeansTree<T>& tree;
    std::span<const Level> levels;
    MatrixView<const T> queries;
    const KMeansSearchOptions& options;
    RowDistances<T> distances_of;
    MatrixView<Distance<T>> distances;
    MatrixView<std::int64_t> ids;
    bool compares_all;

    bool is_alive(std::uint32_t place) const {
        return options.alive.empty() || has_bit(options.alive, tree.rows[place]);
    }
};

/// Whatever one query needs after the other.
template <class Kernel, class T>
class Search {
  public:
    explicit Search(const Task<T>& task) : task_(task), items_(task.ids.cols) {}

    ALWAYS_INLINE void run(std::size_t query) {
        const T* values = task_.queries.row(query);
        Best best(items_);
        if (task_.compares_all)
            compare_all(values, best);
        else
            look(values, best);
        FoundRow<D>{task_.distances.row(query), task_.ids.row(query), task_.ids.cols}.write(
            best.sorted());
    }

  private:
    using D = Distance<T>;
    using Best = TopK<D, std::uint32_t, std::less<D>>;

    void compare_all(const T* query, Best& best) {
        const std::size_t n = task_.tree.points.rows;
        for (std::size_t begin = 0; begin < n; begin += batch) {
            const std::size_t count = std::min(n - begin, batch);
            places_.resize(count);
            for (std::size_t i = 0; i < count; ++i)
                places_[i] = static_cast<std::uint32_t>(begin + i);
            compare(query, places_, best);
        }
    }

    ALWAYS_INLINE void look(const T* query, Best& best) {
        const KMeansTree<T>& tree = task_.tree;
        const auto lists = task_.options.alive.empty() ? nearest_lists(query, task_.options.checks)
                                                       : nearest_alive(query);
        if (lists.empty() || !(lists[0].distance < farthest)) return compare_all(query, best);
        const SketchedQuery sketched = sketch_query(
            tree.axes, project<Kernel::lanes>(tree.axes, query, tree.axes.middle.data()));
        const std::uint32_t* starts = task_.levels.back().starts;
        candidates_.start(sketched.is_blind
                              ? tree.points.rows
                              : compared(task_.ids.cols, task_.options.checks, tree.axes.unseen));
        for (std::size_t i = 0; i < std::min(ahead, lists.size()); ++i) ask_for(lists[i]);
        for (std::size_t i = 0; i < lists.size(); ++i) {
            if (i + ahead < lists.size()) ask_for(lists[i + ahead]);
            const std::uint32_t list = lists[i].number, first = starts[list];
            scan({&sketched, &tree.sketches[tree.blocks[list] * kmeans::block_bytes], first,
                  starts[list + 1] - first, std::min(lists[i].distance, 16 * farthest), 0});
        }
        const auto places = candidates_.finish();
        for (const std::uint32_t place : places) {
            prefetch(tree.points.row(place), tree.points.cols);
            prefetch(&tree.rows[place], 1);
        }
        compare(query, places, best);
    }

    /// Those that have `checks` points.
    ALWAYS_INLINE std::span<const Node> nearest_lists(const T* query, std::uint64_t points) {
        return descent_.find(task_.levels, query, task_.tree.points.cols, points * spread, points);
    }

    /// Where points were removed, only those left count; as a rule they are at least half of all
    /// (python/trouvaille/neighbors/_structure.py).
    [[gnu::noinline]] std::span<const Node> nearest_alive(const T* query) {
        const std::uint64_t checks = task_.options.checks, n = task_.tree.points.rows;
        for (std::uint64_t points = 2 * checks;; points *= 4) {
            const auto lists = nearest_lists(query, points);
            std::uint64_t alive = 0;
            std::size_t kept = 0;
            while (kept < lists.size() && alive < checks) alive += alive_in(lists[kept++]);
            if (alive >= checks || points >= n) return lists.first(kept);
        }
    }

    std::uint64_t alive_in(const Node& list) {
        const std::uint32_t* starts = task_.levels.back().starts + list.number;
        std::uint64_t alive = 0;
        for (std::uint32_t place = starts[0]; place < starts[1]; ++place)
            alive += task_.is_alive(place);
        poll_.did(starts[1] - starts[0]);
        return alive;
    }

    void ask_for(const Node& list) const {
        const std::size_t block = task_.tree.blocks[list.number];
        prefetch(&task_.tree.sketches[block * kmeans::block_bytes],
                 (task_.tree.blocks[list.number + 1] - block) * kmeans::block_bytes);
    }

    /// A list of many points in parts, so that the limit falls on the way.
    ALWAYS_INLINE void scan(kmeans::Scan all) {
        for (std::size_t begin = 0; begin < all.count; begin += batch) {
            kmeans::Scan part = all;
            part.blocks += begin / kmeans::panel * kmeans::block_bytes;
            part.first += static_cast<std::uint32_t>(begin);
            part.count = std::min(all.count - begin, batch);
            part.limit = candidates_.limit();
            candidates_.reserve(part.count + kmeans::panel);
            std::size_t found = Kernel::scan(part, candidates_.estimates(), candidates_.places());
            if (!task_.options.alive.empty()) found = keep_alive(found);
            candidates_.add(found);
            poll_.did(part.count);
        }
    }

    std::size_t keep_alive(std::size_t found) {
        float* estimates = candidates_.estimates();
        std::uint32_t* places = candidates_.places();
        std::size_t kept = 0;
        for (std::size_t i = 0; i < found; ++i) {
            estimates[kept] = estimates[i];
            places[kept] = places[i];
            kept += task_.is_alive(places[i]);
        }
        return kept;
    }

    void compare(const T* query, std::span<const std::uint32_t> places, Best& best) {
        compared_.resize(places.size());
        task_.distances_of(query, task_.tree.points, places.data(), places.size(),
                           compared_.data());
        for (std::size_t i = 0; i < places.size(); ++i)
            if (task_.is_alive(places[i])) best.push(compared_[i], task_.tree.rows[places[i]]);
        poll_.did(places.size() * (task_.tree.points.cols / 64 + 1));
    }

    static constexpr std::size_t batch = 1'024, ahead = 2;

    const Task<T>& task_;
    kmeans::Descent<Kernel, T> descent_;
    Candidates candidates_;
    std::vector<std::uint32_t> places_;
    std::vector<D> compared_;
    std::vector<typename Best::Item> items_;
    InterruptPoll poll_;
};

template <class Kernel, class T>
ALWAYS_INLINE void run_queries(const Task<T>& task, std::size_t begin, std::size_t end) {
    Search<Kernel, T> search(task);
    for (; begin < end; ++begin) search.run(begin);
}

template <class T>
void run_scalar(const Task<T>& task, std::size_t begin, std::size_t end) {
    run_queries<kmeans::Scalar>(task, begin, end);
}
#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void run_avx2(const Task<T>& task, std::size_t begin, std::size_t end) {
    run_queries<kmeans::Avx2>(task, begin, end);
}
template <class T>
TARGET_AVX512 void run_avx512(const Task<T>& task, std::size_t begin, std::size_t end) {
    run_queries<kmeans::Avx512>(task, begin, end);
}
template <class T>
constexpr decltype(&run_scalar<T>) runners[isa_count] = {run_scalar<T>, run_avx2<T>, run_avx512<T>};
#else
template <class T>
constexpr decltype(&run_scalar<T>) runners[isa_count] = {run_scalar<T>, run_scalar<T>,
                                                         run_scalar<T>};
#endif

}  // namespace

template <class T>
void search_kmeans_tree(const KMeansTree<T>& tree, MatrixView<const T> queries,
                        const KMeansSearchOptions& options, MatrixView<Distance<T>> distances,
                        MatrixView<std::int64_t> ids, int threads) {
    assert(queries.cols == tree.points.cols);
    assert(ids.cols > 0 && distances.cols == ids.cols);
    const auto levels = kmeans::levels_of(tree);
    const Task<T> task{tree,
                       levels,
                       queries,
                       options,
                       row_distances<T>(),
                       distances,
                       ids,
                       compares_all(options.alive, tree.points.rows, options.checks)};
    const auto run = pick(runners<T>);
    parallel_for(queries.rows, chunk, threads,
                 [&](std::size_t begin, std::size_t end) { run(task, begin, end); });
}

template void search_kmeans_tree(const KMeansTree<std::uint8_t>&, MatrixView<const std::uint8_t>,
                                 const KMeansSearchOptions&, MatrixView<std::int32_t>,
                                 MatrixView<std::int64_t>, int);
template void search_kmeans_tree(const KMeansTree<float>&, MatrixView<const float>,
                                 const KMeansSearchOptions&, MatrixView<float>,
                                 MatrixView<std::int64_t>, int);

}  // namespace trouvaille
