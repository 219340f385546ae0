// SPDX-License-Identifier: Apache-2.0
#include "index/scorer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "core/parallel.hpp"
#include "index/postings.hpp"

namespace trouvaille {
namespace {

constexpr int sum_bits = 61;    // no sum, on its way or at its end, has more
constexpr int known_bits = 36;  // fewer units than 2^36 do not tell a sum to 2^-20
constexpr int cut_bits = 22;    // a contribution of 2^22 units is cut by 2^-22 of it at most

std::size_t whole_groups(std::size_t n) {
    return (n + group_documents - 1) / group_documents * group_documents;
}

// The least power of two that is not below x, as its exponent. x > 0.
int ceil_log2(double x) {
    int exponent;
    const double mantissa = std::frexp(x, &exponent);
    return mantissa == 0.5 ? exponent - 1 : exponent;
}

double power_of_two(int exponent) {
    return std::ldexp(1.0, std::clamp(exponent, -1000, 1000));
}

// The value of a word in a document, 0 if it has none.
float value_of(const Block& block, std::uint32_t word, std::uint16_t document) {
    const List list = find_list(block, word);
    if (list.empty()) return 0;
    Run run;
    for (Runs runs(block, list); runs.next(run);) {
        std::size_t place = 0;
        if (run.bitmap) {
            const std::size_t in = document / 64;
            const std::uint64_t bits = bitmap_word(run.documents, in);
            if ((bits >> document % 64 & 1) == 0) continue;
            for (std::size_t i = 0; i < in; ++i)
                place += static_cast<std::size_t>(std::popcount(bitmap_word(run.documents, i)));
            const std::uint64_t below = bits & ((std::uint64_t{1} << document % 64) - 1);
            place += static_cast<std::size_t>(std::popcount(below));
        } else {
            const std::uint16_t* end = run.documents + run.size;
            const std::uint16_t* found = std::lower_bound(run.documents, end, document);
            if (found == end || *found != document) continue;
            place = static_cast<std::size_t>(found - run.documents);
        }
        if (run.values == nullptr) return run.value;
        float values[16];
        decode_values(block, run, place, 1, values);
        return values[0];
    }
    return 0;
}

}  // namespace

Scorer::Scorer(const Scoring& scoring, std::vector<Part> parts,
               std::span<const double> word_weights, Magnitudes values, int threads)
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

void Scorer::prepare_factors() {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        const auto given = parts_[i].factors;
        if (given.empty()) continue;
        prepared_[i].factors = Pages<double>(whole_groups(given.size()));
        const auto factors = prepared_[i].factors.span();
        std::copy(given.begin(), given.end(), factors.begin());
        if (scoring_.kernel == KernelName::bm25)  // a document of no length has no posting either
            for (double& factor : factors) factor = std::max(factor, 1e-30);
        const auto alive = parts_[i].alive;
        for (std::size_t d = 0; d < given.size(); ++d)
            if (alive.empty() || (alive[d / 64] >> d % 64 & 1) != 0) factors_.include(factors[d]);
        const auto [least, greatest] =
            std::minmax_element(factors.begin(), factors.begin() + std::ssize(given));
        prepared_[i].least_factor = *least;
        prepared_[i].greatest_factor = *greatest;
        if (scoring_.kernel != KernelName::bm25) continue;
        prepared_[i].ones = Pages<double>(factors.size());
        std::transform(factors.begin(), factors.end(), prepared_[i].ones.data(),
                       [](double factor) { return 1 / (1 + factor); });
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

double Scorer::power(double x) const {
    if (scoring_.p == 1) return std::abs(x);
    if (scoring_.p == 2) return x * x;
    return std::pow(std::abs(x), scoring_.p);
}

double Scorer::root(double x) const {
    if (scoring_.p == 1) return x;
    if (scoring_.p == 2) return std::sqrt(x);
    return std::pow(x, 1 / scoring_.p);
}

namespace {

// body(Power) with the power of this p and these units.
template <class Body>
auto with_power(double p, double units, Body body) {
    if (p == 1) return body(PowerOne{units});
    if (p == 2) return body(PowerTwo{units});
    if (p <= 4 && 2 * p == std::floor(2 * p))
        return body(PowerHalves{units, static_cast<int>(2 * p)});
    return body(PowerAny(p, units));
}

template <class Power>
std::int64_t power_in_units(const Power& power, double x) {
    return power.template operator()<4>(Doubles<4>{} + x)[0];
}

}  // namespace

void Scorer::fix_power_units(ScoredQuery& query) const {
    double greatest = 0;
    for (const Term& term : query.terms) greatest = std::max(greatest, std::abs(term.query));
    query.value_unit = value_unit_;
    if (greatest > 2 * value_unit_) query.value_unit = power_of_two(ceil_log2(greatest) - 1);
    double sum = 0;
    for (const Term& term : query.terms) sum += power(term.query / query.value_unit);
    query.wide_power_sum = sum;
    query.wide = scoring_.p > PowerAny::largest_p || query.terms.empty();
    query.units = norm_units_;
    if (sum > 0)
        query.units =
            std::min(query.units, power_of_two(sum_bits - 1 - headroom_ - ceil_log2(sum)));
    query.norm_scale = query.units / norm_units_ * power(value_unit_ / query.value_unit);
    if (sum * query.units < power_of_two(known_bits)) query.wide = true;
    if (query.wide) {
        std::call_once(wide_, [this] { prepare_wide_norms(); });
        query.units = 1;
        query.norm_scale = power(value_unit_ / query.value_unit);
        return;
    }
    with_power(scoring_.p, query.units, [&](const auto& in_units) {
        for (const Term& term : query.terms)
            query.power_sum += power_in_units(in_units, term.query / query.value_unit);
    });
}

// ---- sums

namespace {

// make(i) of every term.
template <class Make>
auto kernels_of(std::size_t n_terms, Make make) {
    std::vector<decltype(make(std::size_t{0}))> kernels;
    kernels.reserve(n_terms);
    for (std::size_t i = 0; i < n_terms; ++i) kernels.push_back(make(i));
    return kernels;
}

}  // namespace

template <class Kernel>
AccumulateJob<Kernel> Scorer::job(std::size_t part, std::span<const Kernel> kernels,
                                  ScorerWork& work) const {
    return {.block = &parts_[part].block,
            .factors = prepared_[part].factors.data(),
            .ones = prepared_[part].ones.data(),
            .roots = document_roots_,
            .kernels = kernels,
            .runs = &work.runs,
            .decoded = work.decoded.data(),
            .sums = work.sums.data(),
            .fresh = true};
}

template <class Make>
void Scorer::run(std::size_t part, std::size_t n_terms, Make make, ScorerWork& work) const {
    using Kernel = decltype(make(std::size_t{0}));
    const std::vector<Kernel> kernels = kernels_of(n_terms, make);
    accumulate(job<Kernel>(part, kernels, work));
}

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
                                                             ScorerWork& work) const {
    if (!query.growing || query.wide || !(least > 0)) return std::nullopt;
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

KeyRule Scorer::score(const ScoredQuery& query, std::size_t part, ScorerWork& work) const {
    if (query.wide) return score_wide(query, part, work);
    if (is_distance()) return score_power(query, part, work);
    with_kernel(query, part, [&](auto make) { run(part, query.terms.size(), make, work); });
    return rule(query, part);
}

template <class Power>
void Scorer::run_power(const ScoredQuery& query, std::size_t part, Power power,
                       ScorerWork& work) const {
    const auto go = [&]<bool with_factor>() {
        run(
            part, query.terms.size(),
            [&](std::size_t i) {
                const double q = query.terms[i].query / query.value_unit;
                return LpKernel<Power, with_factor>{q, query.terms[i].weight / query.value_unit,
                                                    power_in_units(power, q), power};
            },
            work);
    };
    if (uses_factors(part))
        go.template operator()<true>();
    else
        go.template operator()<false>();
}

KeyRule Scorer::score_power(const ScoredQuery& query, std::size_t part, ScorerWork& work) const {
    with_power(scoring_.p, query.units,
               [&](const auto& in_units) { run_power(query, part, in_units, work); });
    const Pages<std::int64_t>& norms = prepared_[part].norms;
    KeyRule rule;
    rule.query_norm = query.power_sum;
    rule.norms = norms.data();
    if (query.norm_scale == 1) return rule;
    if (work.norms.size() == 0) work.norms = Pages<std::int64_t>(max_block_documents);
    for (std::size_t d = 0; d < norms.size(); ++d)
        work.norms.data()[d] =
            static_cast<std::int64_t>(static_cast<double>(norms.data()[d]) * query.norm_scale);
    rule.norms = work.norms.data();
    return rule;
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
                prepared.wide_norms[d] * query.norm_scale + query.wide_power_sum + sums[d];
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

// ---- powers

double Scorer::largest_document_value(std::size_t part) const {
    const Part& p = parts_[part];
    double largest = 0;
    for_each_list(p.block, [&](std::size_t word, List list) {
        const double weight = word_weights_.empty() ? 1.0 : std::abs(word_weights_[word]);
        Run run;
        for (Runs runs(p.block, list); runs.next(run);)
            for_each_posting(p.block, run, [&](std::uint16_t document, float x) {
                const double factor = factor_of(part, document);
                const double value = static_cast<double>(std::abs(rooted(x, document_roots_)));
                largest = std::max(largest, value * weight * factor);
            });
    });
    return largest;
}

// sums[d] = sum of |d_w|^p over all words, in units.
void Scorer::sum_powers(std::size_t part, double value_unit, double units,
                        std::int64_t* sums) const {
    constexpr std::size_t slice = 4096;
    const Block& block = parts_[part].block;
    ScorerWork work;
    const auto sum = [&]<class Power, bool with_factor>(const Power& in_units) {
        for (std::size_t begin = 0; begin < std::max<std::size_t>(block.lists(), 1);
             begin += slice) {
            const std::size_t n = std::min(block.lists() - begin, slice);
            const auto word = [&](std::size_t i) {
                return static_cast<std::uint32_t>(block.word(begin + i));
            };
            find_runs(block, n, word, work.runs);
            std::vector<NormKernel<Power, with_factor>> kernels;
            for (std::size_t i = 0; i < n; ++i) {
                const double weight = word_weights_.empty() ? 1.0 : word_weights_[word(i)];
                kernels.push_back({weight / value_unit, in_units});
            }
            accumulate(AccumulateJob<NormKernel<Power, with_factor>>{
                .block = &block,
                .factors = prepared_[part].factors.data(),
                .ones = nullptr,
                .roots = document_roots_,
                .kernels = kernels,
                .runs = &work.runs,
                .decoded = work.decoded.data(),
                .sums = sums,
                .fresh = begin == 0});
        }
    };
    with_power(scoring_.p, units, [&]<class Power>(const Power& in_units) {
        if (uses_factors(part))
            sum.template operator()<Power, true>(in_units);
        else
            sum.template operator()<Power, false>(in_units);
    });
}

void Scorer::prepare_powers(int threads) {
    bool negative = false;
    std::vector<double> largest(parts_.size());
    parallel_for(parts_.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) largest[i] = largest_document_value(i);
    });
    for (const Part& part : parts_) negative |= part.facts.negative;
    const double greatest = parts_.empty() ? 0 : *std::max_element(largest.begin(), largest.end());
    if (greatest > 0) value_unit_ = power_of_two(ceil_log2(greatest));
    if (scoring_.p > PowerAny::largest_p) return;
    // Of numbers of different signs, |q - d|^p may be 2^(p - 1) times |q|^p + |d|^p.
    headroom_ = std::max(0, static_cast<int>(std::ceil(scoring_.p - 1)));
    // A document has at most 2^29 words, none above 1 now: a first sum finds the greatest norm.
    const double coarse = power_of_two(32);
    std::vector<std::int64_t> greatest_norm(parts_.size());
    const auto sum_all = [&](double units) {
        parallel_for(parts_.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                Pages<std::int64_t>& norms = prepared_[i].norms;
                if (norms.size() == 0)
                    norms = Pages<std::int64_t>(whole_groups(parts_[i].block.n_documents));
                sum_powers(i, value_unit_, units, norms.data());
                for (const std::int64_t norm : norms.span())
                    greatest_norm[i] = std::max(greatest_norm[i], norm);
            }
        });
    };
    sum_all(coarse);
    const std::int64_t most =
        parts_.empty() ? 0 : *std::max_element(greatest_norm.begin(), greatest_norm.end());
    norm_units_ = power_of_two(sum_bits - 2 - headroom_ -
                               ceil_log2(static_cast<double>(most + 1) / coarse * (1 + 0x1p-20)));
    sum_all(norm_units_);
}

