// SPDX-License-Identifier: Apache-2.0
#include "index/inverted_file.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "core/topk.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t block_documents = 32'768;  // their sums, 256 KiB, stay in the second cache
constexpr std::size_t group_documents = 64;      // tested at once against the k-th best
constexpr std::size_t chunk_operations = 1'000'000;  // about a millisecond of one thread

using Best = TopK<double, std::int64_t>;

struct Term {
    std::uint32_t word;
    double weight;
};

// The words of one query in ascending order, each once, with their weights; without those that
// cannot add to a score.
class Terms {
  public:
    std::span<const Term> of(SparseRows queries, std::size_t query, const Weights& weights) {
        gather(queries, query);
        add_repeated();
        apply(weights);
        std::erase_if(terms_, [](const Term& term) { return term.weight == 0; });
        return terms_;
    }

  private:
    void gather(SparseRows queries, std::size_t query) {
        terms_.clear();
        const auto begin = static_cast<std::size_t>(queries.offsets[query]);
        const auto end = static_cast<std::size_t>(queries.offsets[query + 1]);
        for (std::size_t i = begin; i < end; ++i)
            terms_.push_back({queries.words[i], queries.values[i]});
        std::stable_sort(terms_.begin(), terms_.end(),
                         [](const Term& a, const Term& b) { return a.word < b.word; });
    }

    void add_repeated() {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < terms_.size(); ++i) {
            if (kept > 0 && terms_[kept - 1].word == terms_[i].word)
                terms_[kept - 1].weight += terms_[i].weight;
            else
                terms_[kept++] = terms_[i];
        }
        terms_.resize(kept);
    }

    // From q_w to s_q q_w g_w^2.
    void apply(const Weights& weights) {
        const auto weight = [&](std::uint32_t word) {
            return weights.words.empty() ? 1.0 : weights.words[word];
        };
        double squares = 0;
        for (Term& term : terms_) {
            term.weight *= weight(term.word);
            squares += term.weight * term.weight;
        }
        const double norm = weights.normalize_queries && squares > 0 ? std::sqrt(squares) : 1.0;
        for (Term& term : terms_) term.weight = term.weight * weight(term.word) / norm;
    }

    std::vector<Term> terms_;
};

// What is left of one list, in step with the blocks.
template <class Value>
struct Cursor {
    const std::uint32_t* document;
    const std::uint32_t* end;
    const Value* value;
    double weight;
};

template <class Value>
void open_cursors(Postings<Value> postings, std::span<const Term> terms,
                  std::vector<Cursor<Value>>& cursors) {
    cursors.clear();
    for (const Term& term : terms) {
        const auto begin = static_cast<std::size_t>(postings.offsets[term.word]);
        const auto end = static_cast<std::size_t>(postings.offsets[term.word + 1]);
        if (begin == end) continue;
        const std::uint32_t* documents = postings.documents.data();
        cursors.push_back(
            {documents + begin, documents + end, postings.values.data() + begin, term.weight});
    }
}

// sums[d - begin] += weight * x_d for the list's documents below `end`.
template <class Value>
void accumulate(Cursor<Value>& cursor, std::size_t begin, std::size_t end, double* sums) {
    const std::uint32_t* document = cursor.document;
    const Value* value = cursor.value;
    const std::uint32_t* stop = std::lower_bound(document, cursor.end, end);
    const double weight = cursor.weight;
    for (; document != stop; ++document, ++value)
        sums[*document - begin] += weight * static_cast<double>(*value);
    cursor.document = document;
    cursor.value = value;
}

// The scores of one block, to be offered to the best so far. `scales` may be null.
struct Block {
    const double* sums;
    const double* scales;
    const std::int64_t* ids;  // null: the document's number
    std::size_t begin, size;

    double score(std::size_t i) const { return scales ? sums[i] * scales[i] : sums[i]; }
    std::int64_t id(std::size_t i) const {
        return ids ? ids[i] : static_cast<std::int64_t>(begin + i);
    }
};

// Nearly all groups hold nothing that could enter, and cost one branch.
ALWAYS_INLINE bool any_may_enter(const Block& block, std::size_t begin, std::size_t end,
                                 double threshold) {
    std::int64_t above = 0;
    if (block.scales)
        for (std::size_t i = begin; i < end; ++i)
            above += block.sums[i] * block.scales[i] >= threshold;
    else
        for (std::size_t i = begin; i < end; ++i) above += block.sums[i] >= threshold;
    return above > 0;
}

