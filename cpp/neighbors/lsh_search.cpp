// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <functional>
#include <limits>
#include <numeric>

#include "core/bits.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "neighbors/alive.hpp"
#include "neighbors/found_row.hpp"
#include "neighbors/hamming_distance.hpp"
#include "neighbors/lsh.hpp"
#include "neighbors/lsh_buckets.hpp"
#include "neighbors/lsh_nearest_sketches.hpp"
#include "neighbors/lsh_scan.hpp"

namespace trouvaille {
namespace {

using FindSketches = std::size_t (*)(const lsh::Scan&, lsh::Sketched*);
#if TROUVAILLE_X86
constexpr FindSketches finders[isa_count] = {lsh::Scalar::find, lsh::Avx2::find, lsh::Avx512::find};
#else
constexpr FindSketches finders[isa_count] = {lsh::Scalar::find, lsh::Scalar::find,
                                             lsh::Scalar::find};
#endif

constexpr std::size_t line = 64, chunk = 64;  // bytes; queries

template <class T>
struct Task {
    const LSH<T>& lsh;
    MatrixView<const T> queries;
    const LSHSearchOptions& options;
    MatrixView<Distance<T>> distances;
    MatrixView<std::int64_t> ids;
    RowDistances<T> compare;
    FindSketches find;
    bool compares_all;

    bool alive(std::uint32_t place) const {
        return options.alive.empty() || has_bit(options.alive, lsh.rows[place]);
    }
};

/// Searches one query after the other, in memory that is kept between them.
template <class T>
class Searcher {
  public:
    void search(const Task<T>& task, std::size_t query, const float* values) {
        items_.resize(task.ids.cols);
        Best best(items_);
        const T* q = task.queries.row(query);
        if (task.compares_all)
            compare_all(task, q, best);
        else
            compare_nearest(task, q, values, best);
        FoundRow<Distance<T>>{task.distances.row(query), task.ids.row(query), task.ids.cols}.write(
            best.sorted());
    }

  private:
    using Best = TopK<Distance<T>, std::uint32_t, std::less<Distance<T>>>;

    void compare_all(const Task<T>& task, const T* query, Best& best) {
        places_.clear();
        for (std::uint32_t i = 0; i < task.lsh.points.rows; ++i)
            if (task.alive(i)) places_.push_back(i);
        compare(task, query, best);
    }

    void compare_nearest(const Task<T>& task, const T* query, const float* values, Best& best) {
        const HashFunctions& functions = task.lsh.functions;
        costs_.resize(functions.sketch_bits / 16);
        lsh::fill_costs(values + functions.multipliers.size(), functions.sketch_bits, costs_);
        const std::uint64_t wanted =
            std::max<std::uint64_t>(task.options.comparisons, task.ids.cols);
        sketches_.start(wanted, task.lsh.tables() > 1 ? task.lsh.points.rows : 0);
        if (!look_into_buckets(task, values)) {
            sketches_.start(wanted, 0);
            look_at(task, 0, 0, task.lsh.points.rows);
        }
        places_.clear();
        sketches_.take(places_);
        compare(task, query, best);
    }

    /// False where the query is too far from all points: see LSHSearchOptions.
    bool look_into_buckets(const Task<T>& task, const float* values) {
        const std::uint64_t most =
            task.options.probes != 0 ? task.options.probes : 1'024 + task.lsh.points.rows / 64;
        buckets_.start(task.lsh, values, most);
        std::uint64_t left = task.options.checks;
        const std::uint64_t least = std::min<std::uint64_t>(task.ids.cols, left);
        const auto is_enough = [&] { return left == 0 && sketches_.size() >= least; };
        lsh::Bucket bucket;
        while (!is_enough() && buckets_.next(task.lsh, bucket)) {
            const std::size_t end = spend(task, bucket, left);
            look_at(task, bucket.table, bucket.begin, end);
        }
        return is_enough() || task.options.probes != 0;
    }

    /// Takes the bucket's points off `left`, but for those that were removed; returns where it
    /// ends, or nothing is left. After that buckets are whole.
    std::size_t spend(const Task<T>& task, const lsh::Bucket& bucket, std::uint64_t& left) {
        if (left == 0) return bucket.end;
        if (task.options.alive.empty()) {
            const std::size_t size = std::min<std::uint64_t>(bucket.end - bucket.begin, left);
            left -= size;
            return bucket.begin + size;
        }
        const std::uint32_t* order =
            bucket.table == 0 ? nullptr : task.lsh.orders.row(bucket.table - 1);
        std::size_t i = bucket.begin;
        for (; i < bucket.end && left > 0; ++i)
            left -= task.alive(order == nullptr ? static_cast<std::uint32_t>(i) : order[i]);
        poll_.did(i - bucket.begin);
        return i;
    }

