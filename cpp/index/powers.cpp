// SPDX-License-Identifier: Apache-2.0

// The part of Scorer that knows of distances: p-th powers, their sums, and their roots.

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

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

// Of PowerAny, values are normal numbers of float32, in units.
constexpr double least_value = 0x1p-100;
// Sums that are so many times their error are as good as exact.
constexpr double resolution = 0x1p20;
// Lesser sums of powers have lost terms that are not nothing beside them.
constexpr double least_total = 0x1p-900;

template <class Power>
std::int64_t power_in_units(const Power& power, double x) {
    return power.template operator()<4>(Doubles<4>{} + x)[0];
}

}  // namespace

// Differences are up to 4 units. What is 2^-900 of a query's p-th powers is nothing beside them.
void Scorer::check_powers(double greatest) const {
    const double log2_unit = std::log2(greatest);
    if (scoring_.p * 2 < 900 && (greatest == 0 || scoring_.p * log2_unit > -900)) return;
    throw std::invalid_argument(
        "p = " + std::to_string(scoring_.p) +
        " is too large for these values: p-th powers of the query's are beyond float64 beside those"
        " of the documents'. Choose a smaller p, of 100 or less for instance, or norm=\"l2\"");
}

void Scorer::fix_power_units(ScoredQuery& query) const {
    Magnitudes values = document_values_;
    double greatest = 0;
    for (const Term& term : query.terms) {
        greatest = std::max(greatest, std::abs(term.query));
        values.include(std::abs(term.query));
    }
    query.value_unit = value_unit_;
    // Norms are known in value_unit_; in another unit PowerAny's are other whole numbers.
    if (greatest > 2 * value_unit_ &&
        (scoring_.p > PowerAny::largest_p ||
         std::log2(greatest / value_unit_) * scoring_.p > PowerAny::largest_exponent))
        query.value_unit = power_of_two(ceil_log2(greatest) - 1);
    check_powers(greatest / query.value_unit);
    double sum = 0;
    for (const Term& term : query.terms) sum += power(term.query / query.value_unit);
    query.wide_power_sum = sum;
    query.wide = scoring_.p > PowerAny::largest_p || query.terms.empty() ||
                 (scoring_.p < 0.5 && values.smallest < query.value_unit * least_value);
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
    const Pages<std::int64_t>& norms = prepared_[part].power_norms->of;
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

// The sum of |d_w|^p over all words of each document, in units.
Pages<std::int64_t> Scorer::sum_powers(std::size_t part, double units) const {
    constexpr std::size_t slice = 4096;
    const Block& block = parts_[part].block;
    Pages<std::int64_t> sums(whole_groups(block.n_documents));
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
            slice_job.sums = sums.data();
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
    return sums;
}

std::shared_ptr<const PowerFacts> Scorer::power_facts(std::size_t part) const {
    KeptPowers* kept = parts_[part].kept;
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        if (kept->facts != nullptr) return kept->facts;
    }
    auto facts = std::make_shared<PowerFacts>();
    facts->n_words.resize(parts_[part].block.n_documents);
    for_each_value(part, [&](std::uint16_t document, double value) {
        facts->values.include(std::abs(value));
        facts->n_words[document] += value != 0;
    });
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        kept->facts = facts;
    }
    return facts;
}

// A document has at most 2^29 words, none above 1 in value_unit_.
constexpr double coarse_units = 0x1p32;

// The greatest norm, in value_unit_ and coarse_units.
std::int64_t Scorer::coarse_norm(std::size_t part) const {
    KeptPowers* kept = parts_[part].kept;
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        if (kept->coarse_value_unit == value_unit_) return kept->coarse_greatest;
    }
    const Pages<std::int64_t> norms = sum_powers(part, coarse_units);
    std::int64_t greatest = 0;
    for (const std::int64_t norm : norms.span()) greatest = std::max(greatest, norm);
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        kept->coarse_value_unit = value_unit_;
        kept->coarse_greatest = greatest;
    }
    return greatest;
}

std::shared_ptr<const PowerNorms> Scorer::power_norms(std::size_t part) const {
    KeptPowers* kept = parts_[part].kept;
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        const PowerNorms* norms = kept->norms.get();
        if (norms != nullptr && norms->value_unit == value_unit_ && norms->units == norm_units_)
            return kept->norms;
    }
    auto norms = std::make_shared<PowerNorms>(
        PowerNorms{value_unit_, norm_units_, sum_powers(part, norm_units_)});
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        kept->norms = norms;
    }
    return norms;
}

