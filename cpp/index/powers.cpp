// SPDX-License-Identifier: Apache-2.0

// The part of Scorer that knows of distances: p-th powers, their sums, and their roots.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.hpp"
#include "index/postings.hpp"
#include "index/scorer.hpp"
#include "index/units.hpp"

namespace trouvaille {

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

// body(document, d_w) for every posting of a part, in the order of the words.
template <class Body>
void Scorer::for_each_value(std::size_t part, Body body) const {
    const Block& block = parts_[part].block;
    for_each_list(block, [&](std::size_t word, List list) {
        const double weight = weight_of(word);
        for_each_posting(block, list, [&](std::uint16_t document, float x) {
            const double value = static_cast<double>(rooted(x, document_roots_));
            body(document, value * weight * factor_of(part, document));
        });
    });
}

// sums[d] = sum of |d_w|^p over all words, in units.
void Scorer::sum_powers(std::size_t part, double units, std::int64_t* sums) const {
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
            for (std::size_t i = 0; i < n; ++i)
                kernels.push_back({weight_of(word(i)) / value_unit_, in_units});
            AccumulateJob<NormKernel<Power, with_factor>> slice_job =
                job<NormKernel<Power, with_factor>>(part, kernels, work);
            slice_job.sums = sums;
            slice_job.fresh = begin == 0;
            accumulate(slice_job);
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
    std::vector<double> largest(parts_.size());
    parallel_for(parts_.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for_each_value(i, [&](std::uint16_t, double value) {
                largest[i] = std::max(largest[i], std::abs(value));
            });
    });
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
                sum_powers(i, units, norms.data());
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
        std::vector<double>& norms = prepared_[i].wide_norms;
        norms.assign(whole_groups(parts_[i].block.n_documents), 0.0);
        for_each_value(i, [&](std::uint16_t document, double value) {
            norms[document] += power(value / value_unit_);
        });
    }
}

// Totals below this are computed again from the documents' values.
double Scorer::well_known(const ScoredQuery& query) const {
    return query.wide ? query.wide_power_sum * 0x1p-20 : power_of_two(known_bits);
}

double Scorer::distance(const ScoredQuery& query, double total, std::size_t row) const {
    const auto after =
        std::upper_bound(bases_.begin(), bases_.end(), static_cast<std::int64_t>(row));
    const auto part = static_cast<std::size_t>(after - bases_.begin()) - 1;
    const auto document = static_cast<std::uint16_t>(row - static_cast<std::size_t>(bases_[part]));
    if (total < well_known(query)) total = exact_total(query, part, document) * query.units;
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
    return -(total + well_known(query));
}

}  // namespace trouvaille
