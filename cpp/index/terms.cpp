// SPDX-License-Identifier: Apache-2.0
#include "index/terms.hpp"

#include <algorithm>
#include <cmath>

namespace trouvaille {
namespace {

double inverse_norm(std::span<const Term> terms, Norm norm) {
    if (norm == Norm::none) return 1;
    double sum = 0;
    for (const Term& term : terms)
        sum += norm == Norm::l1 ? std::abs(term.query) : term.query * term.query;
    if (norm == Norm::l2) sum = std::sqrt(sum);
    return sum > 0 ? 1 / sum : 0;
}

}  // namespace

std::span<const Term> Terms::of(SparseRows queries, std::size_t query,
                                const QueryWeighting& weighting) {
    gather(queries, query);
    add_repeated();
    weigh(weighting);
    return terms_;
}

void Terms::gather(SparseRows queries, std::size_t query) {
    terms_.clear();
    const auto begin = static_cast<std::size_t>(queries.offsets[query]);
    const auto end = static_cast<std::size_t>(queries.offsets[query + 1]);
    bool ascending = true;
    for (std::size_t i = begin; i < end; ++i) {
        ascending &= i == begin || queries.words[i - 1] < queries.words[i];
        terms_.push_back({queries.words[i], queries.values[i], 0, 1});
    }
    if (!ascending)
        std::stable_sort(terms_.begin(), terms_.end(),
                         [](const Term& a, const Term& b) { return a.word < b.word; });
}

void Terms::add_repeated() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
        if (kept > 0 && terms_[kept - 1].word == terms_[i].word)
            terms_[kept - 1].value += terms_[i].value;
        else
            terms_[kept++] = terms_[i];
    }
    terms_.resize(kept);
}

void Terms::weigh(const QueryWeighting& weighting) {
    for (Term& term : terms_) {
        term.weight = weighting.words[term.word];
        term.query = term.weight * static_cast<double>(rooted(term.value, weighting.roots));
    }
    std::erase_if(terms_, [](const Term& term) { return term.query == 0; });
    const double factor = inverse_norm(terms_, weighting.norm);
    for (Term& term : terms_) {
        term.query *= factor;
        if (!weighting.hellinger) continue;
        term.query = std::sqrt(term.query);
        term.weight = std::sqrt(term.weight);
    }
}

}  // namespace trouvaille
