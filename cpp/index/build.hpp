// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/pages.hpp"
#include "index/block.hpp"

namespace trouvaille {

/// The rows of a sparse matrix (CSR): row i holds the entries [offsets[i], offsets[i + 1]) of
/// `words` and `values`, in any order. Values of a word that repeats within a row add up, in
/// float32 and in their order; sums of zero are no entry.
struct SparseRows {
    std::span<const std::int64_t> offsets;  // rows + 1, never falling
    std::span<const std::uint32_t> words;
    std::span<const float> values;  // finite

    std::size_t rows() const { return offsets.size() - 1; }
};

/// A block that owns its arrays.
struct OwnedBlock {
    Storage storage = Storage::counts;
    std::uint32_t n_documents = 0;
    std::uint64_t num_words = 0;
    float step = 0;
    std::vector<std::uint32_t> words;
    Pages<std::uint32_t> starts;
    Pages<std::uint16_t> stream;

    Block view() const {
        return {storage, n_documents, num_words, step, words, starts.span(), stream.span()};
    }
};

/// How to keep values. No storage: as counts if all values of a block are, else as float32.
struct Keeping {
    std::optional<Storage> storage;
    float step = 0;  // of uint8
};

/// The inverted file of 1 to 65,536 rows; document d is row d.
///
/// Time O(entries + num_words), or O(entries log entries) where there are far fewer entries than
/// words; memory 8 bytes an entry beside the result. Throws std::invalid_argument where a value
/// does not fit the storage (a sum beyond float32, a value below 0 or beyond 255 steps for uint8,
/// beyond 65,504 for float16, no whole number from 1 to 65,535 for counts), std::length_error where
/// a block would be too large, Interrupted.
OwnedBlock build_block(SparseRows rows, std::uint64_t num_words, Keeping keeping);

/// Rows in blocks of equal sizes, as few as possible but at least `n_blocks` (never more than
/// rows), in the order of the rows. Parallel over blocks.
std::vector<OwnedBlock> build_blocks(SparseRows rows, std::uint64_t num_words, Keeping keeping,
                                     std::size_t n_blocks, int threads);

/// A block turned back into rows: words ascend within a row.
struct OwnedRows {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::uint32_t> words;
    std::vector<float> values;

    SparseRows view() const { return {offsets, words, values}; }
};
OwnedRows block_rows(const Block& block);

/// A block, and a bit for every document that it still has; empty: all.
struct LivingBlock {
    Block block;
    std::span<const std::uint64_t> alive;
};

/// The living documents of some blocks, in their order, in as few blocks of equal sizes as
/// possible. Values stay as they are: storages must agree, or be mixtures of counts and float32,
/// and steps must. Holds the rows of two blocks at a time.
std::vector<OwnedBlock> merge_blocks(std::span<const LivingBlock> blocks);

}  // namespace trouvaille
