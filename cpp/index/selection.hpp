// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/topk.hpp"

namespace trouvaille {

/// A document: its id, by which ties are decided, and its row.
struct Document {
    std::int64_t id, row;

    friend bool operator<(const Document& a, const Document& b) { return a.id < b.id; }
};

using Best = TopK<double, Document>;

/// A distance's p-th power without its last nine bits: then different keys have different roots,
/// and equal ones equal roots, so that the order of keys is that of distances, ties included.
inline constexpr std::uint64_t kept_bits = ~std::uint64_t{0x1FF};

/// How the sums of a block become keys, of which the greatest are wanted: sum * unit, times the
/// document's factor if there are any; or, where there are norms, -(sum + norm + query_norm), a
/// distance's p-th power in units, in its kept bits.
struct KeyRule {
    bool are_keys = false;  // the sums are keys already, of float64
    double unit = 1;
    const double* factors = nullptr;
    const std::int64_t* norms = nullptr;
    std::int64_t query_norm = 0;
};

/// Keys of the documents of one block, in groups of 64, and the greatest of each group.
struct Keys {
    std::span<const double> keys;       // -infinity where a document may not be found
    std::span<const double> maxima;     // of whole groups of 64
    std::int64_t base = 0;              // the row of the first document
    std::span<const std::int64_t> ids;  // of the rows of the block; empty: rows are their own ids

    Document document(std::size_t i) const {
        const std::int64_t row = base + static_cast<std::int64_t>(i);
        return {ids.empty() ? row : ids[i], row};
    }
};

/// The key of document i, whose sum is `sum`; not of distances, and not of sums that are keys.
inline double key_of(const KeyRule& rule, std::int64_t sum, std::size_t i) {
    const double score = static_cast<double>(sum) * rule.unit;
    return rule.factors == nullptr ? score : score * rule.factors[i];
}

/// Turns sums (in whole groups) into keys in place: they are 64 bits wide, too. Documents from
/// `n_documents` on, and those without a bit in `alive` or in `mask` (empty: all have), get
/// -infinity. The same bits on all instruction sets.
Keys make_keys(std::int64_t* sums, double* maxima, std::size_t n_documents, const KeyRule& rule,
               std::span<const std::uint64_t> alive, std::span<const std::uint64_t> mask);

/// Offers the keys to the best so far. `scratch` has room for the maxima. Blocks whose rows are
/// their own ids must come in order.
void offer(const Keys& keys, Best& best, std::span<double> scratch);

}  // namespace trouvaille