    void look_at(const Task<T>& task, std::size_t table, std::size_t begin, std::size_t end) {
        std::array<lsh::Sketched, lsh::most_scanned> found;
        const std::uint32_t* order = table == 0 ? nullptr : task.lsh.orders.row(table - 1);
        while (begin < end) {
            const std::size_t stop = std::min(end, begin + lsh::most_scanned);
            const std::size_t n = task.find(
                {task.lsh.panels.row(table), begin, stop, costs_, sketches_.limit()}, found.data());
            for (std::size_t i = 0; i < n; ++i) {
                const std::uint32_t place =
                    order == nullptr ? found[i].place : order[found[i].place];
                if (task.alive(place)) sketches_.push({place, found[i].cost});
            }
            poll_.did((stop - begin) / 16 + 1);
            begin = stop;
        }
    }

    /// Compares the points at places_.
    void compare(const Task<T>& task, const T* query, Best& best) {
        constexpr std::size_t together = 16;
        std::array<Distance<T>, together> distances;
        const MatrixView<const T> points = task.lsh.points;
        const std::size_t bytes = std::min<std::size_t>(points.cols * sizeof(T), 8 * line);
        const auto prefetch_rows = [&](std::size_t first) {
            for (std::size_t i = first; i < std::min(first + together, places_.size()); ++i)
                for (std::size_t byte = 0; byte < bytes; byte += line)
                    __builtin_prefetch(reinterpret_cast<const char*>(points.row(places_[i])) +
                                       byte);
        };
        prefetch_rows(0);
        for (std::size_t first = 0; first < places_.size(); first += together) {
            prefetch_rows(first + together);
            const std::size_t n = std::min(together, places_.size() - first);
            task.compare(query, points, &places_[first], n, distances.data());
            for (std::size_t i = 0; i < n; ++i)
                if (!best.full() || distances[i] <= best.worst().score)
                    best.push(distances[i], task.lsh.rows[places_[first + i]]);
            poll_.did(n * (points.cols / 64 + 1));
        }
    }

    std::vector<typename Best::Item> items_;
    std::vector<lsh::PairCosts> costs_;
    std::vector<std::uint32_t> places_;
    lsh::NearestSketches sketches_;
    lsh::Buckets<T> buckets_;
    InterruptPoll poll_;
};

template <class T>
RowDistances<T> comparison(const HashFunctions& functions) {
    if constexpr (sizeof(T) == 1)
        if (functions.packed_bits) return hamming_row_distances();
    return row_distances<T>();
}

}  // namespace

template <class T>
void search_lsh(const LSH<T>& lsh, MatrixView<const T> queries, const LSHSearchOptions& options,
                MatrixView<Distance<T>> distances, MatrixView<std::int64_t> ids, int threads) {
    assert(queries.cols == lsh.points.cols && ids.cols > 0 && distances.cols == ids.cols);
    const Task<T> task{lsh,           queries,
                       options,       distances,
                       ids,           comparison<T>(lsh.functions),
                       pick(finders), compares_all(options.alive, lsh.points.rows, options.checks)};
    parallel_for(queries.rows, chunk, threads, [&](std::size_t begin, std::size_t end) {
        static thread_local Searcher<T> searcher;
        const std::size_t columns = lsh.functions.offsets.size();
        std::vector<float> memory(chunk * columns);
        const MatrixView<float> values{memory.data(), end - begin, columns};
        hash_values(lsh.functions, queries.slice(begin, end), values);
        for (std::size_t i = begin; i < end; ++i) searcher.search(task, i, values.row(i - begin));
    });
}

template void search_lsh(const LSH<std::uint8_t>&, MatrixView<const std::uint8_t>,
                         const LSHSearchOptions&, MatrixView<std::int32_t>,
                         MatrixView<std::int64_t>, int);
template void search_lsh(const LSH<float>&, MatrixView<const float>, const LSHSearchOptions&,
                         MatrixView<float>, MatrixView<std::int64_t>, int);

}  // namespace trouvaille
