// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"
#include "index/signatures.hpp"

namespace trouvaille {

/// Which matches count, and how much: what Hamming embedding and the match kernels have in common.
///
/// The score of a photo p for a query q, over all features of the query and all postings of p
/// that share a word w, whose signatures differ in d bits:
///
///     q.factor * p.factor * sum of b(weight * similarities[d])
///
/// b(m) = m, or what burstiness leaves of it: with `intra`, m * sqrt(m / t), where t is the sum of
/// m over all matches of the query's feature in the photo; then with `inter` the same of that, t
/// being the sum over all photos (Jegou, Douze, Schmid: On the burstiness of visual elements, CVPR
/// 2009). Burstiness leaves out matches that are not above 0.
struct MatchKernel {
    std::span<const double> similarities;  // a distance: one more than a signature has bits
    bool intra = false, inter = false;
};

/// Photos that are searched.
struct MatchBlock {
    Signatures postings;
    std::span<const std::uint64_t> alive;  // which may be found (core/bits.hpp)
    std::span<const double> factors;       // a photo
    std::span<const std::int64_t> ids;     // a photo: distinct, over all blocks
};

/// Rows of query i are [offsets[i], offsets[i + 1]).
struct MatchQueries {
    std::span<const std::int64_t> offsets;
    std::span<const double> factors;            // a query
    std::span<const std::uint32_t> words;       // a row
    std::span<const double> weights;            // a row: none negative
    std::span<const std::uint32_t> features;    // a row: rows of one feature stand side by side
    MatrixView<const std::uint8_t> signatures;  // a row
};

/// The photos of the highest scores, best first, smaller ids first among equals; -1 and -infinity
/// where there are no more photos. Photos without a match have the score 0.
///
/// Sums are of doubles, in the order of a query's rows and, within one, of the postings; but those
/// of inter's t over the photos are, for each row, of whole numbers of 2^-60 of the row's weight,
/// and its rows' are then added in their order. So the bits are the same for any instruction set
/// and number of threads, any batch of queries, and any division into blocks.
///
/// O(postings of the words + photos) a query and 512 KiB a thread, beside 16 MiB for candidates, of
/// each block as many as there are results; of more, those of a query a thread. Blocks and queries
/// are shared out over the threads. Throws Interrupted (core/interrupt.hpp).
void search_match_kernel(std::span<const MatchBlock> blocks, const MatchQueries& queries,
                         const MatchKernel& kernel, MatrixView<double> scores,
                         MatrixView<std::int64_t> ids, int threads);

}  // namespace trouvaille
