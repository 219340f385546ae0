// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "core/size.hpp"
#include "index/inverted_file.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

template <class T>
using Optional = std::optional<Array<T>>;

// That words and documents are within range has been checked once, in Python; here only lengths.

SparseRows rows_view(const Array<std::int64_t>& offsets, const Array<std::uint32_t>& words,
                     const Array<double>& values) {
    const SparseRows rows{vector_view(offsets), vector_view(words), vector_view(values)};
    if (rows.offsets.empty() || rows.words.size() != rows.values.size() ||
        !std::in_range<std::size_t>(rows.offsets.back()) ||
        static_cast<std::size_t>(rows.offsets.back()) != rows.words.size())
        throw py::value_error("sparse rows: lengths differ");
    return rows;
}

template <class Value>
Postings<Value> postings_view(const Array<std::uint64_t>& offsets,
                              const Array<std::uint32_t>& documents, const Array<Value>& values) {
    const Postings<Value> postings{vector_view(offsets), vector_view(documents),
                                   vector_view(values)};
    if (postings.offsets.empty() || postings.documents.size() != postings.values.size() ||
        postings.offsets.back() != postings.documents.size())
        throw py::value_error("postings: lengths differ");
    return postings;
}

template <class T>
std::span<const T> optional_view(const Optional<T>& a, std::size_t size, const char* name) {
    if (!a) return {};
    const auto values = vector_view(*a);
    if (values.size() != size)
        throw py::value_error(std::string(name) + " must be " + std::to_string(size) + " long");
    return values;
}

template <class T>
Array<T> vector_of(std::size_t size) {
    return Array<T>(checked_cast<py::ssize_t>(size, "array size"));
}

py::tuple transposed(const Array<std::int64_t>& offsets, const Array<std::uint32_t>& words,
                     const Array<double>& values, std::size_t n_words) {
    const SparseRows rows = rows_view(offsets, words, values);
    auto list_offsets = vector_of<std::uint64_t>(n_words + 1);
    auto documents = vector_of<std::uint32_t>(rows.words.size());
    auto amounts = vector_of<double>(rows.words.size());
    const auto out_offsets = mutable_vector_view(list_offsets);
    const auto out_documents = mutable_vector_view(documents);
    const auto out_amounts = mutable_vector_view(amounts);
    std::size_t kept = 0;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        kept = transpose(rows, out_offsets, out_documents, out_amounts);
    }
    const auto size = static_cast<py::ssize_t>(kept);
    documents.resize({size});
    amounts.resize({size});
    return py::make_tuple(list_offsets, documents, amounts);
}

template <class Value>
py::tuple joined(const Array<std::uint64_t>& offsets_a, const Array<std::uint32_t>& documents_a,
                 const Array<Value>& values_a, const Array<std::uint64_t>& offsets_b,
                 const Array<std::uint32_t>& documents_b, const Array<Value>& values_b,
                 std::uint32_t n_a) {
    const auto a = postings_view(offsets_a, documents_a, values_a);
    const auto b = postings_view(offsets_b, documents_b, values_b);
    if (a.words() != b.words()) throw py::value_error("postings: numbers of words differ");
    const std::size_t size =
        checked_add(a.documents.size(), b.documents.size(), "number of postings");
    auto offsets = vector_of<std::uint64_t>(a.offsets.size());
    auto documents = vector_of<std::uint32_t>(size);
    auto values = vector_of<Value>(size);
    const auto out_offsets = mutable_vector_view(offsets);
    const auto out_documents = mutable_vector_view(documents);
    const auto out_values = mutable_vector_view(values);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        join(a, b, n_a, out_offsets, out_documents, out_values);
    }
    return py::make_tuple(offsets, documents, values);
}

template <class Value>
Array<double> norms(const Array<std::uint64_t>& offsets, const Array<std::uint32_t>& documents,
                    const Array<Value>& values, std::size_t n_documents,
                    const Optional<double>& word_weights) {
    const auto postings = postings_view(offsets, documents, values);
    const auto weights = optional_view(word_weights, postings.words(), "word_weights");
    auto result = vector_of<double>(n_documents);
    const auto out = mutable_vector_view(result);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        document_norms(postings, weights, out);
    }
    return result;
}

template <class Value>
py::tuple search(const Array<std::uint64_t>& offsets, const Array<std::uint32_t>& documents,
                 const Array<Value>& values, std::size_t n_documents,
                 const Optional<double>& word_weights, const Optional<double>& document_weights,
                 bool normalize_queries, const Optional<std::int64_t>& ids,
                 const Array<std::int64_t>& query_offsets, const Array<std::uint32_t>& query_words,
                 const Array<double>& query_values, std::size_t k, int threads) {
    const auto postings = postings_view(offsets, documents, values);
    const Weights weights{
        .words = optional_view(word_weights, postings.words(), "word_weights"),
        .documents = optional_view(document_weights, n_documents, "document_weights"),
        .normalize_queries = normalize_queries};
    const auto names = optional_view(ids, n_documents, "ids");
    const SparseRows queries = rows_view(query_offsets, query_words, query_values);
    checked_mul(checked_mul(queries.rows(), k, "result"), sizeof(double), "result");
    Array<double> scores({queries.rows(), k});
    Array<std::int64_t> found({queries.rows(), k});
    const auto out_scores = mutable_view(scores);
    const auto out_found = mutable_view(found);
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        search_inverted_file(postings, n_documents, weights, names, queries, out_scores, out_found,
                             threads);
    }
    return py::make_tuple(scores, found);
}

// One overload for each type of values; `noconvert` lets the array's dtype choose.
template <class Value>
void bind_values(py::module_& m) {
    m.def("join_postings", &joined<Value>, "offsets_a"_a.noconvert(), "documents_a"_a.noconvert(),
          "values_a"_a.noconvert(), "offsets_b"_a.noconvert(), "documents_b"_a.noconvert(),
          "values_b"_a.noconvert(), "n_a"_a);
    m.def("document_norms", &norms<Value>, "offsets"_a.noconvert(), "documents"_a.noconvert(),
          "values"_a.noconvert(), "n_documents"_a, "word_weights"_a.noconvert());
    m.def("search_inverted_file", &search<Value>, "offsets"_a.noconvert(),
          "documents"_a.noconvert(), "values"_a.noconvert(), "n_documents"_a,
          "word_weights"_a.noconvert(), "document_weights"_a.noconvert(), "normalize_queries"_a,
          "ids"_a.noconvert(), "query_offsets"_a.noconvert(), "query_words"_a.noconvert(),
          "query_values"_a.noconvert(), "k"_a, "threads"_a);
}

}  // namespace

void bind_index(py::module_& m) {
    m.def("transpose", &transposed, "offsets"_a.noconvert(), "words"_a.noconvert(),
          "values"_a.noconvert(), "n_words"_a);
    bind_values<std::uint16_t>(m);
    bind_values<float>(m);
    bind_values<double>(m);
}

}  // namespace trouvaille::python
