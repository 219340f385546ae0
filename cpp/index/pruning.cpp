// SPDX-License-Identifier: Apache-2.0
#include "index/pruning.hpp"

#include <cmath>

namespace trouvaille {

std::int64_t least_sum(double key, double unit, double greatest_factor) {
    constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
    constexpr double margin = 1 - 0x1p-48;  // for five roundings, each by 2^-53
    const double sum = key / (unit * greatest_factor) * margin;
    if (!(sum < 0x1p62)) return none;  // not a number, if the factor is 0
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(sum));
}

namespace pruning_detail {

// The runs of `term` from `i` on, which is moved behind them.
static std::span<const TermRun> runs_of(const std::vector<TermRun>& runs, std::uint32_t term,
                                        std::size_t& i) {
    const std::size_t begin = i;
    while (i < runs.size() && runs[i].term == term) ++i;
    return std::span(runs).subspan(begin, i - begin);
}

void group_by_term(const QueryRuns& runs, std::vector<TermRuns>& terms) {
    terms.clear();
    std::size_t bitmap = 0, list = 0;
    for (std::uint32_t i = 0; i < runs.lists.size(); ++i) {
        TermRuns term;
        term.bitmaps = runs_of(runs.bitmaps, i, bitmap);
        term.lists = runs_of(runs.documents, i, list);
        for (const TermRun& run : term.bitmaps) term.size += run.size;
        for (const TermRun& run : term.lists) term.size += run.size;
        if (term.size > 0) terms.push_back(term);
    }
}

bool is_long(const TermRuns& term, std::size_t n_documents) {
    return term.size > n_documents / 64 &&
           std::all_of(term.bitmaps.begin(), term.bitmaps.end(),
                       [](const TermRun& run) { return run.values == nullptr; });
}

bool are_few(std::size_t postings, std::size_t n_documents) {
    return postings <= n_documents / 8;
}

void take_candidates(std::span<const TermRun> runs, std::int64_t least, std::int64_t* sums,
                     std::vector<Candidate>& candidates) {
    candidates.clear();
    for (const TermRun& run : runs)
        for (std::uint32_t i = 0; i < run.size; ++i) {
            std::int64_t& sum = sums[run.documents[i]];
            if (sum >= least) candidates.push_back({sum, 0, 0, run.documents[i]});
            sum = 0;  // below `least`: a document that comes again is not taken again
        }
}

}  // namespace pruning_detail

}  // namespace trouvaille
