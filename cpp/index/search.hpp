// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "core/view.hpp"
#include "index/block.hpp"
#include "index/build.hpp"
#include "index/terms.hpp"

namespace trouvaille {

/// The similarity or distance of a query and a document. With h the square roots asked for, q_w the
/// weighted query (index/terms.hpp), x_w the stored value, g_w the word's weight, f the document's
/// factor:
///
///     dot      f * sum of q_w g_w h(x_w)
///     bm25     sum of q_w x_w / (x_w + f), f > 0
///     minimum  sum of min(q_w, d_w),      d_w = g_w h(x_w) f, none negative
///     power    (sum of |q_w - d_w|^p)^(1/p), over all words of either
enum class KernelName : std::uint8_t { dot, bm25, minimum, power };

struct Scoring {
    KernelName kernel = KernelName::dot;
    double p = 2;            // of power: 0 < p < infinity
    int document_roots = 0;  // in h of documents
    int query_roots = 0;     // in h of queries
    Norm norm = Norm::none;  // of queries
    bool hellinger =
        false;  // with dot: square roots of q_w and g_w x_w, before they are multiplied
};

/// Magnitudes of numbers other than 0; both 0 if there is none.
struct Magnitudes {
    double smallest = 0, largest = 0;

    void include(double x) {
        if (x == 0) return;
        smallest = smallest == 0 ? x : std::min(smallest, x);
        largest = std::max(largest, x);
    }
};

/// Of d, the weighted values of a block's documents.
struct PowerFacts {
    Magnitudes values;
    std::vector<std::uint32_t> n_words;  // of each document: values that are not 0
};

/// Sums of |d|^p over each document's words, d in value_unit, the powers in whole units.
struct PowerNorms {
    double value_unit, units;
    Pages<std::int64_t> of;  // in whole groups
};

/// The same in float64.
struct WidePowerNorms {
    double value_unit;
    std::vector<double> of;
};

/// What power needs to know of a block, which costs a pass over its postings each. From one reader
/// to the next it stays, if the scoring, the weights of words, and the factors do.
struct KeptPowers {
    std::mutex mutex;
    std::shared_ptr<const PowerFacts> facts;
    std::shared_ptr<const PowerNorms> norms;
    std::shared_ptr<const WidePowerNorms> wide_norms;
    double coarse_value_unit = 0;  // of:
    std::int64_t coarse_greatest = 0;
};

/// A block of a collection with what belongs to it there.
struct Part {
    Block block;
    BlockFacts facts;
    std::span<const double> factors;       // f, one a document; empty: all ones
    std::span<const std::uint64_t> alive;  // bit d: is document d there? empty: all are
    KeptPowers* kept = nullptr;            // none: nothing stays
};

/// For every part a bit for every document: may it be found? A span of no bits: all may. None: all.
using Masks = std::span<const std::span<const std::uint64_t>>;

/// What a range search found for some queries: query i has [offsets[i], offsets[i + 1]).
struct RangeFound {
    std::vector<std::int64_t> offsets{0};
    std::vector<double> scores;
    std::vector<std::int64_t> rows;
};

/// The exact search of an immutable collection: a sequence of blocks. Everything is a view; what it
/// shows must outlive the reader. Any number of threads may search at once.
///
/// *Exact.* What a posting contributes is cut to a whole number of units, and units are added as
/// integers: the same bits for any order of blocks, instruction sets, threads, batches. A unit is
/// the power of two of which the greatest sum that the query could have, with the greatest value
/// that there is, has 2^61 at most (with power: the greatest norm of a document 2^59, or less by
/// the bits that numbers of different signs need). With n words in common a sum is within n units,
/// plus 2^-52 (dot of values that are no counts: 2^-23) of the sum of its terms' magnitudes. Where
/// a contribution may have fewer than 2^22 units (2^36 for a query's norm, with power), and for p >
/// 8, sums are float64, in the order of the words.
///
/// *power* needs but the common words (Nister and Stewenius, CVPR 2006, for p = 1 and 2): the sum
/// of |q_w - d_w|^p is the sum of |q_w|^p, plus that of |d_w|^p, which is known beforehand, plus,
/// over common words, |q_w - d_w|^p - |q_w|^p - |d_w|^p. The p-th powers are the same whole numbers
/// in all three, so nothing is lost in the differences, and equal vectors are at 0. Powers other
/// than 1 and 2 are right to 2^-20. Distances of fewer than 2^36 units are computed again from the
/// document's values; and if the k-th is not 2^20 times the rounding of its sum (near duplicates; a
/// small difference and a large p), so are all that may be nearer within that rounding.
///
/// Rows number the documents of all parts on, dead ones too. Best first; among equals the smaller
/// of ids[row], or of the rows if `ids` is empty.
///
/// Zobel, Moffat. Inverted files for text search engines. ACM Computing Surveys 38(2), 2006.
/// Sivic, Zisserman. Video Google: a text retrieval approach to object matching. ICCV 2003.
class Reader {
  public:
    /// `values` has at least the magnitudes of the values in all parts; it fixes the units.
    /// `word_weights` is g. Computes norms, for power: a pass or three over the postings of each
    /// part that has not kept them, parallel over parts.
    Reader(const Scoring& scoring, std::vector<Part> parts, WordWeights word_weights,
           std::span<const std::int64_t> ids, Magnitudes values, int threads);
    ~Reader();

    /// The k = scores.cols best of each query. Places beyond the documents that there are hold
    /// row -1 and -infinity, or, for distances, +infinity. Parallel over queries, and over parts
    /// where queries are few. Throws Interrupted.
    void search(SparseRows queries, Masks masks, MatrixView<double> scores,
                MatrixView<std::int64_t> rows, int threads) const;

    /// All documents of at least this score, or at most this distance, best first.
    RangeFound range_search(SparseRows queries, double threshold, Masks masks, int threads) const;

    std::size_t n_rows() const;

  private:
    class Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace trouvaille
