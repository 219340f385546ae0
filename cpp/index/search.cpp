// SPDX-License-Identifier: Apache-2.0
#include "index/search.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "index/scorer.hpp"
#include "index/selection.hpp"

namespace trouvaille {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

class Reader::Implementation {
  public:
    Implementation(const Scoring& scoring, std::vector<Part> parts, WordWeights word_weights,
                   std::span<const std::int64_t> ids, Magnitudes values, int threads)
        : scorer_(scoring, std::move(parts), word_weights, values, threads), ids_(ids) {}

    std::size_t n_parts() const { return scorer_.parts().size(); }
    std::size_t n_rows() const { return static_cast<std::size_t>(scorer_.bases().back()); }

    void search(SparseRows queries, Masks masks, MatrixView<double> scores,
                MatrixView<std::int64_t> rows, int threads) const {
        const std::size_t n = queries.rows();
        std::fill_n(rows.data, rows.rows * rows.cols, -1);
        std::fill_n(scores.data, scores.rows * scores.cols,
                    scorer_.is_distance() ? infinity : -infinity);
        const std::size_t k = std::min(scores.cols, n_rows());
        if (n == 0 || k == 0) return;
        const auto workers = static_cast<std::size_t>(std::max(threads, 1));
        // Queries that are worked on together find the lists of a block in the cache.
        const std::size_t chunk = std::clamp<std::size_t>(n / (4 * workers), 1, 32);
        if ((n + chunk - 1) / chunk < workers && n_parts() > 1)
            return search_parts(queries, masks, k, scores, rows, threads);
        parallel_for(n, chunk, threads, [&](std::size_t begin, std::size_t end) {
            const Borrowed work(*this);
            std::vector<Best::Item> storage((end - begin) * k);
            std::vector<Best> best;
            for (std::size_t i = begin; i < end; ++i)
                best.emplace_back(std::span(storage).subspan((i - begin) * k, k));
            const auto prepared = prepare(queries, begin, end);
            search_in(prepared, masks, best, *work);
            for (std::size_t i = begin; i < end; ++i)
                write(prepared[i - begin], masks, best[i - begin], scores.row(i), rows.row(i));
        });
    }

    RangeFound range_search(SparseRows queries, double threshold, Masks masks, int threads) const {
        std::vector<std::vector<Best::Item>> found(queries.rows());
        parallel_for(found.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
            const Borrowed work(*this);
            for (std::size_t i = begin; i < end; ++i)
                found[i] = all_within(queries, i, threshold, masks, *work);
        });
        RangeFound result;
        for (const auto& items : found) {
            for (const Best::Item& item : items) {
                result.scores.push_back(item.score);
                result.rows.push_back(item.id.row);
            }
            result.offsets.push_back(static_cast<std::int64_t>(result.rows.size()));
        }
        return result;
    }

  private:
    // Memory of a thread, lent for one chunk: it is large, and not to be touched anew each time.
    class Borrowed {
      public:
        explicit Borrowed(const Implementation& owner) : owner_(owner) {
            const std::lock_guard lock(owner_.mutex_);
            if (owner_.idle_.empty()) {
                work_ = std::make_unique<ScorerWork>();
                owner_.idle_.reserve(++owner_.n_works_);  // so that giving back never throws
            } else {
                work_ = std::move(owner_.idle_.back());
                owner_.idle_.pop_back();
            }
        }
        ~Borrowed() {
            const std::lock_guard lock(owner_.mutex_);
            owner_.idle_.push_back(std::move(work_));
        }
        Borrowed(const Borrowed&) = delete;
        ScorerWork& operator*() const { return *work_; }

      private:
        const Implementation& owner_;
        std::unique_ptr<ScorerWork> work_;
    };

    static std::span<const std::uint64_t> mask_of(Masks masks, std::size_t part) {
        return masks.empty() ? std::span<const std::uint64_t>{} : masks[part];
    }

    // The lists have been found.
    Keys keys_of(const ScoredQuery& query, std::size_t part, Masks masks, ScorerWork& work) const {
        const KeyRule rule = scorer_.score(query, part, work);
        const Part& p = scorer_.parts()[part];
        Keys keys = make_keys(work.sums.data(), work.maxima.data(), p.block.n_documents, rule,
                              p.alive, mask_of(masks, part));
        name(keys, part);
        return keys;
    }

    void name(Keys& keys, std::size_t part) const {
        keys.base = scorer_.bases()[part];
        if (!ids_.empty())
            keys.ids = ids_.subspan(static_cast<std::size_t>(keys.base),
                                    scorer_.parts()[part].block.n_documents);
    }