ALWAYS_INLINE void offer_block(const Block& block, Best& best) {
    for (std::size_t begin = 0; begin < block.size; begin += group_documents) {
        const std::size_t end = std::min(begin + group_documents, block.size);
        if (best.full()) {
            // Numbers ascend: among equal scores a later document enters only by a given id.
            const double worst = best.worst().score;
            const double threshold =
                block.ids ? worst : std::nextafter(worst, std::numeric_limits<double>::infinity());
            if (!any_may_enter(block, begin, end, threshold)) continue;
        }
        for (std::size_t i = begin; i < end; ++i) best.push(block.score(i), block.id(i));
    }
}

void scalar(const Block& block, Best& best) {
    offer_block(block, best);
}

#if TROUVAILLE_X86
TARGET_AVX2 void avx2(const Block& block, Best& best) {
    offer_block(block, best);
}
#else
constexpr auto avx2 = scalar;
#endif

// Half the time of scalar where a query has few postings; AVX-512 would add nothing.
constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx2};

// One thread's work on one query after another.
template <class Value>
class Searcher {
  public:
    Searcher(Postings<Value> postings, std::size_t n_documents, Weights weights,
             std::span<const std::int64_t> ids, std::size_t k)
        : postings_(postings),
          n_documents_(n_documents),
          weights_(weights),
          ids_(ids),
          offer_(pick(variants)),
          sums_(std::min(block_documents, n_documents)),
          best_(std::min(k, n_documents)) {}

    void search(SparseRows queries, std::size_t query, std::span<double> scores,
                std::span<std::int64_t> found) {
        std::fill(scores.begin(), scores.end(), -std::numeric_limits<double>::infinity());
        std::fill(found.begin(), found.end(), -1);
        if (best_.empty()) return;
        open_cursors(postings_, terms_.of(queries, query, weights_), cursors_);
        Best best(best_);
        for (std::size_t begin = 0; begin < n_documents_; begin += block_documents) {
            visit(begin, std::min(begin + block_documents, n_documents_), best);
            check_interrupt();
        }
        const auto sorted = best.sorted();
        for (std::size_t i = 0; i < sorted.size(); ++i) {
            scores[i] = sorted[i].score;
            found[i] = sorted[i].id;
        }
    }

  private:
    void visit(std::size_t begin, std::size_t end, Best& best) {
        std::fill(sums_.begin(), sums_.end(), 0.0);
        for (Cursor<Value>& cursor : cursors_) {
            const std::uint32_t* first = cursor.document;
            accumulate(cursor, begin, end, sums_.data());
            poll_.did(static_cast<std::size_t>(cursor.document - first) + 1);
        }
        const double* scales =
            weights_.documents.empty() ? nullptr : weights_.documents.data() + begin;
        const std::int64_t* ids = ids_.empty() ? nullptr : ids_.data() + begin;
        offer_({sums_.data(), scales, ids, begin, end - begin}, best);
    }

    InterruptPoll poll_;  // a block of a query with many words takes long
    Postings<Value> postings_;
    std::size_t n_documents_;
    Weights weights_;
    std::span<const std::int64_t> ids_;
    decltype(&scalar) offer_;
    Terms terms_;
    std::vector<Cursor<Value>> cursors_;
    std::vector<double> sums_;
    std::vector<Best::Item> best_;
};

// Queries to give a thread at once.
template <class Value>
std::size_t grain(Postings<Value> postings, std::size_t n_documents, SparseRows queries) {
    std::size_t operations = queries.rows() * (n_documents + 1);
    const auto n_entries = static_cast<std::size_t>(queries.offsets.back());
    InterruptPoll poll;
    polled_for(0, n_entries, 1, poll, [&](std::size_t i) {
        const std::uint32_t word = queries.words[i];
        operations += postings.offsets[word + 1] - postings.offsets[word];
    });
    return queries.rows() * chunk_operations / std::max<std::size_t>(operations, 1) + 1;
}

// Closes the gaps that repeated words and sums of zero left: list w holds the places from
// offsets[w] to ends[w]. Lists only move towards the front.
std::size_t close_gaps(std::span<std::uint64_t> offsets, std::span<const std::uint64_t> ends,
                       std::span<std::uint32_t> documents, std::span<double> values) {
    std::size_t kept = 0;
    InterruptPoll poll;
    for (std::size_t word = 0; word < ends.size(); ++word) {
        poll.did(1);
        const std::size_t begin = std::exchange(offsets[word], kept);
        polled_for(begin, ends[word], 1, poll, [&](std::size_t i) {
            if (values[i] == 0) return;
            documents[kept] = documents[i];
            values[kept++] = values[i];
        });
    }
    offsets.back() = kept;
    return kept;
}

