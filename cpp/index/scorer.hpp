// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "index/accumulate.hpp"
#include "index/pruning.hpp"
#include "index/search.hpp"
#include "index/selection.hpp"
#include "index/sketch.hpp"
#include "index/terms.hpp"

namespace trouvaille {

/// Memory of a thread that searches.
struct ScorerWork {
    Pages<std::int64_t> sums{max_block_documents};
    Pages<std::int64_t> norms;  // made when first needed
    std::vector<double> maxima = std::vector<double>(max_block_documents / group_documents);
    std::vector<double> scratch = std::vector<double>(max_block_documents / group_documents);
    std::vector<std::uint16_t> decoded = std::vector<std::uint16_t>(max_block_documents);
    QueryRuns runs;
    PruningWork pruning;
    SketchWork sketch;
};

/// A query, weighted, and the units of its sums.
struct ScoredQuery {
    std::vector<Term> terms;
    bool wide = false;           // float64 sums
    bool growing = false;        // no contribution is negative
    double units = 1;            // a power of two: a contribution of 1 is so many units
    double value_unit = 1;       // of power: values are divided by this power of two
    double norm_scale = 1;       // of power: what documents' norms are multiplied by
    std::int64_t power_sum = 0;  // of power: sum of |q|^p in units
    double wide_power_sum = 0;   // the same where sums are wide
};

/// A distance, and the total that it comes from.
struct Radius {
    double distance, total;
};

/// Scores the documents of one part after another, for one query after another.
class Scorer {
  public:
    Scorer(const Scoring& scoring, std::vector<Part> parts, WordWeights word_weights,
           Magnitudes values, int threads);

    const std::vector<Part>& parts() const { return parts_; }
    const std::vector<std::int64_t>& bases() const { return bases_; }  // and the number of rows
    bool is_distance() const { return scoring_.kernel == KernelName::power; }

    ScoredQuery prepare(SparseRows queries, std::size_t query) const;

    /// Finds the lists of the query's words in a part, as the next two functions need them.
    void find_lists(const ScoredQuery& query, std::size_t part, ScorerWork& work) const;

    /// Documents of the part, and their complete sums: among them all that may be found and have a
    /// key of `least` or more, or are among the k best of the part if least is not above 0.
    /// Nothing where all should be scored.
    std::optional<std::span<const Candidate>> candidates(const ScoredQuery& query, std::size_t part,
                                                         double least, std::size_t k,
                                                         std::span<const std::uint64_t> mask,
                                                         ScorerWork& work) const;

    /// What turns such sums into keys.
    KeyRule rule(const ScoredQuery& query, std::size_t part) const;

    /// Leaves the sums of the part's documents in work.sums; returns what turns them into keys.
    KeyRule score(const ScoredQuery& query, std::size_t part, ScorerWork& work) const;

    /// The distance of a document whose key is -total.
    double distance(const ScoredQuery& query, double total, std::size_t row) const;

    /// Are the documents within this distance those with the least totals? Otherwise they are among
    /// those of which the next function says so.
    bool resolves(const ScoredQuery& query, double distance) const;
    bool may_be_within(const ScoredQuery& query, const Radius& radius, double total,
                       std::size_t row) const;
    Radius radius(const ScoredQuery& query, double distance) const;

  private:
    // What is computed beforehand for each part; arrays are in whole groups.
    struct Prepared {
        Pages<double> factors;  // of the documents; with dot, multiplied at the end
        Pages<double> ones;     // of bm25: 1 / (1 + factor)
        FactorClasses classes;  // of bm25, if values are counts
        double least_factor = 1, greatest_factor = 1;
        std::shared_ptr<const PowerFacts> power_facts;
        std::shared_ptr<const PowerNorms> power_norms;     // in value_unit_ and norm_units_
        std::shared_ptr<const WidePowerNorms> wide_norms;  // in value_unit_; once needed
    };

    struct Place {
        std::size_t part;
        std::uint16_t document;
    };