    // Offers the documents of one part. Of keys below `least` it need not offer any.
    void offer_part(const ScoredQuery& query, std::size_t part, Masks masks, double least,
                    Best& best, ScorerWork& work) const {
        scorer_.find_lists(query, part, work);
        if (best.full()) least = std::max(least, best.worst().score);
        const auto mask = mask_of(masks, part);
        const auto few = scorer_.candidates(query, part, least, best.capacity(), mask, work);
        if (!few) return offer(keys_of(query, part, masks, work), best, work.scratch);
        const auto alive = scorer_.parts()[part].alive;
        const KeyRule rule = scorer_.rule(query, part);
        Keys names;
        name(names, part);
        for (const Candidate& candidate : *few)
            if (const std::size_t i = candidate.document; has_bit(alive, i) && has_bit(mask, i))
                best.push(key_of(rule, candidate.sum, i), names.document(i));
    }

    std::vector<ScoredQuery> prepare(SparseRows queries, std::size_t begin, std::size_t end) const {
        std::vector<ScoredQuery> prepared;
        for (std::size_t i = begin; i < end; ++i) prepared.push_back(scorer_.prepare(queries, i));
        return prepared;
    }

    // Part by part, and within it query by query.
    void search_in(std::span<const ScoredQuery> queries, Masks masks, std::span<Best> best,
                   ScorerWork& work) const {
        for (std::size_t part = 0; part < n_parts(); ++part)
            for (std::size_t i = 0; i < best.size(); ++i) {
                offer_part(queries[i], part, masks, -infinity, best[i], work);
                check_interrupt();
            }
    }

    static void raise(std::atomic<double>& bound, double to) {
        double now = bound.load(std::memory_order_relaxed);
        while (now < to && !bound.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
        }
    }

    // A few queries: each part finds its own best ones, and the best of these are the best of all.
    // What one part knows of the k-th best spares others work; it changes no result.
    void search_parts(SparseRows queries, Masks masks, std::size_t k, MatrixView<double> scores,
                      MatrixView<std::int64_t> rows, int threads) const {
        const std::size_t n = queries.rows(), parts = n_parts();
        const auto prepared = prepare(queries, 0, n);
        std::vector<std::vector<Best::Item>> storage(n * parts);
        std::vector<Best> best;
        for (std::size_t i = 0; i < n * parts; ++i) {
            const std::size_t size = scorer_.parts()[i % parts].block.n_documents;
            storage[i].resize(std::min(k, size));
            best.emplace_back(storage[i]);
        }
        std::vector<std::atomic<double>> bounds(n);
        for (std::atomic<double>& bound : bounds) bound = -infinity;
        parallel_for(n * parts, 1, threads, [&](std::size_t begin, std::size_t end) {
            const Borrowed work(*this);
            for (std::size_t i = begin; i < end; ++i) {
                std::atomic<double>& bound = bounds[i / parts];
                offer_part(prepared[i / parts], i % parts, masks,
                           bound.load(std::memory_order_relaxed), best[i], *work);
                check_interrupt();
                if (best[i].full() && best[i].capacity() == k) raise(bound, best[i].worst().score);
            }
        });
        std::vector<Best::Item> items(k);
        for (std::size_t i = 0; i < n; ++i) {
            Best all(items);
            for (std::size_t part = 0; part < parts; ++part)
                for (const Best::Item& item : best[i * parts + part].sorted())
                    all.push(item.score, item.id);
            write(prepared[i], masks, all, scores.row(i), rows.row(i));
        }
    }

    void write(const ScoredQuery& query, Masks masks, Best& best, double* scores,
               std::int64_t* rows) const {
        const auto sorted = best.sorted();
        std::vector<Best::Item> items(sorted.begin(), sorted.end());
        if (scorer_.is_distance()) turn_into_nearest(query, masks, items);
        for (std::size_t j = 0; j < items.size(); ++j) {
            scores[j] = items[j].score;
            rows[j] = items[j].id.row;
        }
    }

    // From keys to distances; those that the sums resolve badly are computed from the documents.
    void turn_into_distances(const ScoredQuery& query, std::vector<Best::Item>& items) const {
        for (Best::Item& item : items) {
            const auto row = static_cast<std::size_t>(item.id.row);
            item.score = scorer_.distance(query, -item.score, row);
        }
        std::sort(items.begin(), items.end(), [](const Best::Item& a, const Best::Item& b) {
            return ranks_before(a, b, std::less<>());
        });
    }

