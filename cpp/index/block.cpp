// SPDX-License-Identifier: Apache-2.0
#include "index/block.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "index/postings.hpp"

namespace trouvaille {
namespace {

// Units of n values after a set of documents.
std::size_t value_units(Storage storage, std::size_t n) {
    if (storage == Storage::float32) return 2 * n;
    return storage == Storage::float16 ? n : (n + 1) / 2;
}

// How many values these units hold, and, unless there is a bitmap, documents.
std::size_t size_in(Storage storage, std::size_t units, bool bitmap, bool odd) {
    const std::size_t documents = bitmap ? 0 : 1;
    if (storage == Storage::float32) return units / (2 + documents);
    if (storage == Storage::float16) return units / (1 + documents);
    return bitmap ? 2 * units - odd : (2 * units - odd) / 3;  // n / 2 rounded up, and n
}

[[noreturn]] void refuse(const std::string& what) {
    throw std::invalid_argument("block: " + what);
}

void check_that(bool holds, const char* what) {
    if (!holds) refuse(what);
}

void check_directory(const Block& block) {
    check_that(block.n_documents >= 1 && block.n_documents <= max_block_documents,
               "a number of documents beyond 65,536");
    check_that(!block.starts.empty(), "no starts");
    check_that(block.num_words <= std::uint64_t{1} << 32, "more than 2^32 words");
    if (block.storage == Storage::uint8)
        check_that(block.step > 0 && block.step <= std::numeric_limits<float>::max() / 255,
                   "a step that is not positive, or too large");
    check_that(block.stream.size() >= stream_slack, "a stream without its slack");
    const std::size_t end = block.stream.size() - stream_slack;
    for (std::size_t i = 0; i < stream_slack; ++i)
        check_that(block.stream[end + i] == 0, "a slack that is not zero");
    check_that(block.starts.front() == 0 && block.starts.back() == end,
               "starts that do not span the stream");
    for (std::size_t i = 0; i < block.lists(); ++i)
        check_that(block.starts[i] <= block.starts[i + 1], "starts that fall");
    if (block.words.empty()) {
        check_that(block.lists() == block.num_words || block.lists() == 0,
                   "a directory of another number of words");
        return;
    }
    check_that(block.lists() == block.words.size(), "words and starts of different lengths");
    for (std::size_t i = 0; i < block.words.size(); ++i)
        check_that(
            block.words[i] < block.num_words && (i == 0 || block.words[i - 1] < block.words[i]),
            "words that do not ascend");
}

// Whether the units from `place` on, at most to `end`, are a set of `size` documents.
void check_set(const Block& block, const std::uint16_t* place, std::size_t size, bool bitmap) {
    const std::size_t n = block.n_documents;
    check_that(size >= 1 && size <= n, "a run of no or too many documents");
    check_that(bitmap == writes_bitmap(block.storage, size, bitmap_units(n)),
               "a set that is not written the shorter way");
    if (!bitmap) {
        for (std::size_t i = 1; i < size; ++i)
            check_that(place[i - 1] < place[i], "documents that do not ascend");
        check_that(place[size - 1] < n, "a document beyond the block");
        return;
    }
    std::size_t found = 0;
    const std::size_t n_words = bitmap_units(n) / 4;
    for (std::size_t i = 0; i < n_words; ++i)
        found += static_cast<std::size_t>(std::popcount(bitmap_word(place, i)));
    check_that(found == size, "a bitmap of another number of documents");
    check_that(n % 64 == 0 || bitmap_word(place, n_words - 1) >> n % 64 == 0,
               "a document beyond the block");
}

// Refuses a document that is in two runs. `seen` has a bit for every document, all 0 here and
// afterwards.
void check_apart(const Block& block, List list, std::span<std::uint64_t> seen) {
    std::uint64_t twice = 0;
    Run run;
    for (Runs runs(block, list); runs.next(run);) {
        if (run.bitmap) {
            for (std::size_t i = 0; i < seen.size(); ++i) {
                const std::uint64_t word = bitmap_word(run.documents, i);
                twice |= seen[i] & word;
                seen[i] |= word;
            }
        } else {
            for (std::uint32_t i = 0; i < run.size; ++i) {
                const std::uint64_t bit = std::uint64_t{1} << run.documents[i] % 64;
                twice |= seen[run.documents[i] / 64] & bit;
                seen[run.documents[i] / 64] |= bit;
            }
        }
    }
    check_that(twice == 0, "a document with two counts of a word");
    for (Runs runs(block, list); runs.next(run);) {
        if (run.bitmap) {
            std::fill(seen.begin(), seen.end(), 0);
        } else {
            for (std::uint32_t i = 0; i < run.size; ++i) seen[run.documents[i] / 64] = 0;
        }
    }
}

void check_counts(const Block& block, List list, std::span<std::uint64_t> seen) {
    const std::uint16_t* place = block.stream.data() + list.begin;
    const std::uint16_t* const end = block.stream.data() + list.end;
    const std::size_t n_runs = *place++;
    const auto left = static_cast<std::size_t>(end - place);
    if (n_runs == 0) return check_set(block, place, left, false);
    check_that(left >= 2 * n_runs, "a list shorter than its header");
    const std::uint16_t* header = place;
    place += 2 * n_runs;
    for (std::size_t i = 0; i < n_runs; ++i) {
        check_that(header[2 * i] > (i == 0 ? 0 : header[2 * i - 2]), "counts that do not ascend");
        const std::size_t size = header[2 * i + 1] + std::size_t{1};
        const bool bitmap = size > bitmap_units(block.n_documents);
        const std::size_t units = bitmap ? bitmap_units(block.n_documents) : size;
        check_that(static_cast<std::size_t>(end - place) >= units, "a list shorter than its runs");
        check_set(block, place, size, bitmap);
        place += units;
    }
    check_that(place == end, "a list longer than its runs");
    check_that(
        n_runs > 1 || header[0] > 1 || header[1] + std::size_t{1} > bitmap_units(block.n_documents),
        "a header where there need be none");
    if (n_runs > 1) check_apart(block, list, seen);
}

void check_values(const Block& block, List list) {
    const std::uint16_t* place = block.stream.data() + list.begin;
    const auto units = static_cast<std::size_t>(list.end - list.begin) - 1;
    const std::uint16_t flags = *place;
    const bool bitmap = flags & 1, odd = flags & 2;
    check_that(flags < 4, "flags that are unknown");
    const std::size_t set = bitmap ? bitmap_units(block.n_documents) : 0;
    check_that(units >= set, "a list shorter than its bitmap");
    const std::size_t size = size_in(block.storage, units - set, bitmap, odd);
    check_that((size % 2 == 1) == odd, "flags of another number of postings");
    check_that((bitmap ? set : size) + value_units(block.storage, size) == units,
               "a list of another length than its postings");
    check_set(block, place + 1, size, bitmap);
    Run run;
    Runs(block, list).next(run);
    if (block.storage == Storage::uint8) return;
    if (block.storage == Storage::float16) {
        for (std::size_t i = 0; i < run.size; ++i)
            check_that((run.values[i] & 0x7C00) != 0x7C00, "a value that is not finite");
        return;
    }
    bool finite = true;
    for_each_posting(block, run, [&](std::uint16_t, float x) { finite &= std::isfinite(x); });
    check_that(finite, "a value that is not finite");
}

}  // namespace

List find_list(const Block& block, std::uint32_t word) {
    if (block.lists() == 0) return {};
    if (block.words.empty()) return {block.starts[word], block.starts[word + 1]};
    const auto found = std::lower_bound(block.words.begin(), block.words.end(), word);
    if (found == block.words.end() || *found != word) return {};
    const auto i = static_cast<std::size_t>(found - block.words.begin());
    return {block.starts[i], block.starts[i + 1]};
}

Runs::Runs(const Block& block, List list)
    : block_(block),
      header_(nullptr),
      place_(block.stream.data() + list.begin),
      end_(block.stream.data() + list.end),
      left_(list.empty() ? 0 : 1) {
    if (left_ == 0 || block.storage != Storage::counts) return;
    const std::uint32_t n_runs = *place_++;
    if (n_runs == 0) return;
    left_ = n_runs;
    header_ = place_;
    place_ += 2 * n_runs;
}

bool Runs::next(Run& run) {
    if (left_ == 0) return false;
    --left_;
    if (block_.storage == Storage::counts) {
        run.values = nullptr;
        run.value = 1;
        run.size = static_cast<std::uint32_t>(end_ - place_);
        run.bitmap = false;
        if (header_ != nullptr) {
            run.value = header_[0];
            run.size = header_[1] + 1U;
            run.bitmap = run.size > bitmap_units(block_.n_documents);
            header_ += 2;
        }
        run.documents = place_;
        place_ += run.bitmap ? bitmap_units(block_.n_documents) : run.size;
        return true;
    }
    const std::uint16_t flags = *place_++;
    run.bitmap = flags & 1;
    run.documents = place_;
    const std::size_t set = run.bitmap ? bitmap_units(block_.n_documents) : 0;
    const auto units = static_cast<std::size_t>(end_ - place_) - set;
    run.size = static_cast<std::uint32_t>(size_in(block_.storage, units, run.bitmap, flags & 2));
    run.values = place_ + (run.bitmap ? set : run.size);
    run.value = 0;
    return true;
}

void decode_documents(const Run& run, std::size_t n_documents, std::uint16_t* out) {
    if (!run.bitmap) {
        std::copy_n(run.documents, run.size, out);
        return;
    }
    for (std::size_t i = 0; i < bitmap_units(n_documents) / 4; ++i)
        for (std::uint64_t bits = bitmap_word(run.documents, i); bits != 0; bits &= bits - 1)
            *out++ = static_cast<std::uint16_t>(64 * i +
                                                static_cast<std::size_t>(std::countr_zero(bits)));
}

std::size_t place_in(const Run& run, std::size_t document) {
    if (!run.bitmap) {
        const std::uint16_t* end = run.documents + run.size;
        const std::uint16_t* found = std::lower_bound(run.documents, end, document);
        const bool there = found != end && *found == document;
        return there ? static_cast<std::size_t>(found - run.documents) : run.size;
    }
    if (!bitmap_has(run.documents, document)) return run.size;
    std::size_t place = 0;
    for (std::size_t i = 0; i < document / 64; ++i)
        place += static_cast<std::size_t>(std::popcount(bitmap_word(run.documents, i)));
    const std::uint64_t below = (std::uint64_t{1} << document % 64) - 1;
    const std::uint64_t bits = bitmap_word(run.documents, document / 64) & below;
    return place + static_cast<std::size_t>(std::popcount(bits));
}

float value_of(const Block& block, std::uint32_t word, std::size_t document) {
    Run run;
    for (Runs runs(block, find_list(block, word)); runs.next(run);) {
        const std::size_t place = place_in(run, document);
        if (place == run.size) continue;
        if (run.values == nullptr) return run.value;
        float values[16];
        decode_values(block, run, place, 1, values);
        return values[0];
    }
    return 0;
}

BlockFacts check_block(const Block& block) {
    check_directory(block);
    std::vector<std::uint64_t> seen(bitmap_units(block.n_documents) / 4);
    for_each_list(block, [&](std::size_t, List list) {
        if (block.storage == Storage::counts)
            check_counts(block, list, seen);
        else
            check_values(block, list);
    });
    return block_facts(block);
}

BlockFacts block_facts(const Block& block) {
    BlockFacts facts;
    float smallest = std::numeric_limits<float>::infinity();
    for_each_list(block, [&](std::size_t, List list) {
        Run run;
        for (Runs runs(block, list); runs.next(run);) {
            facts.n_postings += run.size;
            if (run.values == nullptr) {
                smallest = std::min(smallest, run.value);
                facts.largest = std::max(facts.largest, run.value);
                continue;
            }
            for_each_posting(block, run, [&](std::uint16_t, float x) {
                facts.negative |= x < 0;
                if (x != 0) smallest = std::min(smallest, std::abs(x));
                facts.largest = std::max(facts.largest, std::abs(x));
            });
        }
    });
    if (facts.largest > 0) facts.smallest = smallest;
    return facts;
}

void add_frequencies(const Block& block, std::span<const std::uint64_t> alive,
                     std::span<std::int64_t> frequencies) {
    for_each_list(block, [&](std::size_t word, List list) {
        Run run;
        for (Runs runs(block, list); runs.next(run);) {
            std::int64_t n = run.size;
            if (!alive.empty() && run.bitmap) {
                n = 0;
                for (std::size_t i = 0; i < bitmap_units(block.n_documents) / 4; ++i)
                    n += std::popcount(bitmap_word(run.documents, i) & alive[i]);
            } else if (!alive.empty()) {
                n = 0;
                for (std::uint32_t i = 0; i < run.size; ++i) n += has_bit(alive, run.documents[i]);
            }
            frequencies[word] += n;
        }
    });
}

void block_norms(const Block& block, Norm norm, int roots, WordWeights word_weights,
                 std::span<double> norms) {
    std::fill(norms.begin(), norms.end(), 0.0);
    for_each_list(block, [&](std::size_t word, List list) {
        const double weight = word_weights[word];
        for_each_posting(block, list, [&](std::uint16_t document, float x) {
            const double value = std::abs(weight * static_cast<double>(rooted(x, roots)));
            norms[document] += norm == Norm::l1 ? value : value * value;
        });
    });
    if (norm == Norm::l2)
        for (double& n : norms) n = std::sqrt(n);
}

std::uint16_t float_to_half(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t sign = bits >> 16 & 0x8000;
    float magnitude = std::abs(value);
    if (magnitude < 0x1p-14f) {  // subnormal: multiples of 2^-24
        const float steps = magnitude * 0x1p24f;
        return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(steps)));
    }
    std::memcpy(&bits, &magnitude, sizeof bits);
    bits += 0xFFF + (bits >> 13 & 1);  // to nearest, ties to even; a carry goes to the exponent
    return static_cast<std::uint16_t>(sign | ((bits >> 13) - (112U << 10)));
}

}  // namespace trouvaille
