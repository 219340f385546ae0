// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/view.hpp"

namespace trouvaille {

/// The rows of a sparse matrix (CSR): row i holds the entries [offsets[i], offsets[i + 1]) of
/// `words` and `values`, in any order. Values of a word that repeats within a row add up.
struct SparseRows {
    std::span<const std::int64_t> offsets;  // rows + 1, from 0, never falling
    std::span<const std::uint32_t> words;
    std::span<const double> values;  // finite; zero or from 1e-100 to 1e100 in magnitude

    std::size_t rows() const { return offsets.size() - 1; }
};

/// The columns of a collection's matrix of documents by words: list w, the entries
/// [offsets[w], offsets[w + 1]), says which documents have word w, and how much of it. Raw: no
/// weight that depends on the rest of the collection is in `values`.
/// `Value` is std::uint16_t (counts), float or double.
template <class Value>
struct Postings {
    std::span<const std::uint64_t> offsets;    // words + 1, from 0, never falling
    std::span<const std::uint32_t> documents;  // ascending within a list
    std::span<const Value> values;             // none is zero; else as in SparseRows

    std::size_t words() const { return offsets.size() - 1; }
};

/// What a score multiplies raw values by. An empty span is all ones.
struct Weights {
    std::span<const double> words;      // g_w, on both sides: an idf
    std::span<const double> documents;  // s_d: the inverse of a norm
    bool normalize_queries = false;     // s_q = 1 / |g q| instead of 1
};

/// Turns rows into postings; document d is row d. Entries that add up to zero leave none.
///
/// Requires offsets.size() == words + 1, every word below `words`, documents and values as long
/// as rows.values, rows.rows() <= 2^32. Returns how many postings there are: so many of the first
/// places of `documents` and `values` are written for good, the rest is unspecified.
/// Serial: two passes, a counting sort.
std::size_t transpose(SparseRows rows, std::span<std::uint64_t> offsets,
                      std::span<std::uint32_t> documents, std::span<double> values);

/// Joins two collections: list w is list w of `a`, then that of `b` with its documents moved up by
/// `n_a`, the number of documents of `a`. The outputs have the sum of the inputs' lengths.
template <class Value>
void join(Postings<Value> a, Postings<Value> b, std::uint32_t n_a, std::span<std::uint64_t> offsets,
          std::span<std::uint32_t> documents, std::span<Value> values);

/// norms[d] = sqrt(sum over w of (g_w x_dw)^2), for every document; `word_weights` is g, or empty.
template <class Value>
void document_norms(Postings<Value> postings, std::span<const double> word_weights,
                    std::span<double> norms);

/// The exact k best of all documents for each query, k = scores.cols:
///
///     score(q, d) = s_d * sum over w, ascending, of (s_q * q_w * g_w^2) * x_dw
///
/// A document that shares no word with the query scores 0. Best first; ties by the smaller id,
/// which is the document's number, or ids[d] where `ids` is not empty (then distinct). Places
/// beyond the collection's `n_documents` hold id -1 and score -infinity.
///
/// Everything is float64, so a score is within (words of the query + 4) * 2^-53 of the sum of its
/// terms' magnitudes, and the same bits for any number of threads and any batch of queries.
/// Requires every word of `queries` below postings.words(), every posting's document below
/// `n_documents`, and as many `documents` weights and ids, or none. Parallel over queries; a
/// thread holds 256 KiB and its k best. Documents are visited in blocks, so that their sums stay
/// in cache. Throws Interrupted (core/interrupt.hpp), also from within a query.
///
/// Zobel, Moffat. Inverted files for text search engines. ACM Computing Surveys 38(2), 2006.
/// Sivic, Zisserman. Video Google: a text retrieval approach to object matching. ICCV 2003.
template <class Value>
void search_inverted_file(Postings<Value> postings, std::size_t n_documents, Weights weights,
                          std::span<const std::int64_t> ids, SparseRows queries,
                          MatrixView<double> scores, MatrixView<std::int64_t> found, int threads);

}  // namespace trouvaille
