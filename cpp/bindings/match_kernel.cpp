// SPDX-License-Identifier: Apache-2.0
#include "index/match_kernel.hpp"

#include <algorithm>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "core/parallel.hpp"
#include "index/residuals.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Words = Array<std::uint32_t>;
using Starts = Array<std::uint64_t>;
using Photos = Array<std::uint16_t>;
using Rows = Array<std::uint8_t>;
using Numbers = Array<double>;
using Offsets = Array<std::int64_t>;
using Bitmap = Array<std::uint64_t>;

/// Arrays of a block: words, starts, photos, signatures. What they hold was checked once.
Signatures block_of(const py::tuple& arrays, py::size_t first = 0) {
    const IndexArrays held(arrays, "a block of signatures");
    const Signatures block{
        vector_view(held.at<std::uint32_t>(first)), vector_view(held.at<std::uint64_t>(first + 1)),
        vector_view(held.at<std::uint16_t>(first + 2)), view(held.at<std::uint8_t>(first + 3))};
    if (block.starts.empty() || block.photos.size() != block.rows.rows ||
        block.starts.back() != block.photos.size())
        throw py::value_error("the arrays of a block do not fit together");
    return block;
}

void require_offsets(std::span<const std::int64_t> offsets, std::size_t total) {
    if (offsets.empty() || offsets.front() != 0 ||
        offsets.back() != static_cast<std::int64_t>(total) ||
        !std::is_sorted(offsets.begin(), offsets.end()))
        throw py::value_error("offsets must rise from 0 to the number of rows");
}

/// Those of a photo's features, by their words, which ascend.
Rows signatures_of(const py::tuple& arrays, std::uint16_t photo, const Words& words) {
    const Signatures block = block_of(arrays);
    const auto w = vector_view(words);
    if (!std::is_sorted(w.begin(), w.end())) throw py::value_error("words must ascend");
    Rows found({words.shape(0), static_cast<py::ssize_t>(block.rows.cols)});
    const auto rows = mutable_view(found);
    bool all = false;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        all = take_signatures(block, photo, w, rows);
    }
    if (!all) throw py::value_error("the lists lack features of the photo");
    return found;
}

py::tuple build(const Words& words, const Photos& photos, const Rows& rows, std::size_t num_words) {
    const auto w = vector_view(words);
    const auto p = vector_view(photos);
    const auto r = view(rows);
    if (w.size() != p.size() || w.size() != r.rows)
        throw py::value_error("words, photos and signatures differ in number");
    if (num_words > max_signature_words) throw py::value_error("there are too many words");
    if (std::any_of(w.begin(), w.end(), [&](std::uint32_t word) { return word >= num_words; }))
        throw py::value_error("a word is not below num_words");
    auto sorted_photos = array_on_pages<std::uint16_t>({photos.shape(0)});
    auto sorted_rows = array_on_pages<std::uint8_t>({rows.shape(0), rows.shape(1)});
    const auto sp = mutable_vector_view(sorted_photos);
    const auto sr = mutable_view(sorted_rows);
    SignatureDirectory directory;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        directory = build_signatures(w, p, r, num_words, sp, sr);
    }
    return py::make_tuple(copied(directory.words), copied(directory.starts), sorted_photos,
                          sorted_rows);
}

void check(const py::tuple& arrays, std::size_t num_words, std::size_t photos, std::size_t bits) {
    const IndexArrays held(arrays, "a block of signatures");
    const Signatures block{vector_view(held.at<std::uint32_t>(0)),
                           vector_view(held.at<std::uint64_t>(1)),
                           vector_view(held.at<std::uint16_t>(2)), view(held.at<std::uint8_t>(3))};
    const ReleasedGil nogil;  // no Python object is touched in this block
    check_signatures(block, num_words, photos, bits);
}

Offsets counts(const py::tuple& arrays, const Bitmap& alive, py::ssize_t num_words) {
    const Signatures block = block_of(arrays);
    const auto living = vector_view(alive);
    if (block.n_lists() > 0 && block.word(block.n_lists() - 1) >= num_words)
        throw py::value_error("a word is not below num_words");
    Offsets found(num_words);
    const auto c = mutable_vector_view(found);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        std::fill(c.begin(), c.end(), 0);
        add_photo_counts(block, living, c);
    }
    return found;
}

Numbers self_similarities(const py::tuple& arrays, const Numbers& weights,
                          const Numbers& similarities, py::ssize_t photos) {
    const Signatures block = block_of(arrays);
    const auto w = vector_view(weights), s = vector_view(similarities);
    if (block.n_lists() > 0 && block.word(block.n_lists() - 1) >= w.size())
        throw py::value_error("a word has no weight");
    if (!s.empty() && s.size() <= 8 * block.rows.cols)
        throw py::value_error("similarities must have a place for each distance");
    Numbers found(photos);
    const auto out = mutable_vector_view(found);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        std::fill(out.begin(), out.end(), 0.0);
        add_self_similarities(block, w, s, out);
    }
    return found;
}

Numbers self_similarities_of_rows(const Offsets& offsets, const Words& words, const Rows& rows,
                                  const Numbers& weights, const Numbers& similarities) {
    const auto o = vector_view(offsets);
    const auto w = vector_view(words);
    const auto r = view(rows);
    const auto g = vector_view(weights), s = vector_view(similarities);
    if (w.size() != r.rows) throw py::value_error("words and signatures differ in number");
    require_offsets(o, w.size());
    if (std::any_of(w.begin(), w.end(), [&](std::uint32_t word) { return word >= g.size(); }))
        throw py::value_error("a word has no weight");
    if (!s.empty() && s.size() <= 8 * r.cols)
        throw py::value_error("similarities must have a place for each distance");
    Numbers found(static_cast<py::ssize_t>(o.size() - 1));
    const auto out = mutable_vector_view(found);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        std::fill(out.begin(), out.end(), 0.0);
        add_self_similarities(o, w, r, g, s, out);
    }
    return found;
}

