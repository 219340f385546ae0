// SPDX-License-Identifier: Apache-2.0
#pragma once

// The few documents of a block that can be among the best k, without a look at all of them.
//
// The lists of frequent words are long and weigh little. Where no contribution is negative, let B
// be the sum of the greatest contributions of some words with long lists, and `least` the sum that
// a document needs. If B < least, then a document that is in none of the other lists cannot enter,
// and one whose sum over these is s cannot unless s + B >= least: the few that are left are looked
// up in the long lists, which are never walked. All of it is in whole numbers, and what is left has
// its complete sum: the same bits as if all documents had been gone through.
//
// Turtle, Flood. Query evaluation: strategies and optimizations. Information Processing and
// Management 31(6), 1995 (MaxScore).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "index/accumulate.hpp"
#include "index/block.hpp"

namespace trouvaille {

/// A document of a block that may be among the best, and its sum.
struct Candidate {
    std::int64_t sum;
    std::int64_t rest;   // more than this the lists that it was not looked up in do not add
    std::uint64_t open;  // bit t: it was not looked up in the lists of long term t
    std::uint32_t document;
};

/// The runs of one word: its bitmaps and its lists. A document is in one of them at most.
struct TermRuns {
    std::span<const TermRun> bitmaps, lists;
    std::size_t size = 0;                           // postings
    std::int64_t bitmap_bound = 0, list_bound = 0;  // what a document may get at most

    std::int64_t bound() const { return std::max(bitmap_bound, list_bound); }
};

/// Memory of a thread that prunes.
struct PruningWork {
    Pages<std::int64_t> sums;  // made when first needed; zero but while they are added to
    bool dirty = false;        // an interrupt left some that are not
    QueryRuns walked;
    std::vector<TermRuns> terms, looked_up;
    std::vector<Candidate> candidates;
};

/// What a document must have, and what the kernel gives.
struct Needed {
    std::int64_t sum;    // for a chance to be among the best; above 0
    double best_factor;  // the document's factor with which the kernel gives most
    float largest;       // value of the block, rooted
};

/// No sum below the result, times `unit` and a factor of `greatest_factor` at most, gives a key of
/// `key` or more, rounded as keys are. key > 0. The greatest number there is if none does.
std::int64_t least_sum(double key, double unit, double greatest_factor);

namespace pruning_detail {

constexpr std::size_t most_looked_up = 64;

/// The runs of each word that has any.
void group_by_term(const QueryRuns& runs, std::vector<TermRuns>& terms);

/// Whether a term's list is long enough not to be walked, and answers questions.
bool is_long(const TermRuns& term, std::size_t n_documents);

/// Whether so many postings are few enough to be walked.
bool are_few(std::size_t postings, std::size_t n_documents);

/// Sets the sums of the runs' documents to zero, and returns each that has `least` or more, once.
/// No run has a bitmap.
void take_candidates(std::span<const TermRun> runs, std::int64_t least, std::int64_t* sums,
                     std::vector<Candidate>& candidates);

/// What `accumulate` adds for a value x of the run, to the bit.
template <class Kernel>
std::int64_t contribution(const Kernel& kernel, const TermRun& run, float x, double factor) {
    if constexpr (requires { kernel.of_constant(x); })
        if (run.values == nullptr) return kernel.of_constant(x);
    return kernel.template operator()<4>(splat<4>(x), Doubles<4>{} + factor)[0];
}

template <class Kernel>
std::int64_t bound_of(const AccumulateJob<Kernel>& job, std::span<const TermRun> runs,
                      const Needed& needed) {
    std::int64_t bound = 0;
    for (const TermRun& run : runs) {
        const float x = run.values == nullptr ? rooted(run.value, job.roots) : needed.largest;
        const std::int64_t most = contribution(job.kernels[run.term], run, x, needed.best_factor);
        bound = std::max(bound, most);
    }
    return bound;
}

/// Parts the terms into those to be looked up, the longest, and those to be walked. The sum of the
/// bounds of the former, which is below `needed.sum`; or nothing, where too much would be walked.
template <class Kernel>
std::optional<std::int64_t> plan(const AccumulateJob<Kernel>& job, const Needed& needed,
                                 PruningWork& work) {
    const std::size_t n_documents = job.block->n_documents;
    group_by_term(*job.runs, work.terms);
    work.looked_up.clear();
    work.walked.documents.clear();
    std::size_t walked = 0;
    for (const TermRuns& term : work.terms)
        if (!is_long(term, n_documents)) walked += term.size;
    if (!are_few(walked, n_documents)) return std::nullopt;
    std::sort(work.terms.begin(), work.terms.end(),
              [](const TermRuns& a, const TermRuns& b) { return a.size > b.size; });
    std::int64_t sum = 0;
    for (TermRuns& term : work.terms) {
        if (is_long(term, n_documents)) {
            term.bitmap_bound = bound_of(job, term.bitmaps, needed);
            term.list_bound = bound_of(job, term.lists, needed);
            if (term.bound() < needed.sum - sum && work.looked_up.size() < most_looked_up) {
                sum += term.bound();
                work.looked_up.push_back(term);
                continue;
            }
            walked += term.size;
            if (!term.bitmaps.empty() || !are_few(walked, n_documents)) return std::nullopt;
        }
        work.walked.documents.insert(work.walked.documents.end(), term.lists.begin(),
                                     term.lists.end());
    }
    return sum;
}

inline void drop_hopeless(std::int64_t least, std::vector<Candidate>& candidates) {
    std::erase_if(candidates, [=](const Candidate& candidate) {
        return candidate.sum + candidate.rest < least;
    });
}

template <class Kernel>
double factor_of(const AccumulateJob<Kernel>& job, std::uint32_t document) {
    if constexpr (Kernel::uses_factor)
        return job.factors[document];
    else
        return 0;
}

/// Adds what the bitmaps of looked-up term t have of a candidate.
template <class Kernel>
void look_up_in_bitmaps(const AccumulateJob<Kernel>& job, const TermRuns& term, std::size_t t,
                        Candidate& candidate) {
    candidate.rest -= term.bound();
    for (const TermRun& run : term.bitmaps) {
        if (!bitmap_has(run.documents, candidate.document)) continue;
        candidate.sum += contribution(job.kernels[run.term], run, rooted(run.value, job.roots),
                                      factor_of(job, candidate.document));
        return;
    }
    candidate.rest += term.list_bound;
    candidate.open |= std::uint64_t{term.lists.empty() ? 0U : 1U} << t;
}

/// Adds what posting j of a run gives.
template <class Kernel>
void add_posting(const AccumulateJob<Kernel>& job, const TermRun& run, std::size_t j,
                 Candidate& candidate) {
    float x[16] = {run.value};
    if (run.values != nullptr) decode_values(*job.block, run, j, 1, x);
    candidate.sum += contribution(job.kernels[run.term], run, rooted(x[0], job.roots),
                                  factor_of(job, candidate.document));
}

/// The same of its lists, for all candidates: by bisection where these are few, else by a walk that
/// knows a candidate by its mark. `marks` are zero before and after.
template <class Kernel>
void look_up_in_lists(const AccumulateJob<Kernel>& job, const TermRuns& term, std::size_t t,
                      std::vector<Candidate>& candidates, std::int64_t* marks) {
    constexpr std::size_t bisection = 64;  // postings are walked in its time
    const std::uint64_t bit = std::uint64_t{1} << t;
    std::size_t n_open = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if ((candidates[i].open & bit) == 0) continue;
        marks[candidates[i].document] = static_cast<std::int64_t>(i + 1);
        ++n_open;
    }
    if (n_open == 0) return;
    for (const TermRun& run : term.lists) {
        if (n_open * bisection < run.size) {
            for (Candidate& candidate : candidates) {
                if ((candidate.open & bit) == 0) continue;
                const std::size_t place = place_in(run, candidate.document);
                if (place < run.size) add_posting(job, run, place, candidate);
            }
        } else {
            for (std::size_t j = 0; j < run.size; ++j)
                if (const std::int64_t mark = marks[run.documents[j]]; mark != 0)
                    add_posting(job, run, j, candidates[static_cast<std::size_t>(mark - 1)]);
        }
    }
    for (Candidate& candidate : candidates) {
        if ((candidate.open & bit) == 0) continue;
        marks[candidate.document] = 0;
        candidate.rest -= term.list_bound;
    }
}

}  // namespace pruning_detail

