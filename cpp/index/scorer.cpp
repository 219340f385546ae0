// SPDX-License-Identifier: Apache-2.0
#include "index/scorer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "index/postings.hpp"
#include "index/units.hpp"

namespace trouvaille {

Scorer::Scorer(const Scoring& scoring, std::vector<Part> parts, WordWeights word_weights,
               Magnitudes values, int threads)
    : scoring_(scoring),
      parts_(std::move(parts)),
      word_weights_(word_weights),
      values_(values),
      document_roots_(scoring.document_roots + (scoring.hellinger ? 1 : 0)),
      prepared_(parts_.size()) {
    weighting_ = {word_weights, scoring.query_roots, scoring.norm, scoring.hellinger};
    for (const Part& part : parts_) {
        bases_.push_back(bases_.back() + part.block.n_documents);
        values_.include(static_cast<double>(part.facts.largest));
        values_.include(static_cast<double>(part.facts.smallest));
        negative_ |= part.facts.negative;
    }
    prepare_factors();
    if (factors_.largest == 0) factors_.include(1);
    if (is_distance()) prepare_powers(threads);
}

bool Scorer::uses_factors(std::size_t part) const {
    return prepared_[part].factors.size() > 0;
}

double Scorer::factor_of(std::size_t part, std::size_t document) const {
    return uses_factors(part) ? prepared_[part].factors.data()[document] : 1.0;
}

double Scorer::weight_of(std::size_t word) const {
    return word_weights_[word];
}

void Scorer::prepare_factors() {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        const auto given = parts_[i].factors;
        if (given.empty()) continue;
        prepared_[i].factors = Pages<double>(whole_groups(given.size()));
        const auto factors = prepared_[i].factors.span();
        std::copy(given.begin(), given.end(), factors.begin());
        if (scoring_.kernel == KernelName::bm25)  // 0 / (0 + factor) has to be 0
            for (double& factor : factors)
                factor = std::max(factor, std::numeric_limits<double>::min());
        const auto alive = parts_[i].alive;
        for (std::size_t d = 0; d < given.size(); ++d)
            if (has_bit(alive, d)) factors_.include(factors[d]);
        const auto [least, greatest] =
            std::minmax_element(factors.begin(), factors.begin() + std::ssize(given));
        prepared_[i].least_factor = *least;
        prepared_[i].greatest_factor = *greatest;
        if (scoring_.kernel != KernelName::bm25) continue;
        prepared_[i].ones = Pages<double>(factors.size());
        std::transform(factors.begin(), factors.end(), prepared_[i].ones.data(),
                       [](double factor) { return 1 / (1 + factor); });
        if (parts_[i].block.storage == Storage::counts)
            prepared_[i].classes = classes_of(factors.first(given.size()));
    }
}

// ---- queries

ScoredQuery Scorer::prepare(SparseRows queries, std::size_t i) const {
    Terms terms;
    const auto found = terms.of(queries, i, weighting_);
    ScoredQuery query;
    query.terms.assign(found.begin(), found.end());
    if (is_distance()) {
        fix_power_units(query);
        return query;
    }
    query.growing = !negative_;
    double bound = 0;
    Magnitudes each;
    for (const Term& term : query.terms) {
        const Magnitudes of_term = contributions(term);
        query.growing &= term.query >= 0 && term.weight >= 0;
        bound += of_term.largest;
        each.include(of_term.smallest);
    }
    fix_units(query, bound, each.smallest);
    return query;
}

// Of the contributions that the term makes to documents that are alive and have the word.
Magnitudes Scorer::contributions(const Term& term) const {
    if (values_.largest == 0) return {};
    const auto h = [&](double x) {
        return static_cast<double>(rooted(static_cast<float>(x), document_roots_));
    };
    const double query = std::abs(term.query), least = h(values_.smallest);
    const double weight = std::abs(term.weight);
    if (scoring_.kernel == KernelName::dot)
        return {query * weight * least, query * weight * h(values_.largest)};
    if (scoring_.kernel == KernelName::bm25)
        return {query * (least / (least + factors_.largest)), query};
    return {std::min(query, least * weight * factors_.smallest), query};
}

// `bound` is at least the sum of any document's contributions, `least` at most any one of them.
void Scorer::fix_units(ScoredQuery& query, double bound, double least) const {
    if (query.terms.empty() || bound == 0) return;
    query.units = power_of_two(sum_bits - ceil_log2(bound));
    query.wide = least * query.units < power_of_two(cut_bits);
    if (scoring_.kernel != KernelName::dot) return;
    for (const Term& term : query.terms)  // what documents' values are multiplied by, in float32
        query.wide |= std::abs(term.query * term.weight) * query.units > 0x1p120;
}

// ---- sums

// body(make), where make(i) is the kernel of term i; of all but power.
template <class Body>
auto Scorer::with_kernel(const ScoredQuery& query, std::size_t part, Body body) const {
    const std::vector<Term>& terms = query.terms;
    const double units = query.units;
    if (scoring_.kernel == KernelName::dot)
        return body(
            [&](std::size_t i) { return DotKernel{terms[i].query * terms[i].weight * units}; });
    if (scoring_.kernel == KernelName::bm25)
        return body([&](std::size_t i) { return Bm25Kernel{terms[i].query * units}; });
    if (uses_factors(part))
        return body([&](std::size_t i) {
            return MinimumKernel<true>{terms[i].query, terms[i].weight, units};
        });
    return body([&](std::size_t i) {
        return MinimumKernel<false>{terms[i].query, terms[i].weight, units};
    });
}