/// Arrays of a block, then its bitmap, factors and ids.
MatchBlock match_block(const py::handle& given, std::size_t bytes) {
    const auto arrays = py::cast<py::tuple>(given);
    const IndexArrays held(arrays, "a block of photos");
    const MatchBlock block{block_of(arrays), vector_view(held.at<std::uint64_t>(4)),
                           vector_view(held.at<double>(5)), vector_view(held.at<std::int64_t>(6))};
    const std::size_t photos = block.ids.size();
    if (block.postings.rows.cols != bytes)
        throw py::value_error("signatures of blocks and queries differ in length");
    if (photos > max_signature_photos || block.factors.size() != photos ||
        (!block.alive.empty() && block.alive.size() < (photos + 63) / 64))
        throw py::value_error("alive, factors and ids of a block do not fit together");
    return block;
}

/// Offsets, factors, words, weights, features and signatures of queries.
MatchQueries match_queries(const py::tuple& arrays) {
    const IndexArrays held(arrays, "queries");
    const MatchQueries queries{
        vector_view(held.at<std::int64_t>(0)),  vector_view(held.at<double>(1)),
        vector_view(held.at<std::uint32_t>(2)), vector_view(held.at<double>(3)),
        vector_view(held.at<std::uint32_t>(4)), view(held.at<std::uint8_t>(5))};
    const std::size_t n = queries.signatures.rows;
    require_offsets(queries.offsets, n);
    if (queries.factors.size() + 1 != queries.offsets.size() || queries.words.size() != n ||
        queries.weights.size() != n || queries.features.size() != n)
        throw py::value_error("the arrays of the queries do not fit together");
    return queries;
}

py::tuple search(const py::list& blocks, const py::tuple& queries, const Numbers& similarities,
                 bool intra, bool inter, py::ssize_t k, int threads) {
    const MatchQueries q = match_queries(queries);
    std::vector<MatchBlock> b;
    for (const auto& block : blocks) b.push_back(match_block(block, q.signatures.cols));
    const MatchKernel kernel{vector_view(similarities), intra, inter};
    if (kernel.similarities.size() <= 8 * q.signatures.cols)
        throw py::value_error("similarities must have a place for each distance");
    if (k < 1) throw py::value_error("k must be positive");
    const auto n = static_cast<py::ssize_t>(q.factors.size());
    Numbers scores({n, k});
    Offsets ids({n, k});
    const auto s = mutable_view(scores);
    const auto i = mutable_view(ids);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        search_match_kernel(b, q, kernel, s, i, threads);
    }
    return py::make_tuple(scores, ids);
}

template <class T>
void bind_residuals(py::module_& m) {
    m.def(
        "binary_residuals",
        [](const Array<T>& x, const Array<T>& words, const Offsets& nearest, const Offsets& offsets,
           bool aggregated, int threads) {
            const auto rows = view(x), w = view(words);
            const auto near = view(nearest);
            const auto o = vector_view(offsets);
            if (rows.cols != w.cols || near.rows != rows.rows)
                throw py::value_error("x, words and nearest do not fit together");
            require_offsets(o, rows.rows);
            const auto is_word = [&](std::int64_t i) {
                return i >= 0 && static_cast<std::size_t>(i) < w.rows;
            };
            if (!std::all_of(near.data, near.data + near.rows * near.cols, is_word))
                throw py::value_error("nearest names no word");
            Residuals found;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                found = binary_residuals(rows, w, near, o, aggregated, threads);
            }
            const auto n = static_cast<py::ssize_t>(found.words.size());
            const auto bytes = static_cast<py::ssize_t>((rows.cols + 7) / 8);
            return py::make_tuple(copied(found.offsets), copied(found.words),
                                  copied<std::uint8_t>(found.signatures, {n, bytes}));
        },
        "x"_a.noconvert(), "words"_a.noconvert(), "nearest"_a.noconvert(), "offsets"_a.noconvert(),
        "aggregated"_a, "threads"_a);
}

}  // namespace

void bind_match_kernel(py::module_& m) {
    m.attr("max_signature_photos") = max_signature_photos;
    m.attr("max_signature_words") = max_signature_words;
    m.def("build_signatures", &build, "words"_a.noconvert(), "photos"_a.noconvert(),
          "signatures"_a.noconvert(), "num_words"_a);
    m.def("check_signatures", &check, "block"_a, "num_words"_a, "photos"_a, "bits"_a);
    m.def("signatures_of", &signatures_of, "block"_a, "photo"_a, "words"_a.noconvert());
    m.def("photo_counts", &counts, "block"_a, "alive"_a.noconvert(), "num_words"_a);
    m.def("self_similarities", &self_similarities, "block"_a, "weights"_a.noconvert(),
          "similarities"_a.noconvert(), "photos"_a);
    m.def("self_similarities_of_rows", &self_similarities_of_rows, "offsets"_a.noconvert(),
          "words"_a.noconvert(), "signatures"_a.noconvert(), "weights"_a.noconvert(),
          "similarities"_a.noconvert());
    m.def("search_match_kernel", &search, "blocks"_a, "queries"_a, "similarities"_a.noconvert(),
          "intra"_a, "inter"_a, "k"_a, "threads"_a);
    bind_residuals<std::uint8_t>(m);
    bind_residuals<float>(m);
}

}  // namespace trouvaille::python