void Scorer::prepare_wide_norms() const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        const Part& p = parts_[i];
        std::vector<double>& norms = prepared_[i].wide_norms;
        norms.assign(whole_groups(p.block.n_documents), 0.0);
        for_each_list(p.block, [&](std::size_t word, List list) {
            const double weight = word_weights_.empty() ? 1.0 : word_weights_[word];
            Run run;
            for (Runs runs(p.block, list); runs.next(run);)
                for_each_posting(p.block, run, [&](std::uint16_t document, float x) {
                    const double factor = factor_of(i, document);
                    const double value = static_cast<double>(rooted(x, document_roots_));
                    norms[document] += power(value * weight * factor / value_unit_);
                });
        });
    }
}

double Scorer::distance(const ScoredQuery& query, double total, std::size_t row) const {
    const auto after =
        std::upper_bound(bases_.begin(), bases_.end(), static_cast<std::int64_t>(row));
    const auto part = static_cast<std::size_t>(after - bases_.begin()) - 1;
    const auto document = static_cast<std::uint16_t>(row - static_cast<std::size_t>(bases_[part]));
    const double well_known =
        query.wide ? query.wide_power_sum * 0x1p-20 : power_of_two(known_bits);
    if (total < well_known) total = exact_total(query, part, document) * query.units;
    return query.value_unit * root(total / query.units);
}

