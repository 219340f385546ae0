// SPDX-License-Identifier: Apache-2.0
#pragma once

// The best documents of a block for a short query under BM25, by a sketch of all sums.
//
// A sum of 64 bits for each document, and the factor of each, which BM25 reads at every posting,
// are more than the second cache holds. So documents are put into 64 classes by their factors, and
// what a run adds to each class at most, rounded up, is a table of 64 numbers of 16 bits. Sums of
// those are upper bounds, in a quarter of the memory, of a byte a document for factors, and of 32
// documents of a bitmap at a time. Only the documents whose bound reaches the k-th best sum are
// looked up in the lists, and get their complete sums: the same bits as if all had been gone
// through.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "index/accumulate.hpp"
#include "index/block.hpp"
#include "index/kernels.hpp"
#include "index/pruning.hpp"

namespace trouvaille {

inline constexpr std::size_t sketch_classes = 64;
inline constexpr std::size_t most_sketched_terms = 64;

/// Documents by their factors: class c has those from least[c] to below least[c + 1].
struct FactorClasses {
    Pages<std::uint8_t> of;     // of each document, in whole groups
    std::vector<double> least;  // ascending; the least factor of each class, even of empty ones

    bool empty() const { return least.empty(); }
};

/// Classes of about as many documents each.
FactorClasses classes_of(std::span<const double> factors);

struct SketchJob {
    const Block* block;            // of counts
    const FactorClasses* classes;  // of `factors`
    const double* factors;
    int roots;
    std::span<const Bm25Kernel> kernels;  // of the terms
    const QueryRuns* runs;
    std::span<const std::uint64_t> alive, mask;
    std::int64_t least;  // sum that a document needs; 0: as many as the k-th best of the block has
    std::size_t k;
};

/// Memory of a thread that sketches.
struct SketchWork {
    struct Run {
        const TermRun* run;
        Bm25Kernel kernel;
        float value;                                     // rooted
        alignas(64) std::uint16_t most[sketch_classes];  // that a document of each class gets
    };
    struct Mark {
        std::uint64_t documents;  // of 64, those that are candidates
        std::uint32_t first;      // the first of these candidates
    };
    Pages<std::uint16_t> bounds{max_block_documents};
    std::vector<Mark> marks = std::vector<Mark>(max_block_documents / 64);  // none between calls
    std::vector<Run> bitmaps, lists;
    std::vector<std::uint16_t> maxima;
    std::vector<std::int64_t> sums;
    std::vector<Candidate> candidates;
};

/// All documents that may be found and whose sum is `job.least` or more, or that of the k-th best,
/// and some more, with their sums; or nothing, where they are too many to be looked up. Throws
/// Interrupted.
std::optional<std::span<const Candidate>> sketched(const SketchJob& job, SketchWork& work);

}  // namespace trouvaille
