// SPDX-License-Identifier: Apache-2.0
#include "index/residuals.hpp"

#include <algorithm>
#include <cassert>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"

namespace trouvaille {
namespace {

/// A descriptor in a word.
struct Member {
    std::uint32_t word;
    std::uint64_t row;

    bool operator==(const Member&) const = default;
};

struct Range {
    std::size_t begin, end;
};

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// The members of one photo, sorted; a descriptor that names a word twice is in it once.
std::size_t fill_members(MatrixView<const std::int64_t> nearest, Range rows,
                         std::span<Member> members) {
    std::size_t n = 0;
    for (std::size_t row = rows.begin; row < rows.end; ++row)
        for (std::size_t i = 0; i < nearest.cols; ++i)
            members[n++] = {static_cast<std::uint32_t>(nearest.row(row)[i]), row};
    InterruptPoll poll;
    std::sort(members.begin(), members.end(), [&poll](const Member& a, const Member& b) {
        poll.did(1);
        return a.word != b.word ? a.word < b.word : a.row < b.row;
    });
    return index(std::unique(members.begin(), members.end()) - members.begin());
}

/// How many of the members from `begin` make one signature.
std::size_t run_length(std::span<const Member> members, std::size_t begin, bool aggregated) {
    std::size_t end = begin + 1;
    if (aggregated)
        while (end < members.size() && members[end].word == members[begin].word) ++end;
    return end - begin;
}

template <class T>
void write_signature(MatrixView<const T> x, const T* word, std::span<const Member> members,
                     std::span<double> sums, std::uint8_t* signature) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (const Member& member : members) {
        const T* row = x.row(member.row);
        for (std::size_t j = 0; j < sums.size(); ++j)
            sums[j] += static_cast<double>(row[j]) - static_cast<double>(word[j]);
    }
    for (std::size_t j = 0; j < sums.size(); j += 8) {
        unsigned bits = 0;
        for (std::size_t b = 0; b < std::min<std::size_t>(8, sums.size() - j); ++b)
            bits |= static_cast<unsigned>(sums[j + b] > 0) << b;
        signature[j / 8] = static_cast<std::uint8_t>(bits);
    }
}

}  // namespace

template <class T>
Residuals binary_residuals(MatrixView<const T> x, MatrixView<const T> words,
                           MatrixView<const std::int64_t> nearest,
                           std::span<const std::int64_t> offsets, bool aggregated, int threads) {
    assert(x.cols == words.cols && nearest.rows == x.rows && !offsets.empty());
    const std::size_t photos = offsets.size() - 1, bytes = (x.cols + 7) / 8;
    std::vector<Member> members(checked_mul(x.rows, nearest.cols, "descriptors * words"));
    std::vector<std::size_t> n_members(photos);
    Residuals out{std::vector<std::int64_t>(photos + 1), {}, {}};
    const auto of_photo = [&](std::size_t p) {
        return std::span(members).subspan(index(offsets[p]) * nearest.cols, n_members[p]);
    };
    parallel_for(photos, 1, threads, [&](std::size_t p, std::size_t) {
        const Range rows{index(offsets[p]), index(offsets[p + 1])};
        n_members[p] = (rows.end - rows.begin) * nearest.cols;
        n_members[p] = fill_members(nearest, rows, of_photo(p));
        const std::span<const Member> own = of_photo(p);
        for (std::size_t i = 0; i < own.size(); i += run_length(own, i, aggregated))
            ++out.offsets[p + 1];
    });
    for (std::size_t p = 0; p < photos; ++p) out.offsets[p + 1] += out.offsets[p];
    out.words.resize(index(out.offsets.back()));
    out.signatures.resize(checked_mul(out.words.size(), bytes, "signatures * bytes"));
    parallel_for(photos, 1, threads, [&](std::size_t p, std::size_t) {
        InterruptPoll poll;
        std::vector<double> sums(x.cols);
        const std::span<const Member> own = of_photo(p);
        std::size_t at = index(out.offsets[p]);
        for (std::size_t i = 0, n = 0; i < own.size(); i += n, ++at) {
            n = run_length(own, i, aggregated);
            poll.did(n * (x.cols + 1));
            out.words[at] = own[i].word;
            write_signature(x, words.row(own[i].word), own.subspan(i, n), std::span(sums),
                            out.signatures.data() + at * bytes);
        }
    });
    return out;
}

template Residuals binary_residuals(MatrixView<const std::uint8_t>, MatrixView<const std::uint8_t>,
                                    MatrixView<const std::int64_t>, std::span<const std::int64_t>,
                                    bool, int);
template Residuals binary_residuals(MatrixView<const float>, MatrixView<const float>,
                                    MatrixView<const std::int64_t>, std::span<const std::int64_t>,
                                    bool, int);

}  // namespace trouvaille
