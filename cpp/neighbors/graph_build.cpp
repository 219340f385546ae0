// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "core/parallel.hpp"
#include "core/random.hpp"
#include "neighbors/graph_walk.hpp"

namespace trouvaille {
namespace {

using graph::Key;

template <class T>
class Builder {
  public:
    Builder(MatrixView<const T> points, MatrixView<std::uint32_t> neighbors,
            const GraphBuildOptions& options, int threads)
        : points_(points), neighbors_(neighbors), options_(options), threads_(threads) {}

    void run(std::uint32_t entry) {
        entry_ = entry;
        std::vector<std::uint32_t> order(points_.rows);
        std::iota(order.begin(), order.end(), 0u);
        Random random(options_.seed, 0);
        for (std::size_t i = order.size(); i > 1; --i)
            std::swap(order[i - 1], order[random.below(i)]);
        std::swap(order[0], *std::find(order.begin(), order.end(), entry));
        const std::size_t most = std::max<std::size_t>(points_.rows / 50, 1);
        for (std::size_t done = 1; done < order.size();) {
            const std::size_t n = std::min({done, most, order.size() - done});
            insert({order.data() + done, n});
            done += n;
        }
    }

  private:
    void insert(std::span<const std::uint32_t> batch) {
        const GraphView<T> frozen{points_, {neighbors_.data, neighbors_.rows, neighbors_.cols}, entry_};
        std::vector<std::uint32_t> chosen(batch.size() * neighbors_.cols, no_neighbor);
        parallel_for(batch.size(), 64, threads_, [&](std::size_t begin, std::size_t end) {
            graph::walk_all(
                frozen, begin, end, options_.width, true,
                [&](std::size_t i) { return points_.row(batch[i]); },
                [&](std::size_t i, graph::Walk<T>& walk) {
                    thread_local std::vector<Key> c;
                    c.assign(walk.expanded.begin(), walk.expanded.end());
                    std::sort(c.begin(), c.end());
                    if (c.size() > options_.max_candidates) c.resize(options_.max_candidates);
                    prune(c, options_.degree, &chosen[i * neighbors_.cols]);
                });
        });
        std::vector<std::uint64_t> links;
        for (std::size_t i = 0; i < batch.size(); ++i) {
            const std::uint32_t* row = &chosen[i * neighbors_.cols];
            std::copy_n(row, neighbors_.cols, neighbors_.row(batch[i]));
            for (std::size_t j = 0; j < neighbors_.cols && row[j] != no_neighbor; ++j)
                links.push_back(std::uint64_t{row[j]} << 32 | batch[i]);
        }
        std::sort(links.begin(), links.end());
        std::vector<std::size_t> begins;
        for (std::size_t i = 0; i < links.size(); ++i)
            if (i == 0 || links[i] >> 32 != links[i - 1] >> 32) begins.push_back(i);
        begins.push_back(links.size());
        parallel_for(begins.size() - 1, 64, threads_, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                link({links.data() + begins[i], begins[i + 1] - begins[i]});
        });
    }

    void link(std::span<const std::uint64_t> links) {
        const auto node = static_cast<std::uint32_t>(links[0] >> 32);
        std::uint32_t* row = neighbors_.row(node);
        std::size_t size = 0;
        while (size < neighbors_.cols && row[size] != no_neighbor) ++size;
        if (size + links.size() <= neighbors_.cols) {
            for (const auto l : links) row[size++] = static_cast<std::uint32_t>(l);
            return;
        }
        thread_local std::vector<std::uint32_t> ids;
        thread_local std::vector<Distance<T>> d;
        thread_local std::vector<Key> c;
        ids.assign(row, row + size);
        for (const auto l : links) ids.push_back(static_cast<std::uint32_t>(l));
        d.resize(ids.size());
        distances_(points_.row(node), points_, ids.data(), ids.size(), d.data());
        c.clear();
        for (std::size_t i = 0; i < ids.size(); ++i) c.push_back(graph::key_of(d[i], ids[i]));
        std::sort(c.begin(), c.end());
        if (c.size() > options_.max_candidates) c.resize(options_.max_candidates);
        std::fill_n(row, neighbors_.cols, no_neighbor);
        prune(c, options_.prune_to, row);
    }

    // candidates: sorted
    void prune(std::span<const Key> candidates, std::size_t degree, std::uint32_t* row) {
        const std::size_t n = candidates.size();
        thread_local std::vector<std::uint32_t> ids;
        thread_local std::vector<std::uint32_t> places;
        thread_local std::vector<Distance<T>> d;
        thread_local std::vector<double> factor;  // largest d(p,c)/d(k,c) over kept; 
        factor.assign(n, 0);
        std::size_t kept = 0;
        double alpha = 1;
        for (;;) {
            for (std::size_t i = 0; i < n && kept < degree; ++i) {
                if (factor[i] > alpha) continue;
                factor[i] = 1e300;
                row[kept++] = graph::node_of(candidates[i]);
                ids.clear();
                places.clear();
                for (std::size_t j = i + 1; j < n; ++j)
                    if (factor[j] <= options_.alpha) {
                        ids.push_back(graph::node_of(candidates[j]));
                        places.push_back(static_cast<std::uint32_t>(j));
                    }
                d.resize(ids.size());
                distances_(points_.row(row[kept - 1]), points_, ids.data(), ids.size(), d.data());
                for (std::size_t j = 0; j < ids.size(); ++j) {
                    const double far = double(graph::distance_of<Distance<T>>(candidates[places[j]]));
                    const double ratio = d[j] == 0 ? 1e200 : far / double(d[j]);
                    factor[places[j]] = std::max(factor[places[j]], ratio);
                }
            }
            if (alpha >= options_.alpha || kept == degree) break;
            alpha = options_.alpha;
        }
    }

    MatrixView<const T> points_;
    MatrixView<std::uint32_t> neighbors_;
    GraphBuildOptions options_;
    int threads_;
    std::uint32_t entry_ = 0;
    RowDistances<T> distances_ = row_distances<T>();
};

template <class T>
std::uint32_t medoid(MatrixView<const T> points) {
    std::vector<double> mean(points.cols);
    for (std::size_t i = 0; i < points.rows; ++i)
        for (std::size_t d = 0; d < points.cols; ++d) mean[d] += double(points.row(i)[d]);
    std::vector<T> m(points.cols);
    for (std::size_t d = 0; d < points.cols; ++d) m[d] = T(mean[d] / double(points.rows));
    Key best = ~Key{0};
    for (std::uint32_t i = 0; i < points.rows; ++i) {
        Distance<T> d;
        row_distances<T>()(m.data(), points, &i, 1, &d);
        best = std::min(best, graph::key_of(d, i));
    }
    return graph::node_of(best);
}

}  // namespace

template <class T>
void build_graph(MatrixView<const T> points, MatrixView<std::uint32_t> neighbors,
                 std::uint32_t& entry, const GraphBuildOptions& options, int threads) {
    entry = medoid(points);
    Builder<T>(points, neighbors, options, threads).run(entry);
}
template void build_graph(MatrixView<const std::uint8_t>, MatrixView<std::uint32_t>, std::uint32_t&,
                          const GraphBuildOptions&, int);
template void build_graph(MatrixView<const float>, MatrixView<std::uint32_t>, std::uint32_t&,
                          const GraphBuildOptions&, int);

}  // namespace trouvaille