void Scorer::prepare_powers(int threads) {
    const auto for_each_part = [&](auto body) {
        parallel_for(parts_.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) body(i);
        });
    };
    for_each_part([&](std::size_t i) { prepared_[i].power_facts = power_facts(i); });
    for (const Prepared& prepared : prepared_) {
        document_values_.include(prepared.power_facts->values.smallest);
        document_values_.include(prepared.power_facts->values.largest);
        for (const std::uint32_t n : prepared.power_facts->n_words)
            most_words_ = std::max(most_words_, static_cast<double>(n));
    }
    if (document_values_.largest > 0)
        value_unit_ = power_of_two(ceil_log2(document_values_.largest));
    if (scoring_.p > PowerAny::largest_p) return;
    // Of numbers of different signs, |q - d|^p may be 2^(p - 1) times |q|^p + |d|^p.
    headroom_ = std::max(0, static_cast<int>(std::ceil(scoring_.p - 1)));
    std::vector<std::int64_t> greatest(parts_.size());
    for_each_part([&](std::size_t i) { greatest[i] = coarse_norm(i); });
    const std::int64_t most =
        greatest.empty() ? 0 : *std::max_element(greatest.begin(), greatest.end());
    const double bound = static_cast<double>(most + 1) / coarse_units * (1 + 0x1p-20);
    norm_units_ = power_of_two(sum_bits - 2 - headroom_ - ceil_log2(bound));
    for_each_part([&](std::size_t i) { prepared_[i].power_norms = power_norms(i); });
}

std::shared_ptr<const WidePowerNorms> Scorer::wide_norms(std::size_t part) const {
    KeptPowers* kept = parts_[part].kept;
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        if (kept->wide_norms != nullptr && kept->wide_norms->value_unit == value_unit_)
            return kept->wide_norms;
    }
    const std::size_t size = whole_groups(parts_[part].block.n_documents);
    auto norms =
        std::make_shared<WidePowerNorms>(WidePowerNorms{value_unit_, std::vector<double>(size)});
    for_each_value(part, [&](std::uint16_t document, double value) {
        norms->of[document] += power(value / value_unit_);
    });
    if (kept != nullptr) {
        const std::lock_guard lock(kept->mutex);
        kept->wide_norms = norms;
    }
    return norms;
}

void Scorer::prepare_wide_norms() const {
    for (std::size_t i = 0; i < parts_.size(); ++i) prepared_[i].wide_norms = wide_norms(i);
}

Scorer::Place Scorer::place_of(std::size_t row) const {
    const auto after =
        std::upper_bound(bases_.begin(), bases_.end(), static_cast<std::int64_t>(row));
    const auto part = static_cast<std::size_t>(after - bases_.begin()) - 1;
    return {part, static_cast<std::uint16_t>(row - static_cast<std::size_t>(bases_[part]))};
}

// By how much the total of a document may be wrong beside that of exact_distance. Of whole numbers
// each word is cut by a unit, and by another if norms are scaled; PowerAny is good to 2^-20. In
// float64, norms were added and taken away again.
double Scorer::error_of_total(const ScoredQuery& query, double total, double n_words,
                              double norm) const {
    const auto n_terms = static_cast<double>(query.terms.size());
    if (!query.wide) {
        const double cut_norm = query.norm_scale == 1 ? 0 : most_words_;
        return 2 * n_terms + cut_norm + 4 + 0x1p-19 * total;
    }
    return 0x1p-50 * (n_terms + n_words + scoring_.p + 4) * (query.wide_power_sum + norm + total);
}

double Scorer::distance(const ScoredQuery& query, double total, std::size_t row) const {
    const bool well_known =
        query.wide ? total > least_total && total > resolution * error_of_total(query, total, row)
                   : total >= power_of_two(known_bits);
    if (!well_known) return exact_distance(query, row);
    return query.value_unit * root(total / query.units);
}