// The sum of |q - d|^p, values in the query's unit, from the document's values: no difference of
// large numbers but for words that only the document has, of which there are few if it is small.
double Scorer::exact_total(const ScoredQuery& query, std::size_t part,
                           std::uint16_t document) const {
    const Part& p = parts_[part];
    const Prepared& prepared = prepared_[part];
    const double unit = query.value_unit;
    const double factor = factor_of(part, document);
    double total = 0, wide_common = 0;
    std::int64_t common = 0;
    for (const Term& term : query.terms) {
        const float x = value_of(p.block, term.word, document);
        const double d = static_cast<double>(rooted(x, document_roots_)) * term.weight * factor;
        total += power((term.query - d) / unit);
        wide_common += power(d / unit);
        if (!query.wide)
            common += with_power(scoring_.p, query.units, [&](const auto& in_units) {
                return power_in_units(in_units, d / unit);
            });
    }
    if (query.wide) {
        const double others = prepared.wide_norms[document] * query.norm_scale - wide_common;
        return total + (others > 0x1p-45 * wide_common ? others : 0.0);
    }
    double norm = static_cast<double>(prepared.norms.data()[document] - common);
    if (query.norm_scale != 1)
        norm = static_cast<double>(prepared.norms.data()[document]) * query.norm_scale -
               static_cast<double>(common);
    return total + std::max(0.0, norm) / query.units;
}

double Scorer::least_key(const ScoredQuery& query, double threshold) const {
    if (!is_distance()) return threshold;
    if (threshold < 0) return std::numeric_limits<double>::infinity();
    const double total = power(threshold / query.value_unit) * (1 + 1e-5) * query.units;
    const double slack = query.wide ? query.wide_power_sum * 0x1p-20 : power_of_two(known_bits);
    return -(total + slack);
}

}  // namespace trouvaille