    bool uses_factors(std::size_t part) const;
    void prepare_factors();
    void prepare_powers(int threads);
    std::shared_ptr<const PowerFacts> power_facts(std::size_t part) const;
    std::shared_ptr<const PowerNorms> power_norms(std::size_t part) const;
    std::shared_ptr<const WidePowerNorms> wide_norms(std::size_t part) const;
    std::int64_t coarse_norm(std::size_t part) const;
    void prepare_wide_norms() const;
    Pages<std::int64_t> sum_powers(std::size_t part, double units) const;
    template <class Body>
    void for_each_value(std::size_t part, Body body) const;
    template <class Body>
    auto with_kernel(const ScoredQuery& query, std::size_t part, Body body) const;
    template <class Kernel>
    AccumulateJob<Kernel> job(std::size_t part, std::span<const Kernel> kernels,
                              ScorerWork& work) const;
    template <class Make>
    void run(std::size_t part, std::size_t n_terms, Make make, ScorerWork& work) const;
    template <class Power>
    void run_power(const ScoredQuery& query, std::size_t part, Power power, ScorerWork& work) const;

    std::optional<std::span<const Candidate>> sketch(const ScoredQuery& query, std::size_t part,
                                                     double least, std::size_t k,
                                                     std::span<const std::uint64_t> mask,
                                                     ScorerWork& work) const;
    Magnitudes contributions(const Term& term) const;
    void fix_units(ScoredQuery& query, double bound, double least) const;
    void fix_power_units(ScoredQuery& query) const;
    KeyRule score_power(const ScoredQuery& query, std::size_t part, ScorerWork& work) const;
    KeyRule score_wide(const ScoredQuery& query, std::size_t part, ScorerWork& work) const;
    double wide_contribution(const ScoredQuery& query, const Term& term, float x,
                             double factor) const;
    double factor_of(std::size_t part, std::size_t document) const;  // 1 where there is none
    double weight_of(std::size_t word) const;                        // 1 where there is none
    double power(double x) const;                                    // |x|^p
    double root(double x) const;
    void check_powers(double greatest) const;
    Place place_of(std::size_t row) const;
    double error_of_total(const ScoredQuery& query, double total, double n_words,
                          double norm) const;
    double error_of_total(const ScoredQuery& query, double total, std::size_t row) const;
    double exact_distance(const ScoredQuery& query, std::size_t row) const;
    double common_power(const ScoredQuery& query, double d) const;
    template <class InUnits>
    void add_others(const ScoredQuery& query, Place place, double common, std::size_t n_others,
                    InUnits in_units, std::vector<double>& differences) const;

    Scoring scoring_;
    std::vector<Part> parts_;
    std::vector<std::int64_t> bases_{0};
    WordWeights word_weights_;
    Magnitudes values_;      // that there are, or were
    Magnitudes factors_;     // of the documents that are alive; 1 if there are none
    bool negative_ = false;  // is any value?
    int document_roots_;
    QueryWeighting weighting_;
    mutable std::vector<Prepared> prepared_;
    Magnitudes document_values_;              // of power: weighted
    double most_words_ = 0;                   // of power: that a document has
    double value_unit_ = 1, norm_units_ = 1;  // of power: powers of two
    int headroom_ = 0;                        // bits that a sum may pass its end by on the way
    mutable std::once_flag wide_;
};

/// make(i) of every term.
template <class Make>
auto kernels_of(std::size_t n_terms, Make make) {
    std::vector<decltype(make(std::size_t{0}))> kernels;
    kernels.reserve(n_terms);
    for (std::size_t i = 0; i < n_terms; ++i) kernels.push_back(make(i));
    return kernels;
}

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
            .largest = parts_[part].facts.largest,
            .sums = work.sums.data(),
            .fresh = true};
}

template <class Make>
void Scorer::run(std::size_t part, std::size_t n_terms, Make make, ScorerWork& work) const {
    using Kernel = decltype(make(std::size_t{0}));
    const std::vector<Kernel> kernels = kernels_of(n_terms, make);
    accumulate(job<Kernel>(part, kernels, work));
}

}  // namespace trouvaille