double Scorer::error_of_total(const ScoredQuery& query, double total, std::size_t row) const {
    const Place place = place_of(row);
    const Prepared& prepared = prepared_[place.part];
    return error_of_total(query, total, prepared.power_facts->n_words[place.document],
                          prepared.wide_norms->of[place.document] * query.norm_scale);
}

Radius Scorer::radius(const ScoredQuery& query, double distance) const {
    return {distance, power(distance / query.value_unit) * query.units};
}

bool Scorer::resolves(const ScoredQuery& query, double distance) const {
    const double total = radius(query, distance).total;
    if (query.terms.empty()) return total > least_total;  // totals are norms
    if (!query.wide) return total > resolution * error_of_total(query, 0, 0, 0);
    // No document that near has a greater norm: |d| <= |q| + |q - d|, or of the powers if p < 1.
    const double norm =
        std::exp2(std::max(scoring_.p, 1.0)) * std::max(query.wide_power_sum, total);
    return total > resolution * error_of_total(query, total, most_words_, norm);
}

bool Scorer::may_be_within(const ScoredQuery& query, const Radius& radius, double total,
                           std::size_t row) const {
    if (!query.wide) return total <= radius.total + error_of_total(query, radius.total, 0, 0);
    if (total > radius.total + error_of_total(query, radius.total, row)) return false;
    if (scoring_.p < 1) return true;
    const Place place = place_of(row);
    const double norm =
        root(prepared_[place.part].wide_norms->of[place.document] * query.norm_scale);
    const double apart = norm - root(query.wide_power_sum) - 1e-9 * norm;
    return apart * query.value_unit <= radius.distance;
}

double Scorer::exact_distance(const ScoredQuery& query, std::size_t row) const {
    const Place place = place_of(row);
    const Block& block = parts_[place.part].block;
    const double factor = factor_of(place.part, place.document), unit = query.value_unit;
    const auto in_units = [&](std::uint32_t word, double weight) {
        const float x = value_of(block, word, place.document);
        return static_cast<double>(rooted(x, document_roots_)) * weight * factor / unit;
    };
    std::vector<double> differences;
    double common = 0;
    std::size_t n_others = prepared_[place.part].power_facts->n_words[place.document];
    for (const Term& term : query.terms) {
        const double d = in_units(term.word, term.weight);
        differences.push_back(std::abs(term.query / unit - d));
        if (d == 0) continue;
        common += common_power(query, d);
        --n_others;
    }
    if (n_others > 0) add_others(query, place, common, n_others, in_units, differences);
    double greatest = 0;
    for (const double difference : differences) greatest = std::max(greatest, difference);
    if (greatest == 0) return 0;
    const double scale = power_of_two(ceil_log2(greatest));
    double total = 0;
    for (const double difference : differences) total += power(difference / scale);
    return unit * (scale * root(total));
}

// |d|^p as the document's norm has it.
double Scorer::common_power(const ScoredQuery& query, double d) const {
    if (query.wide) return power(d);
    return static_cast<double>(with_power(
        scoring_.p, query.units, [&](const auto& power) { return power_in_units(power, d); }));
}

// What the document has and the query lacks: all in one, if the norm without what is common is
// known well enough; or one by one, which takes a look at all lists.
template <class InUnits>
void Scorer::add_others(const ScoredQuery& query, Place place, double common, std::size_t n_others,
                        InUnits in_units, std::vector<double>& differences) const {
    const Prepared& prepared = prepared_[place.part];
    const double norm =
        query.norm_scale *
        (query.wide ? prepared.wide_norms->of[place.document]
                    : static_cast<double>(prepared.power_norms->of.data()[place.document]));
    const double n_words = prepared.power_facts->n_words[place.document];
    const double error = query.wide ? 0x1p-52 * n_words * norm : static_cast<double>(n_others);
    if (norm - common > resolution * error)
        return differences.push_back(root((norm - common) / query.units));
    for_each_list(parts_[place.part].block, [&](std::size_t w, List) {
        const auto word = static_cast<std::uint32_t>(w);
        const auto term =
            std::lower_bound(query.terms.begin(), query.terms.end(), word,
                             [](const Term& a, std::uint32_t b) { return a.word < b; });
        if (term != query.terms.end() && term->word == word) return;
        const double d = std::abs(in_units(word, weight_of(word)));
        if (d != 0) differences.push_back(d);
    });
}

}  // namespace trouvaille