/// All documents of the block whose sum is `needed.sum` or more, with those sums, in no order; or
/// nothing, where the sums of all documents would be had sooner. `job.runs` are the query's, of a
/// kernel that never gives less for a greater value; no contribution is negative. `job.sums` and
/// `job.fresh` do not matter. Throws Interrupted.
template <class Kernel>
std::optional<std::span<const Candidate>> candidates(AccumulateJob<Kernel> job, Needed needed,
                                                     PruningWork& work) {
    using namespace pruning_detail;
    const std::optional<std::int64_t> bound = plan(job, needed, work);
    if (!bound) return std::nullopt;
    if (work.sums.size() == 0) work.sums = Pages<std::int64_t>(max_block_documents);
    if (work.dirty) std::fill_n(work.sums.data(), work.sums.size(), std::int64_t{0});
    AccumulateJob<Kernel> walk = job;
    walk.runs = &work.walked;
    walk.sums = work.sums.data();
    walk.fresh = false;
    work.dirty = true;
    accumulate(walk);
    take_candidates(work.walked.documents, needed.sum - *bound, work.sums.data(), work.candidates);
    work.dirty = false;
    for (Candidate& candidate : work.candidates) candidate.rest = *bound;
    for (std::size_t t = 0; t < work.looked_up.size(); ++t) {
        for (Candidate& candidate : work.candidates)
            look_up_in_bitmaps(job, work.looked_up[t], t, candidate);
        drop_hopeless(needed.sum, work.candidates);
    }
    for (std::size_t t = 0; t < work.looked_up.size(); ++t) {
        look_up_in_lists(job, work.looked_up[t], t, work.candidates, work.sums.data());
        drop_hopeless(needed.sum, work.candidates);
    }
    return work.candidates;
}

}  // namespace trouvaille