KeyRule Scorer::rule(const ScoredQuery& query, std::size_t part) const {
    KeyRule rule;
    rule.unit = 1 / query.units;
    if (scoring_.kernel == KernelName::dot && uses_factors(part))
        rule.factors = prepared_[part].factors.data();
    return rule;
}

void Scorer::find_lists(const ScoredQuery& query, std::size_t part, ScorerWork& work) const {
    const std::vector<Term>& terms = query.terms;
    if (query.wide) return;  // those are read one after another
    find_runs(
        parts_[part].block, terms.size(), [&](std::size_t i) { return terms[i].word; }, work.runs);
}

std::optional<std::span<const Candidate>> Scorer::candidates(const ScoredQuery& query,
                                                             std::size_t part, double least,
                                                             std::size_t k,
                                                             std::span<const std::uint64_t> mask,
                                                             ScorerWork& work) const {
    if (!query.growing || query.wide) return std::nullopt;
    if (!prepared_[part].classes.empty() && query.terms.size() <= most_sketched_terms)
        return sketch(query, part, least, k, mask, work);
    if (!(least > 0)) return std::nullopt;
    const KeyRule keys = rule(query, part);
    const Prepared& prepared = prepared_[part];
    const double greatest = keys.factors == nullptr ? 1.0 : prepared.greatest_factor;
    const bool is_bm25 = scoring_.kernel == KernelName::bm25;
    const Needed needed{least_sum(least, keys.unit, greatest),
                        is_bm25 ? prepared.least_factor : prepared.greatest_factor,
                        rooted(parts_[part].facts.largest, document_roots_)};
    return with_kernel(query, part, [&](auto make) {
        using Kernel = decltype(make(std::size_t{0}));
        const std::vector<Kernel> kernels = kernels_of(query.terms.size(), make);
        return trouvaille::candidates(job<Kernel>(part, kernels, work), needed, work.pruning);
    });
}

std::optional<std::span<const Candidate>> Scorer::sketch(const ScoredQuery& query, std::size_t part,
                                                         double least, std::size_t k,
                                                         std::span<const std::uint64_t> mask,
                                                         ScorerWork& work) const {
    const Prepared& prepared = prepared_[part];
    const std::vector<Bm25Kernel> kernels = kernels_of(query.terms.size(), [&](std::size_t i) {
        return Bm25Kernel{query.terms[i].query * query.units};
    });
    SketchJob job;
    job.block = &parts_[part].block;
    job.classes = &prepared.classes;
    job.factors = prepared.factors.data();
    job.roots = document_roots_;
    job.kernels = kernels;
    job.runs = &work.runs;
    job.alive = parts_[part].alive;
    job.mask = mask;
    job.least = least > 0 ? least_sum(least, 1 / query.units, 1) : 0;
    job.k = k;
    return sketched(job, work.sketch);
}

KeyRule Scorer::score(const ScoredQuery& query, std::size_t part, ScorerWork& work) const {
    if (query.wide) return score_wide(query, part, work);
    if (is_distance()) return score_power(query, part, work);
    with_kernel(query, part, [&](auto make) { run(part, query.terms.size(), make, work); });
    return rule(query, part);
}

double Scorer::wide_contribution(const ScoredQuery& query, const Term& term, float x,
                                 double factor) const {
    const double value = static_cast<double>(rooted(x, document_roots_));
    if (scoring_.kernel == KernelName::dot) return term.query * term.weight * value;
    if (scoring_.kernel == KernelName::bm25) return term.query * value / (value + factor);
    const double d = value * term.weight * factor;
    if (scoring_.kernel == KernelName::minimum) return std::min(term.query, d);
    const double unit = query.value_unit;
    return power((d - term.query) / unit) - power(d / unit) - power(term.query / unit);
}

KeyRule Scorer::score_wide(const ScoredQuery& query, std::size_t part, ScorerWork& work) const {
    const Part& p = parts_[part];
    const Prepared& prepared = prepared_[part];
    const std::size_t size = whole_groups(p.block.n_documents);
    double* sums = reinterpret_cast<double*>(work.sums.data());
    std::fill_n(sums, size, 0.0);
    InterruptPoll poll;
    for (const Term& term : query.terms) {
        Run run;
        for (Runs runs(p.block, find_list(p.block, term.word)); runs.next(run);) {
            poll.did(16 * std::size_t{run.size});
            for_each_posting(p.block, run, [&](std::uint16_t document, float x) {
                const double factor = factor_of(part, document);
                sums[document] += wide_contribution(query, term, x, factor);
            });
        }
    }
    for (std::size_t d = 0; d < size; ++d) {
        if (is_distance()) {
            const double total =
                prepared.wide_norms->of[d] * query.norm_scale + query.wide_power_sum + sums[d];
            sums[d] = -std::bit_cast<double>(std::bit_cast<std::uint64_t>(std::max(0.0, total)) &
                                             kept_bits);
        } else if (scoring_.kernel == KernelName::dot && prepared.factors.size() > 0) {
            sums[d] *= prepared.factors.data()[d];
        }
    }
    KeyRule rule;
    rule.are_keys = true;
    return rule;
}

}  // namespace trouvaille