    // Where the sums do not tell the farthest from others, one of these may be nearer.
    void turn_into_nearest(const ScoredQuery& query, Masks masks,
                           std::vector<Best::Item>& items) const {
        turn_into_distances(query, items);
        if (items.empty() || items.size() == n_rows()) return;
        const double farthest = items.back().score;
        if (scorer_.resolves(query, farthest)) return;
        if (farthest == 0 && !query.wide) return;  // the sums of equal rows are 0, to the bit
        find_nearest(query, masks, farthest, items);
    }

    // The items.size() nearest documents. The items are so many, the farthest at the distance
    // `farthest`: only others that may be within it are looked at.
    void find_nearest(const ScoredQuery& query, Masks masks, double farthest,
                      std::vector<Best::Item>& items) const {
        const Borrowed work(*this);
        std::vector<Best::Item> storage(items.size());
        TopK<double, Document, std::less<>> nearest(storage);
        std::vector<std::int64_t> known;
        for (const Best::Item& item : items) {
            known.push_back(item.id.row);
            nearest.push(item.score, item.id);
        }
        std::sort(known.begin(), known.end());
        Radius radius = scorer_.radius(query, farthest);
        for (std::size_t part = 0; part < n_parts(); ++part) {
            scorer_.find_lists(query, part, *work);
            const Keys keys = keys_of(query, part, masks, *work);
            for (std::size_t i = 0; i < keys.keys.size(); ++i) {
                if (!reaches(query, keys, i, farthest, radius)) continue;
                const Document document = keys.document(i);
                if (std::binary_search(known.begin(), known.end(), document.row)) continue;
                const auto row = static_cast<std::size_t>(document.row);
                nearest.push(scorer_.distance(query, -keys.keys[i], row), document);
                if (nearest.worst().score < radius.distance)
                    radius = scorer_.radius(query, nearest.worst().score);
                check_interrupt();
            }
        }
        const auto sorted = nearest.sorted();
        items.assign(sorted.begin(), sorted.end());
    }

    // Can document i of the keys be one that a range search is for?
    bool reaches(const ScoredQuery& query, const Keys& keys, std::size_t i, double threshold,
                 const Radius& radius) const {
        const double key = keys.keys[i];
        if (key == -infinity) return false;
        if (!scorer_.is_distance()) return key >= threshold;
        return scorer_.may_be_within(query, radius, -key, static_cast<std::size_t>(keys.base) + i);
    }

    std::vector<Best::Item> all_within(SparseRows queries, std::size_t i, double threshold,
                                       Masks masks, ScorerWork& work) const {
        const ScoredQuery query = scorer_.prepare(queries, i);
        std::vector<Best::Item> items;
        Radius radius{};
        if (scorer_.is_distance()) {
            if (threshold < 0) return items;
            radius = scorer_.radius(query, threshold);
        }
        for (std::size_t part = 0; part < n_parts(); ++part) {
            scorer_.find_lists(query, part, work);
            const Keys keys = keys_of(query, part, masks, work);
            for (std::size_t j = 0; j < keys.keys.size(); ++j)
                if (reaches(query, keys, j, threshold, radius))
                    items.push_back({keys.keys[j], keys.document(j)});
            check_interrupt();
        }
        if (scorer_.is_distance()) {
            turn_into_distances(query, items);
            std::erase_if(items, [&](const Best::Item& item) { return item.score > threshold; });
        } else {
            std::sort(items.begin(), items.end(), [](const Best::Item& a, const Best::Item& b) {
                return ranks_before(a, b, std::greater<>());
            });
        }
        return items;
    }

    Scorer scorer_;
    std::span<const std::int64_t> ids_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<ScorerWork>> idle_;
    mutable std::size_t n_works_ = 0;
};

Reader::Reader(const Scoring& scoring, std::vector<Part> parts, WordWeights word_weights,
               std::span<const std::int64_t> ids, Magnitudes values, int threads)
    : implementation_(std::make_unique<Implementation>(scoring, std::move(parts), word_weights, ids,
                                                       values, threads)) {}

Reader::~Reader() = default;

void Reader::search(SparseRows queries, Masks masks, MatrixView<double> scores,
                    MatrixView<std::int64_t> rows, int threads) const {
    implementation_->search(queries, masks, scores, rows, threads);
}

RangeFound Reader::range_search(SparseRows queries, double threshold, Masks masks,
                                int threads) const {
    return implementation_->range_search(queries, threshold, masks, threads);
}

std::size_t Reader::n_rows() const {
    return implementation_->n_rows();
}

}  // namespace trouvaille
