// SPDX-License-Identifier: Apache-2.0
#include "index/signatures.hpp"

#include <cassert>
#include <cstring>
#include <stdexcept>
#include <string>

#include "core/bits.hpp"
#include "core/interrupt.hpp"
#include "neighbors/differing_bits.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t sparse_share = 8;  // fewer lists than a share of the words: they are named

/// The directory whose list of word w is [ends of the words before, ends[w]).
SignatureDirectory directory_of(std::span<const std::uint64_t> ends) {
    SignatureDirectory directory;
    directory.starts.push_back(0);
    std::size_t lists = 0;
    for (std::size_t w = 0; w < ends.size(); ++w) lists += ends[w] > (w == 0 ? 0 : ends[w - 1]);
    const bool named = lists * sparse_share < ends.size();
    for (std::size_t w = 0; w < ends.size(); ++w) {
        if (named && ends[w] == directory.starts.back()) continue;
        if (named) directory.words.push_back(static_cast<std::uint32_t>(w));
        directory.starts.push_back(ends[w]);
    }
    return directory;
}

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

void check_directory(const Signatures& block, std::size_t num_words) {
    require(!block.starts.empty(), "starts must not be empty");
    require(block.listed() || (block.words.empty() && block.n_lists() == num_words),
            "starts must have one place more than there are lists");
    require(block.starts.front() == 0 && block.starts.back() == block.photos.size(),
            "starts must go from 0 to the number of postings");
    InterruptPoll poll;
    for (std::size_t i = 0; i < block.n_lists(); ++i) {
        poll.did(1);
        require(block.starts[i] <= block.starts[i + 1], "starts must not decrease");
        require(i == 0 || block.word(i - 1) < block.word(i), "words must ascend");
    }
    require(block.words.empty() || block.words.back() < num_words, "words must be below num_words");
}

/// Postings of one photo in one list.
double self_similarity(MatrixView<const std::uint8_t> rows, PostingRange own,
                       std::span<const double> similarities, InterruptPoll& poll) {
    const auto n = static_cast<double>(own.size());
    if (similarities.empty()) return n * n;
    double sum = 0;
    for (std::size_t i = own.begin; i < own.end; ++i) {
        poll.did((own.end - i) * (rows.cols / 8 + 1));
        for (std::size_t j = i + 1; j < own.end; ++j) {
            const auto distance =
                differing_bits<CountedByInstruction>(rows.row(i), rows.row(j), rows.cols);
            sum += similarities[static_cast<std::size_t>(distance)];
        }
    }
    return 2 * sum + n * similarities[0];
}

/// The postings that follow `begin`, up to `end`, and have the same key.
template <class Key>
PostingRange run_at(std::span<const Key> keys, std::size_t begin, std::size_t end) {
    std::size_t stop = begin + 1;
    while (stop < end && keys[stop] == keys[begin]) ++stop;
    return {begin, stop};
}

}  // namespace

SignatureDirectory build_signatures(std::span<const std::uint32_t> words,
                                    std::span<const std::uint16_t> photos,
                                    MatrixView<const std::uint8_t> rows, std::size_t num_words,
                                    std::span<std::uint16_t> sorted_photos,
                                    MatrixView<std::uint8_t> sorted_rows) {
    assert(words.size() == photos.size() && rows.rows == words.size());
    assert(sorted_photos.size() == words.size() && sorted_rows.rows == rows.rows);
    InterruptPoll poll;
    std::vector<std::uint64_t> places(num_words);  // where the next posting of a word goes
    polled_for(0, words.size(), 1, poll, [&](std::size_t i) { ++places[words[i]]; });
    std::uint64_t begin = 0;
    polled_for(0, num_words, 1, poll, [&](std::size_t w) {
        const std::uint64_t count = places[w];
        places[w] = begin;
        begin += count;
    });
    polled_for(0, words.size(), 1, poll, [&](std::size_t i) {
        const std::size_t at = places[words[i]]++;
        sorted_photos[at] = photos[i];
        std::memcpy(sorted_rows.row(at), rows.row(i), rows.cols);
    });
    return directory_of(places);
}

