// SPDX-License-Identifier: Apache-2.0
#include "index/build.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "index/postings.hpp"

namespace trouvaille {
namespace {

// A block's rows are held in 8 bytes an entry while it is made.
constexpr std::size_t max_block_entries = std::size_t{1} << 29;

bool is_kept_as_zero(float x, Keeping keeping) {
    if (keeping.storage == Storage::uint8) return std::abs(x) <= keeping.step / 2;
    if (keeping.storage == Storage::float16) return std::abs(x) <= 0x1p-25f;
    return x == 0;
}

// The postings of one block by words, documents ascending within a list. List i has the places
// from starts[i] on, up to ends[i]: there are gaps where words repeated in a row.
struct Lists {
    std::vector<std::uint32_t> words;  // empty: list w is of word w
    std::vector<std::uint32_t> starts, ends;
    std::vector<std::uint16_t> documents;
    std::vector<float> values;

    void append(std::size_t list, std::uint16_t document, float value) {
        std::uint32_t& end = ends[list];
        if (end > starts[list] && documents[end - 1] == document) {
            values[end - 1] += value;
            return;
        }
        documents[end] = document;
        values[end++] = value;
    }

    // Throws away what is zero, as a sum or as it is kept, and refuses what left float32.
    void tidy(Keeping keeping) {
        InterruptPoll poll;
        for (std::size_t list = 0; list < starts.size(); ++list) {
            poll.did(1);
            std::uint32_t kept = starts[list];
            polled_for(starts[list], ends[list], 1, poll, [&](std::size_t i) {
                if (!std::isfinite(values[i]))
                    throw std::invalid_argument("values of one place must have a float32 sum");
                if (is_kept_as_zero(values[i], keeping)) return;
                documents[kept] = documents[i];
                values[kept++] = values[i];
            });
            ends[list] = kept;
        }
    }
};

std::size_t entries_of(SparseRows rows) {
    return static_cast<std::size_t>(rows.offsets.back() - rows.offsets.front());
}

template <class Body>  // body(row, entry)
void for_each_entry(SparseRows rows, Body body) {
    InterruptPoll poll;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
        poll.did(1);
        polled_for(static_cast<std::size_t>(rows.offsets[row]),
                   static_cast<std::size_t>(rows.offsets[row + 1]), 1, poll,
                   [&](std::size_t i) { body(static_cast<std::uint16_t>(row), i); });
    }
}

// A counting sort: two passes over the rows and one over the words.
Lists lists_of_all_words(SparseRows rows, std::size_t num_words) {
    Lists lists;
    std::vector<std::uint32_t> counts(num_words);
    for_each_entry(rows, [&](std::uint16_t, std::size_t i) { ++counts[rows.words[i]]; });
    lists.starts.assign(num_words, 0);
    std::uint32_t place = 0;
    for (std::size_t word = 0; word < num_words; ++word)
        lists.starts[word] = std::exchange(place, place + counts[word]);
    lists.ends = lists.starts;
    lists.documents.resize(place);
    lists.values.resize(place);
    for_each_entry(rows, [&](std::uint16_t row, std::size_t i) {
        lists.append(rows.words[i], row, rows.values[i]);
    });
    return lists;
}

// Where words are many and entries few: sorts the words that there are, and finds each by
// bisection.
Lists lists_of_present_words(SparseRows rows) {
    Lists lists;
    lists.words.reserve(entries_of(rows));
    for_each_entry(rows,
                   [&](std::uint16_t, std::size_t i) { lists.words.push_back(rows.words[i]); });
    std::sort(lists.words.begin(), lists.words.end());
    lists.words.erase(std::unique(lists.words.begin(), lists.words.end()), lists.words.end());
    const auto list_of = [&](std::size_t i) {
        const auto found = std::lower_bound(lists.words.begin(), lists.words.end(), rows.words[i]);
        return static_cast<std::size_t>(found - lists.words.begin());
    };
    std::vector<std::uint32_t> counts(lists.words.size());
    for_each_entry(rows, [&](std::uint16_t, std::size_t i) { ++counts[list_of(i)]; });
    lists.starts.assign(counts.size(), 0);
    std::uint32_t place = 0;
    for (std::size_t list = 0; list < counts.size(); ++list)
        lists.starts[list] = std::exchange(place, place + counts[list]);
    lists.ends = lists.starts;
    lists.documents.resize(place);
    lists.values.resize(place);
    for_each_entry(rows, [&](std::uint16_t row, std::size_t i) {
        lists.append(list_of(i), row, rows.values[i]);
    });
    return lists;
}

bool are_counts(const Lists& lists) {
    for (std::size_t list = 0; list < lists.starts.size(); ++list)
        for (std::uint32_t i = lists.starts[list]; i < lists.ends[list]; ++i) {
            const float x = lists.values[i];
            if (!(x >= 1 && x <= 65'535 && x == std::floor(x))) return false;
        }
    return true;
}

// Writes lists, one after another, as cpp/index/block.hpp says.
class Writer {
  public:
    Writer(std::size_t n_documents, Storage storage, float step)
        : bitmap_units_(bitmap_units(n_documents)), storage_(storage), step_(step) {}

    void reserve(std::size_t units) { stream_.reserve(units); }
    std::size_t units() const { return stream_.size(); }

    void list(std::span<const std::uint16_t> documents, std::span<const float> values) {
        if (documents.empty()) return;
        if (storage_ == Storage::counts)
            counts(documents, values);
        else
            weights(documents, values);
        if (stream_.size() + stream_slack > max_block_units)
            throw std::length_error("a block's lists take more than 2^32 units");
    }

    Pages<std::uint16_t> finish() {
        Pages<std::uint16_t> stream(stream_.size() + stream_slack);
        std::copy(stream_.begin(), stream_.end(), stream.data());
        return stream;
    }

  private:
    bool is_bitmap(std::size_t size) const { return writes_bitmap(storage_, size, bitmap_units_); }

    void counts(std::span<const std::uint16_t> documents, std::span<const float> values) {
        const bool all_ones =
            std::all_of(values.begin(), values.end(), [](float x) { return x == 1; });
        if (all_ones && !is_bitmap(documents.size())) {
            stream_.push_back(0);
            stream_.insert(stream_.end(), documents.begin(), documents.end());
            return;
        }
        sorted_.clear();
        for (std::size_t i = 0; i < documents.size(); ++i)
            sorted_.push_back(static_cast<std::uint32_t>(values[i]) << 16 | documents[i]);
        if (!all_ones) std::sort(sorted_.begin(), sorted_.end());
        const std::size_t begin = stream_.size();
        stream_.push_back(0);
        for (std::size_t i = 0; i < sorted_.size();) {
            const std::size_t end = run_end(i);
            ++stream_[begin];
            stream_.push_back(static_cast<std::uint16_t>(sorted_[i] >> 16));
            stream_.push_back(static_cast<std::uint16_t>(end - i - 1));
            i = end;
        }
        for (std::size_t i = 0; i < sorted_.size();) {
            const std::size_t end = run_end(i);
            run_.clear();
            for (; i < end; ++i) run_.push_back(static_cast<std::uint16_t>(sorted_[i]));
            set(run_);
        }
    }

    std::size_t run_end(std::size_t i) const {
        const std::uint32_t value = sorted_[i] >> 16;
        while (i < sorted_.size() && sorted_[i] >> 16 == value) ++i;
        return i;
    }

    void set(std::span<const std::uint16_t> documents) {
        if (!is_bitmap(documents.size())) {
            stream_.insert(stream_.end(), documents.begin(), documents.end());
            return;
        }
        const std::size_t begin = stream_.size();
        stream_.resize(begin + bitmap_units_);
        for (const std::uint16_t document : documents)
            stream_[begin + document / 16] |= static_cast<std::uint16_t>(1U << document % 16);
    }

    void weights(std::span<const std::uint16_t> documents, std::span<const float> values) {
        const unsigned flags =
            (is_bitmap(documents.size()) ? 1U : 0U) | (documents.size() % 2 << 1);
        stream_.push_back(static_cast<std::uint16_t>(flags));
        set(documents);
        if (storage_ == Storage::float32) {
            for (const float x : values) {
                const auto bits = std::bit_cast<std::uint32_t>(x);
                stream_.push_back(static_cast<std::uint16_t>(bits));
                stream_.push_back(static_cast<std::uint16_t>(bits >> 16));
            }
        } else if (storage_ == Storage::float16) {
            for (const float x : values) stream_.push_back(half_of(x));
        } else {
            for (std::size_t i = 0; i < values.size(); i += 2) {
                const unsigned high = i + 1 < values.size() ? steps_of(values[i + 1]) : 0;
                stream_.push_back(static_cast<std::uint16_t>(steps_of(values[i]) | high << 8));
            }
        }
    }

    static std::uint16_t half_of(float x) {
        if (std::abs(x) >= 65'520)
            throw std::invalid_argument("values must be at most 65,504 for float16, got " +
                                        std::to_string(x));
        return float_to_half(x);
    }

    unsigned steps_of(float x) const {
        const float steps = std::nearbyint(x / step_);
        if (!(steps >= 0 && steps <= 255))
            throw std::invalid_argument("values must be from 0 to " + std::to_string(255 * step_) +
                                        " for uint8, got " + std::to_string(x));
        return static_cast<unsigned>(steps);
    }

    std::size_t bitmap_units_;
    Storage storage_;
    float step_;
    std::vector<std::uint16_t> stream_;
    std::vector<std::uint32_t> sorted_;  // value << 16 | document
    std::vector<std::uint16_t> run_;
};

// A full directory unless a sparse one is a quarter of it or less: it is looked up at once.
void write_directory(OwnedBlock& block, const Lists& lists, std::span<const std::uint32_t> units) {
    std::size_t present = 0;
    for (std::size_t list = 0; list < units.size(); ++list) present += units[list] > 0;
    const bool full = lists.words.empty() && 8 * present >= units.size();
    block.starts = Pages<std::uint32_t>((full ? units.size() : present) + 1);
    std::uint32_t place = 0;
    std::size_t kept = 0;
    for (std::size_t list = 0; list < units.size(); ++list) {
        if (units[list] == 0 && !full) continue;
        if (!full)
            block.words.push_back(lists.words.empty() ? static_cast<std::uint32_t>(list)
                                                      : lists.words[list]);
        block.starts.data()[kept++] = std::exchange(place, place + units[list]);
    }
    block.starts.data()[kept] = place;
}

OwnedBlock written(const Lists& lists, std::size_t n_documents, std::uint64_t num_words,
                   Keeping keeping) {
    OwnedBlock block;
    const bool may_be_counts = keeping.storage.value_or(Storage::counts) == Storage::counts;
    const bool counts = may_be_counts && are_counts(lists);
    if (keeping.storage == Storage::counts && !counts)
        throw std::invalid_argument("values must be whole numbers from 1 to 65,535 for counts");
    block.storage = keeping.storage.value_or(counts ? Storage::counts : Storage::float32);
    block.n_documents = static_cast<std::uint32_t>(n_documents);
    block.num_words = num_words;
    block.step = block.storage == Storage::uint8 ? keeping.step : 0;
    Writer writer(n_documents, block.storage, block.step);
    writer.reserve(lists.documents.size() + lists.starts.size() / 2);
    std::vector<std::uint32_t> units(lists.starts.size());
    InterruptPoll poll;
    for (std::size_t list = 0; list < lists.starts.size(); ++list) {
        const std::size_t begin = lists.starts[list], size = lists.ends[list] - begin;
        const std::size_t before = writer.units();
        writer.list({lists.documents.data() + begin, size}, {lists.values.data() + begin, size});
        units[list] = static_cast<std::uint32_t>(writer.units() - before);
        poll.did(size + 1);
    }
    write_directory(block, lists, units);
    block.stream = writer.finish();
    return block;
}

SparseRows slice(SparseRows rows, std::size_t begin, std::size_t end) {
    return {rows.offsets.subspan(begin, end - begin + 1), rows.words, rows.values};
}

std::size_t blocks_for(SparseRows rows, std::size_t at_least) {
    const std::size_t n = rows.rows();
    std::size_t blocks = std::max((n + max_block_documents - 1) / max_block_documents, at_least);
    blocks = std::max(blocks, entries_of(rows) / (max_block_entries / 2) + 1);
    return std::min(blocks, n);
}

}  // namespace

OwnedBlock build_block(SparseRows rows, std::uint64_t num_words, Keeping keeping) {
    assert(rows.rows() >= 1 && rows.rows() <= max_block_documents);
    const std::size_t entries = entries_of(rows);
    if (entries > max_block_entries)
        throw std::length_error("a block holds 2^29 entries, got " + std::to_string(entries));
    const bool few = num_words / 16 > entries + 4096;
    Lists lists = few ? lists_of_present_words(rows)
                      : lists_of_all_words(rows, static_cast<std::size_t>(num_words));
    lists.tidy(keeping);
    return written(lists, rows.rows(), num_words, keeping);
}

std::vector<OwnedBlock> build_blocks(SparseRows rows, std::uint64_t num_words, Keeping keeping,
                                     std::size_t n_blocks, int threads) {
    const std::size_t n = rows.rows();
    std::vector<OwnedBlock> blocks(n == 0 ? 0 : blocks_for(rows, n_blocks));
    parallel_for(blocks.size(), 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            blocks[i] = build_block(slice(rows, i * n / blocks.size(), (i + 1) * n / blocks.size()),
                                    num_words, keeping);
    });
    return blocks;
}

OwnedRows block_rows(const Block& block) {
    OwnedRows rows;
    rows.offsets.assign(block.n_documents + std::size_t{1}, 0);
    const auto for_each = [&](auto body) {  // body(word, document, value)
        for_each_list(block, [&](std::size_t word, List list) {
            for_each_posting(block, list, [&](std::uint16_t document, float value) {
                body(word, document, value);
            });
        });
    };
    for_each([&](std::size_t, std::uint16_t document, float) { ++rows.offsets[document + 1U]; });
    for (std::size_t d = 0; d < block.n_documents; ++d) rows.offsets[d + 1] += rows.offsets[d];
    rows.words.resize(static_cast<std::size_t>(rows.offsets.back()));
    rows.values.resize(rows.words.size());
    std::vector<std::int64_t> ends(rows.offsets.begin(), rows.offsets.end() - 1);
    for_each([&](std::size_t word, std::uint16_t document, float value) {
        const auto place = static_cast<std::size_t>(ends[document]++);
        rows.words[place] = static_cast<std::uint32_t>(word);
        rows.values[place] = value;
    });
    return rows;
}

namespace {

std::size_t count_living(const LivingBlock& block) {
    std::size_t n = 0;
    for (std::size_t d = 0; d < block.block.n_documents; ++d) n += has_bit(block.alive, d);
    return n;
}

void append_row(OwnedRows& to, const OwnedRows& from, std::size_t row) {
    const auto begin = from.offsets[row], end = from.offsets[row + 1];
    to.words.insert(to.words.end(), from.words.begin() + begin, from.words.begin() + end);
    to.values.insert(to.values.end(), from.values.begin() + begin, from.values.begin() + end);
    to.offsets.push_back(static_cast<std::int64_t>(to.words.size()));
}

// Counts and floats become floats, where they are not all counts; other kinds stay what they are.
Keeping common_keeping(std::span<const LivingBlock> blocks) {
    Keeping keeping{blocks.front().block.storage, blocks.front().block.step};
    const auto plain = [](Storage s) { return s == Storage::counts || s == Storage::float32; };
    for (const LivingBlock& block : blocks) {
        if (plain(block.block.storage) && (!keeping.storage || plain(*keeping.storage))) {
            if (keeping.storage != block.block.storage) keeping.storage.reset();
        } else if (keeping.storage != block.block.storage || keeping.step != block.block.step) {
            throw std::invalid_argument("blocks: values are kept in different ways");
        }
    }
    return keeping;
}

}  // namespace

std::vector<OwnedBlock> merge_blocks(std::span<const LivingBlock> blocks) {
    std::vector<OwnedBlock> merged;
    std::size_t left = 0, entries = 0;
    for (const LivingBlock& block : blocks) {
        left += count_living(block);
        entries += block.block.stream.size() / 2;
    }
    if (left == 0) return merged;
    const Keeping keeping = common_keeping(blocks);
    std::size_t blocks_left = (left + max_block_documents - 1) / max_block_documents;
    blocks_left = std::max(blocks_left, std::min(left, entries / (max_block_entries / 4) + 1));
    OwnedRows pending;
    std::size_t wanted = (left + blocks_left - 1) / blocks_left;
    for (const LivingBlock& block : blocks) {
        const OwnedRows rows = block_rows(block.block);
        for (std::size_t d = 0; d < block.block.n_documents; ++d) {
            if (!has_bit(block.alive, d)) continue;
            append_row(pending, rows, d);
            if (pending.offsets.size() - 1 < wanted) continue;
            merged.push_back(build_block(pending.view(), block.block.num_words, keeping));
            pending = {};
            left -= wanted;
            if (--blocks_left > 0) wanted = (left + blocks_left - 1) / blocks_left;
        }
    }
    return merged;
}

}  // namespace trouvaille
