// SPDX-License-Identifier: Apache-2.0
#include "index/match_kernel.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <vector>

#include "core/bits.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/topk.hpp"
#include "index/match_kernel_scan.hpp"

namespace trouvaille {
namespace {

using namespace match_kernel;

using Best = TopK<double, std::int64_t>;
using Candidate = Best::Item;

constexpr std::size_t most_candidates = std::size_t{1} << 20;  // of queries at a time

/// One more than the greatest distance that counts.
std::int32_t limit_of(std::span<const double> similarities) {
    std::size_t limit = similarities.size();
    while (limit > 0 && similarities[limit - 1] == 0) --limit;
    return static_cast<std::int32_t>(limit);
}

struct Search {
    std::span<const MatchBlock> blocks;
    const MatchQueries& queries;
    const MatchKernel& kernel;
    std::int32_t limit;
    Run run;
    std::vector<Total> totals;  // a row of the queries; none without inter

    Job job(std::size_t block, std::size_t query) {
        const auto begin = static_cast<std::size_t>(queries.offsets[query]);
        const auto end = static_cast<std::size_t>(queries.offsets[query + 1]);
        return {blocks[block], queries, kernel, begin, end, limit, totals};
    }

    void pass(std::size_t block, std::size_t query, Pass which, Scratch& scratch) {
        run(job(block, query), which, scratch);
    }

    Scratch scratch(std::size_t block) const {
        return {blocks[block].ids.size(), queries.signatures.cols, kernel.intra};
    }

    /// Calls body(block, query) for all pairs with queries [first, last), those of a block side by
    /// side.
    template <class Body>
    void each(std::size_t first, std::size_t last, int threads, Body body) {
        const std::size_t n = last - first;
        parallel_for(blocks.size() * n, 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) body(i / n, first + i % n);
        });
    }
};

/// The best photos of a block; `storage` has a place for each that may be.
std::span<const Candidate> best_of(const MatchBlock& block, std::span<const double> scores,
                                   double factor, std::span<Candidate> storage) {
    if (storage.empty()) return {};
    Best best(storage);
    InterruptPoll poll;
    for (std::size_t p = 0; p < scores.size(); ++p) {
        poll.did(1);
        if (!has_bit(block.alive, p)) continue;
        const double score = scores[p] * block.factors[p] * factor + 0.0;  // no -0
        best.push(score, block.ids[p]);
    }
    return storage.first(best.size());
}

/// Candidates of a query, block by block, in places that all queries have alike.
struct Places {
    std::vector<std::size_t> starts{0};  // of a block's; then the end

    Places(std::span<const MatchBlock> blocks, std::size_t k) {
        for (const MatchBlock& block : blocks)
            starts.push_back(starts.back() + std::min(k, block.ids.size()));
    }
    std::size_t size() const { return starts.back(); }
    std::size_t of(std::size_t block) const { return starts[block + 1] - starts[block]; }
    std::size_t queries_at_a_time(int threads) const {
        return std::max(most_candidates / std::max<std::size_t>(size(), 1),
                        static_cast<std::size_t>(threads));
    }
};

void write_row(std::span<const Candidate> found, std::span<double> scores,
               std::span<std::int64_t> ids) {
    for (std::size_t i = 0; i < found.size(); ++i) {
        scores[i] = found[i].score;
        ids[i] = found[i].id;
    }
    std::fill(scores.begin() + static_cast<std::ptrdiff_t>(found.size()), scores.end(),
              -std::numeric_limits<double>::infinity());
    std::fill(ids.begin() + static_cast<std::ptrdiff_t>(found.size()), ids.end(), -1);
}

/// The best of all blocks' candidates; `counts` says how many each block has.
void merge(std::span<const Candidate> candidates, const Places& places,
           std::span<const std::size_t> counts, std::span<double> scores,
           std::span<std::int64_t> ids) {
    std::vector<Candidate> storage(std::min(ids.size(), places.size()));
    if (storage.empty()) return write_row({}, scores, ids);
    Best best(storage);
    InterruptPoll poll;
    for (std::size_t b = 0; b < counts.size(); ++b)
        for (const Candidate& one : candidates.subspan(places.starts[b], counts[b])) {
            poll.did(1);
            best.push(one.score, one.id);
        }
    write_row(best.sorted(), scores, ids);
}

}  // namespace

void search_match_kernel(std::span<const MatchBlock> blocks, const MatchQueries& queries,
                         const MatchKernel& kernel, MatrixView<double> scores,
                         MatrixView<std::int64_t> ids, int threads) {
    const std::size_t n = queries.factors.size(), k = ids.cols;
    assert(queries.offsets.size() == n + 1 && scores.rows == n && ids.rows == n);
    assert(kernel.similarities.size() > 8 * queries.signatures.cols);
    Search search{blocks, queries, kernel, limit_of(kernel.similarities), chosen_run(), {}};
    if (kernel.inter) {
        search.totals.resize(queries.words.size());
        search.each(0, n, threads, [&](std::size_t block, std::size_t query) {
            Scratch scratch = search.scratch(block);
            search.pass(block, query, Pass::totals, scratch);
        });
    }
    const Places places(blocks, k);
    const std::size_t batch = std::min(n, places.queries_at_a_time(threads));
    std::vector<Candidate> candidates(batch * places.size());
    std::vector<std::size_t> counts(batch * blocks.size());
    for (std::size_t first = 0; first < n; first += batch) {
        const std::size_t last = std::min(first + batch, n);
        search.each(first, last, threads, [&](std::size_t block, std::size_t query) {
            Scratch scratch = search.scratch(block);
            search.pass(block, query, Pass::scores, scratch);
            const std::size_t at = (query - first) * places.size() + places.starts[block];
            const auto found = best_of(blocks[block], scratch.scores, queries.factors[query],
                                       std::span(candidates).subspan(at, places.of(block)));
            counts[(query - first) * blocks.size() + block] = found.size();
        });
        parallel_for(last - first, 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                merge(std::span(candidates).subspan(i * places.size(), places.size()), places,
                      std::span(counts).subspan(i * blocks.size(), blocks.size()),
                      {scores.row(first + i), k}, {ids.row(first + i), k});
        });
    }
}

}  // namespace trouvaille