void check_signatures(const Signatures& block, std::size_t num_words, std::size_t photos,
                      std::size_t bits) {
    require(num_words <= max_signature_words, "there are too many words");
    require(photos <= max_signature_photos, "there are too many photos");
    require(block.rows.cols == (bits + 7) / 8, "signatures are of another length");
    require(block.rows.rows == block.photos.size(), "signatures must be one a posting");
    check_directory(block, num_words);
    InterruptPoll poll;
    for (std::size_t i = 0; i < block.n_lists(); ++i) {
        const PostingRange list = block.list(i);
        polled_for(list.begin, list.end, 1, poll, [&](std::size_t at) {
            require(block.photos[at] < photos, "a posting names no photo");
            require(at == list.begin || block.photos[at - 1] <= block.photos[at],
                    "photos must ascend in a list");
        });
    }
    if (bits % 8 == 0) return;
    polled_for(0, block.rows.rows, 1, poll, [&](std::size_t i) {
        require(block.rows.row(i)[block.rows.cols - 1] >> bits % 8 == 0,
                "bits after the last of a signature must be 0");
    });
}

bool take_signatures(const Signatures& block, std::uint16_t photo,
                     std::span<const std::uint32_t> words, MatrixView<std::uint8_t> rows) {
    assert(rows.rows == words.size() && rows.cols == block.rows.cols);
    InterruptPoll poll;
    for (std::size_t i = 0, end = 0; i < words.size(); i = end) {
        while (end < words.size() && words[end] == words[i]) ++end;
        const PostingRange list = block.find(words[i]);
        if (list.begin > list.end || list.end > block.photos.size()) return false;
        const auto photos = block.photos.subspan(list.begin, list.size());
        const auto first = std::lower_bound(photos.begin(), photos.end(), photo);
        const auto n = static_cast<std::ptrdiff_t>(end - i);
        if (photos.end() - first < n || *first != photo || first[n - 1] != photo) return false;
        const auto row = list.begin + static_cast<std::size_t>(first - photos.begin());
        if (rows.cols > 0) std::memcpy(rows.row(i), block.rows.row(row), (end - i) * rows.cols);
        poll.did(8 + (end - i) * (rows.cols / 64 + 1));
    }
    return true;
}

void add_photo_counts(const Signatures& block, std::span<const std::uint64_t> alive,
                      std::span<std::int64_t> counts) {
    InterruptPoll poll;
    for (std::size_t i = 0; i < block.n_lists(); ++i) {
        const PostingRange list = block.list(i);
        std::int64_t count = 0;
        polled_for(list.begin, list.end, 1, poll, [&](std::size_t at) {
            const bool first = at == list.begin || block.photos[at - 1] != block.photos[at];
            count += first && has_bit(alive, block.photos[at]);
        });
        counts[block.word(i)] += count;
    }
}

void add_self_similarities(const Signatures& block, std::span<const double> weights,
                           std::span<const double> similarities, std::span<double> sums) {
    InterruptPoll poll;
    for (std::size_t i = 0; i < block.n_lists(); ++i) {
        const PostingRange list = block.list(i);
        const double weight = weights[block.word(i)];
        if (weight == 0) continue;
        for (PostingRange own{list.begin, list.begin}; own.end < list.end;) {
            own = run_at(block.photos, own.end, list.end);
            poll.did(own.size());
            sums[block.photos[own.begin]] +=
                weight * self_similarity(block.rows, own, similarities, poll);
        }
    }
}

void add_self_similarities(std::span<const std::int64_t> offsets,
                           std::span<const std::uint32_t> words,
                           MatrixView<const std::uint8_t> rows, std::span<const double> weights,
                           std::span<const double> similarities, std::span<double> sums) {
    assert(words.size() == rows.rows && sums.size() + 1 == offsets.size());
    InterruptPoll poll;
    for (std::size_t p = 0; p < sums.size(); ++p) {
        const auto begin = static_cast<std::size_t>(offsets[p]);
        const auto end = static_cast<std::size_t>(offsets[p + 1]);
        for (PostingRange own{begin, begin}; own.end < end;) {
            own = run_at(words, own.end, end);
            poll.did(own.size());
            sums[p] += weights[words[own.begin]] * self_similarity(rows, own, similarities, poll);
        }
    }
}

}  // namespace trouvaille