// Copies one list to the places from `place` on, its documents moved up by `shift`; returns the
// place after it.
template <class Value>
std::size_t append_list(Postings<Value> postings, std::size_t word, std::uint32_t shift,
                        std::span<std::uint32_t> documents, std::span<Value> values,
                        std::size_t place, InterruptPoll& poll) {
    const std::size_t begin = postings.offsets[word], end = postings.offsets[word + 1];
    polled_for(begin, end, 1, poll, [=](std::size_t i) {
        documents[place + (i - begin)] = postings.documents[i] + shift;
        values[place + (i - begin)] = postings.values[i];
    });
    return place + (end - begin);
}

}  // namespace

std::size_t transpose(SparseRows rows, std::span<std::uint64_t> offsets,
                      std::span<std::uint32_t> documents, std::span<double> values) {
    assert(documents.size() == rows.values.size() && values.size() == rows.values.size());
    std::fill(offsets.begin(), offsets.end(), 0);
    InterruptPoll poll;
    polled_for(0, rows.words.size(), 1, poll, [=](std::size_t i) { ++offsets[rows.words[i] + 1]; });
    for (std::size_t word = 1; word < offsets.size(); ++word) offsets[word] += offsets[word - 1];

    std::vector<std::uint64_t> ends(offsets.begin(), offsets.end() - 1);  // of what is written
    for (std::size_t row = 0; row < rows.rows(); ++row) {
        poll.did(1);
        const auto document = static_cast<std::uint32_t>(row);
        const auto begin = static_cast<std::size_t>(rows.offsets[row]);
        const auto stop = static_cast<std::size_t>(rows.offsets[row + 1]);
        polled_for(begin, stop, 1, poll, [&](std::size_t i) {
            const std::uint32_t word = rows.words[i];
            const double value = rows.values[i];
            std::uint64_t& end = ends[word];
            if (end > offsets[word] && documents[end - 1] == document) {
                values[end - 1] += value;
            } else {
                documents[end] = document;
                values[end++] = value;
            }
        });
    }
    return close_gaps(offsets, ends, documents, values);
}

template <class Value>
void join(Postings<Value> a, Postings<Value> b, std::uint32_t n_a, std::span<std::uint64_t> offsets,
          std::span<std::uint32_t> documents, std::span<Value> values) {
    assert(a.words() == b.words() && offsets.size() == a.offsets.size());
    std::size_t joined = 0;
    InterruptPoll poll;
    for (std::size_t word = 0; word < a.words(); ++word) {
        poll.did(1);
        offsets[word] = joined;
        joined = append_list(a, word, 0, documents, values, joined, poll);
        joined = append_list(b, word, n_a, documents, values, joined, poll);
    }
    offsets.back() = joined;
}

template <class Value>
void document_norms(Postings<Value> postings, std::span<const double> word_weights,
                    std::span<double> norms) {
    std::fill(norms.begin(), norms.end(), 0.0);
    InterruptPoll poll;
    for (std::size_t word = 0; word < postings.words(); ++word) {
        poll.did(1);
        const double weight = word_weights.empty() ? 1.0 : word_weights[word];
        polled_for(postings.offsets[word], postings.offsets[word + 1], 1, poll, [=](std::size_t i) {
            const double value = weight * static_cast<double>(postings.values[i]);
            norms[postings.documents[i]] += value * value;
        });
    }
    polled_for(0, norms.size(), 1, poll, [=](std::size_t i) { norms[i] = std::sqrt(norms[i]); });
}

template <class Value>
void search_inverted_file(Postings<Value> postings, std::size_t n_documents, Weights weights,
                          std::span<const std::int64_t> ids, SparseRows queries,
                          MatrixView<double> scores, MatrixView<std::int64_t> found, int threads) {
    assert(scores.rows == queries.rows() && found.rows == queries.rows());
    assert(scores.cols == found.cols);
    parallel_for(queries.rows(), grain(postings, n_documents, queries), threads,
                 [&](std::size_t begin, std::size_t end) {
                     Searcher<Value> searcher(postings, n_documents, weights, ids, scores.cols);
                     for (std::size_t i = begin; i < end; ++i)
                         searcher.search(queries, i, {scores.row(i), scores.cols},
                                         {found.row(i), found.cols});
                 });
}

#define TROUVAILLE_INSTANTIATE(Value)                                                             \
    template void join(Postings<Value>, Postings<Value>, std::uint32_t, std::span<std::uint64_t>, \
                       std::span<std::uint32_t>, std::span<Value>);                               \
    template void document_norms(Postings<Value>, std::span<const double>, std::span<double>);    \
    template void search_inverted_file(Postings<Value>, std::size_t, Weights,                     \
                                       std::span<const std::int64_t>, SparseRows,                 \
                                       MatrixView<double>, MatrixView<std::int64_t>, int);
TROUVAILLE_INSTANTIATE(std::uint16_t)
TROUVAILLE_INSTANTIATE(float)
TROUVAILLE_INSTANTIATE(double)
#undef TROUVAILLE_INSTANTIATE

}  // namespace trouvaille
