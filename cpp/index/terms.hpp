// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index/block.hpp"
#include "index/build.hpp"

namespace trouvaille {

/// A word of a query.
struct Term {
    std::uint32_t word;
    float value;    // raw: of the query's row
    double query;   // q_w: weighted, normalised
    double weight;  // g_w: what a document's value is multiplied by
};

/// From a query's raw values to its weighted ones: q_w = r g_w h(x_w), where r is the inverse of
/// the norm of g h(x), and the root of that for the Hellinger kernel.
struct QueryWeighting {
    WordWeights words;  // g
    int roots = 0;      // square roots in h
    Norm norm = Norm::none;
    bool hellinger = false;  // then weights are roots, too: of g
};

/// The words of one query, ascending, each once; without those of value or weight zero.
class Terms {
  public:
    std::span<const Term> of(SparseRows queries, std::size_t query,
                             const QueryWeighting& weighting);

  private:
    void gather(SparseRows queries, std::size_t query);
    void add_repeated();
    void weigh(const QueryWeighting& weighting);

    std::vector<Term> terms_;
};

}  // namespace trouvaille
