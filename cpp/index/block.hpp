// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/bits.hpp"
#include "core/target.hpp"

namespace trouvaille {

/// How a block keeps the values of its postings.
enum class Storage : std::uint8_t {
    counts,   ///< whole numbers from 1 to 65,535, exact: a list is cut into runs of equal values
    float32,  ///< exact
    float16,  ///< IEEE half precision, relative error 2^-11 at most (from 6.1e-5 up)
    uint8,    ///< multiples of the block's `step`, from 0 to 255 of them, error step / 2 at most
};

inline constexpr std::size_t storage_count = 4;
inline constexpr std::string_view storage_names[storage_count] = {"counts", "float32", "float16",
                                                                  "uint8"};

inline constexpr std::size_t max_block_documents = 65'536;  // their numbers fit 16 bits
inline constexpr std::size_t max_block_units = 0xFFFF'FFFF;
inline constexpr std::size_t stream_slack = 32;  // zero units after the last list

/// The inverted file of at most 65,536 documents, on its own and immutable: a collection is a
/// sequence of blocks. Documents are numbered from 0 within the block.
///
/// *Directory.* If `words` is empty, list w is [starts[w], starts[w + 1]) of the stream, for every
/// word w. Otherwise list i is that of words[i], ascending; other words have none.
///
/// *Stream.* Units of 16 bits; a list of no posting has no unit. After the last list come
/// `stream_slack` zero units, so that vectors may be read whole.
///
/// A set of documents is written as their numbers, ascending, one unit each; or as a *bitmap* of
/// `bitmap_units` units (64-bit words, low unit and low bit first): of counts if that takes fewer
/// units, a document then costs less than 16 bits; of other kinds, whose values have to be spread
/// where a bitmap is, if it has more than half of the documents.
///
/// A list of `counts` is
///     0, documents                                  all values are 1, and there is no bitmap
///     R, (value, documents - 1) x R, set x R        R > 0 runs, values ascending
/// since nearly all counts are 1, and what is equal is stored, and computed with, once.
///
/// A list of the other kinds is `flags, set, values`: flags bit 0 says that the set is a bitmap,
/// bit 1 that the number of postings is odd. Values are in the order of the documents: float32 in
/// two units, low one first; float16 in one; uint8 two to a unit, low byte first.
struct Block {
    Storage storage = Storage::counts;
    std::uint32_t n_documents = 0;
    std::uint64_t num_words = 0;
    float step = 0;  // of uint8
    std::span<const std::uint32_t> words;
    std::span<const std::uint32_t> starts;
    std::span<const std::uint16_t> stream;

    std::size_t lists() const { return starts.size() - 1; }
    std::size_t word(std::size_t list) const { return words.empty() ? list : words[list]; }
};

/// Units of a bitmap of so many documents.
constexpr std::size_t bitmap_units(std::size_t n_documents) {
    return (n_documents + 63) / 64 * 4;
}

/// Whether so many documents are written as a bitmap of `bitmap_units` units.
constexpr bool writes_bitmap(Storage storage, std::size_t size, std::size_t bitmap_units) {
    return size > (storage == Storage::counts ? 1 : 8) * bitmap_units;
}

/// The units of one list.
struct List {
    std::uint32_t begin = 0, end = 0;

    bool empty() const { return begin == end; }
};

/// The list of a word, which must be below num_words.
List find_list(const Block& block, std::uint32_t word);

/// Documents that are stored together: all of a list, or those of one count.
struct Run {
    const std::uint16_t* documents;  // or a bitmap
    const std::uint16_t* values;     // null: all are `value`
    std::uint32_t size;
    bool bitmap;
    float value;
};

/// One 64-bit word of a bitmap.
ALWAYS_INLINE std::uint64_t bitmap_word(const std::uint16_t* bitmap, std::size_t i) {
    std::uint64_t word;
    std::memcpy(&word, bitmap + 4 * i, sizeof word);
    return word;
}

/// Whether bitmap run `bitmap` has the document.
inline bool bitmap_has(const std::uint16_t* bitmap, std::size_t document) {
    return (bitmap_word(bitmap, document / 64) >> document % 64 & 1) != 0;
}

/// The place of a document in a run, or the run's size if it is not there.
std::size_t place_in(const Run& run, std::size_t document);

/// The value of a word in a document, 0 if it has none.
float value_of(const Block& block, std::uint32_t word, std::size_t document);

/// The runs of a list, in order:  for (Runs runs(block, list); runs.next(run);) ...
class Runs {
  public:
    Runs(const Block& block, List list);

