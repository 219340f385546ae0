// SPDX-License-Identifier: Apache-2.0
#include "index/residuals.hpp"

#include <algorithm>
#include <cassert>
#include <type_traits>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/prefetch.hpp"
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

/// Signs of the sum of descriptors minus word.
template <class Sum, class T>
void write_signs(MatrixView<const T> x, const T* word, std::span<const Member> members,
                 std::vector<Sum>& sums, std::uint8_t* signature) {
    sums.assign(x.cols, 0);
    for (const Member& member : members) {
        const T* row = x.row(member.row);
        for (std::size_t j = 0; j < x.cols; ++j)
            sums[j] += static_cast<Sum>(row[j]) - static_cast<Sum>(word[j]);
    }
    for (std::size_t j = 0; j < x.cols; j += 8) {
        unsigned bits = 0;
        for (std::size_t b = 0; b < std::min<std::size_t>(8, x.cols - j); ++b)
            bits |= static_cast<unsigned>(sums[j + b] > 0) << b;
        signature[j / 8] = static_cast<std::uint8_t>(bits);
    }
}

/// Sums of one photo's signatures: whole numbers for bytes.
template <class T>
class Signs {
  public:
    void write(MatrixView<const T> x, const T* word, std::span<const Member> members,
               std::uint8_t* signature) {
        constexpr std::size_t most = std::size_t{1} << 23;  // differences of bytes in 31 bits
        if constexpr (std::is_same_v<T, std::uint8_t>)
            if (members.size() < most) return write_signs(x, word, members, whole_, signature);
        write_signs(x, word, members, sums_, signature);
    }

  private:
    std::vector<std::int32_t> whole_;
    std::vector<double> sums_;
};

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
        constexpr std::size_t ahead = 8;  // members: what is read at random is asked for early
        InterruptPoll poll;
        Signs<T> signs;
        const std::span<const Member> own = of_photo(p);
        std::size_t at = index(out.offsets[p]);
        for (std::size_t i = 0, n = 0; i < own.size(); i += n, ++at) {
            n = run_length(own, i, aggregated);
            poll.did(n * (x.cols + 1));
            out.words[at] = own[i].word;
            if (i + ahead < own.size()) prefetch(words.row(own[i + ahead].word), words.cols);
            signs.write(x, words.row(own[i].word), own.subspan(i, n),
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