    bool next(Run& run);

  private:
    const Block& block_;
    const std::uint16_t* header_;  // of the next run, where counts have one
    const std::uint16_t* place_;   // of the next set
    const std::uint16_t* end_;
    std::uint32_t left_;  // runs
};

/// out[j] = value of posting i + j of the run, for j below n; `run.values` is not null.
/// Reads the stream in vectors: up to 15 values beyond the run are touched, which is within the
/// slack. `out` has room for n rounded up to a multiple of 16.
ALWAYS_INLINE void decode_values(const Block& block, const Run& run, std::size_t i, std::size_t n,
                                 float* out);

/// Document numbers of a run, ascending, into `out`, which has room for `run.size`.
void decode_documents(const Run& run, std::size_t n_documents, std::uint16_t* out);

struct BlockFacts {
    std::uint64_t n_postings = 0;
    float smallest = 0, largest = 0;  // magnitudes other than 0; both 0 if there is none
    bool negative = false;            // is any value?
};

/// Throws std::invalid_argument that says what is wrong with a block that comes from outside.
/// After it has passed, every function here is safe on it.
BlockFacts check_block(const Block& block);

/// The same of a block known to be right.
BlockFacts block_facts(const Block& block);

/// frequencies[w] += the documents that have word w and are alive. `alive` has a bit for every
/// document; if empty, all are.
void add_frequencies(const Block& block, std::span<const std::uint64_t> alive,
                     std::span<std::int64_t> frequencies);

enum class Norm : std::uint8_t { none, l1, l2 };

/// What words weigh: numbers[w]. Or, if `listed` are given, ascending: numbers[i] for listed[i],
/// and `other` for the rest. If there are no numbers, `other` for all.
struct WordWeights {
    std::span<const double> numbers{};
    std::span<const std::uint32_t> listed{};
    double other = 1;

    double operator[](std::size_t word) const {
        if (listed.empty()) return numbers.empty() ? other : numbers[word];
        const auto found = std::lower_bound(listed.begin(), listed.end(), word);
        if (found == listed.end() || *found != word) return other;
        return numbers[static_cast<std::size_t>(found - listed.begin())];
    }
};

/// norms[d] = sum over w, ascending, of |g_w h(x_dw)|, or the root of the sum of their squares;
/// h(x) is x under `roots` square roots in float32. float64.
void block_norms(const Block& block, Norm norm, int roots, WordWeights word_weights,
                 std::span<double> norms);

/// h(x), in float32.
ALWAYS_INLINE float rooted(float x, int roots) {
    for (; roots > 0; --roots) x = __builtin_sqrtf(x);
    return x;
}

/// The IEEE half precision of these bits; not infinity, not NaN.
ALWAYS_INLINE float half_to_float(std::uint16_t half) {
    const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7FFF) << 13;
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
    float value;
    std::memcpy(&value, &magnitude, sizeof value);
    value *= 0x1p112f;  // the difference of the exponents' biases; subnormals come right, too
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= sign;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

std::uint16_t float_to_half(float value);  ///< nearest, ties to even; |value| < 65,520

ALWAYS_INLINE void decode_values(const Block& block, const Run& run, std::size_t i, std::size_t n,
                                 float* out) {
    const std::size_t whole = (n + 15) / 16 * 16;
    if (block.storage == Storage::float32) {
        std::memcpy(out, run.values + 2 * i, whole * sizeof(float));
    } else if (block.storage == Storage::float16) {
        for (std::size_t j = 0; j < whole; ++j) out[j] = half_to_float(run.values[i + j]);
    } else {
        std::uint8_t steps[16];
        for (std::size_t j = 0; j < whole; j += 16) {
            std::memcpy(steps, reinterpret_cast<const std::uint8_t*>(run.values) + i + j, 16);
            for (std::size_t l = 0; l < 16; ++l)
                out[j + l] = static_cast<float>(steps[l]) * block.step;
        }
    }
}

}  // namespace trouvaille
