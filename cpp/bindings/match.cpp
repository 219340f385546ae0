// SPDX-License-Identifier: Apache-2.0
#include "geometry/match.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "geometry/match_pair.hpp"
#include "geometry/match_signatures.hpp"
#include "geometry/match_words.hpp"
#include "neighbors/exact.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

using Bytes = Array<std::uint8_t>;
using Words = Array<std::uint32_t>;

// The arrays are kept beside the views: they must live as long as the kernel runs.
template <class Candidate>
struct Candidates {
    std::vector<std::pair<Words, Bytes>> arrays;
    std::vector<Candidate> views;
};

template <class Candidate>
Candidates<Candidate> candidates_of(const py::sequence& listed, std::size_t columns) {
    Candidates<Candidate> candidates;
    for (const py::handle item : listed) {
        const auto pair = py::reinterpret_borrow<py::sequence>(item);
        if (pair.size() != 2 || !py::isinstance<Words>(pair[0]) || !py::isinstance<Bytes>(pair[1]))
            throw py::type_error("a candidate must be a pair of uint32 words and uint8 rows");
        const auto& [words, rows] = candidates.arrays.emplace_back(
            py::reinterpret_borrow<Words>(pair[0]), py::reinterpret_borrow<Bytes>(pair[1]));
        const auto w = vector_view(words);
        const auto r = view(rows);
        if (w.size() != r.rows || r.cols != columns)
            throw py::value_error("a candidate's words and rows do not fit the query");
        candidates.views.push_back({w, r});
    }
    return candidates;
}

template <class T, class Distance>
void bind_match_pair(py::module_& m) {
    m.def(
        "match_pair",
        [](const Array<T>& queries, const Array<T>& database, double max_ratio, bool squared,
           bool mutual, double max_distance, int threads) {
            const auto q = view(queries), db = view(database);
            if (q.cols != db.cols) throw py::value_error("queries and database differ in columns");
            if (sizeof(T) == 1 && q.cols > max_byte_dims)
                throw py::value_error("rows of bytes are too long for 32-bit distances");
            PairMatches<Distance> found;
            {
                const ReleasedGil nogil;  // no Python object is touched in this block
                found = match_pair(q, db, {max_ratio, squared, mutual, max_distance}, threads);
            }
            const auto n = static_cast<py::ssize_t>(found.pairs.size());
            return py::make_tuple(copied<std::int32_t>(found.pairs, {n, 2}),
                                  copied<Distance>(found.distances, {n}),
                                  copied<float>(found.ratios, {n}));
        },
        "queries"_a.noconvert(), "database"_a.noconvert(), "max_ratio"_a, "squared"_a, "mutual"_a,
        "max_distance"_a, "threads"_a);
}

template <class Value>
py::tuple arrays_of(const MatchesOf<Value>& matches) {
    const auto n = static_cast<py::ssize_t>(matches.pairs.size());
    return py::make_tuple(
        copied<std::int32_t>(matches.pairs, {n, 2}), copied<Value>(matches.values, {n}),
        copied<std::int64_t>(matches.offsets, {static_cast<py::ssize_t>(matches.offsets.size())}));
}

py::tuple match(const Bytes& descriptors, const Words& words,
                const Array<std::int32_t>& max_distances, const py::sequence& candidates,
                std::size_t max_matches, int threads) {
    const MatchQuery query{view(descriptors), view(words), vector_view(max_distances)};
    if (query.words.rows != query.descriptors.rows ||
        query.max_distances.size() != query.descriptors.rows)
        throw py::value_error("the query's arrays differ in length");
    const auto shortlist = candidates_of<MatchCandidate>(candidates, query.descriptors.cols);
    Matches matches;
    {
        const ReleasedGil nogil;  // the arrays are held by `shortlist` and the caller
        matches = match_shortlist(query, shortlist.views, max_matches, threads);
    }
    return arrays_of(matches);
}

py::tuple match_by_signatures(const Words& words, const Bytes& signatures,
                              std::int32_t max_distance, const py::sequence& candidates,
                              std::size_t max_matches, int threads) {
    const SignedQuery query{view(words), view(signatures), max_distance};
    if (query.words.rows * query.words.cols != query.signatures.rows)
        throw py::value_error("words and signatures differ in number");
    if (query.signatures.cols >= std::size_t{1} << 28)
        throw py::value_error("signatures are too long for 32-bit distances");
    const auto shortlist = candidates_of<SignedCandidate>(candidates, query.signatures.cols);
    Matches matches;
    {
        const ReleasedGil nogil;  // the arrays are held by `shortlist` and the caller
        matches = match_signatures(query, shortlist.views, max_matches, threads);
    }
    return arrays_of(matches);
}

py::tuple match_by_words(const Words& words, const Array<double>& weights,
                         const Words& candidate_words, const Array<std::int64_t>& offsets,
                         std::size_t max_matches_per_feature, int threads) {
    const auto query = view(words);
    const auto w = view(weights);
    const auto features = vector_view(candidate_words);
    const auto begins = vector_view(offsets);
    if (w.rows != query.rows || w.cols != query.cols)
        throw py::value_error("weights and words differ in shape");
    if (begins.empty() || begins.front() != 0 ||
        begins.back() != static_cast<std::int64_t>(features.size()) ||
        !std::is_sorted(begins.begin(), begins.end()))
        throw py::value_error("offsets must ascend from 0 to the number of words");
    MatchesOf<double> matches;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        matches = match_words(query, w, features, begins, max_matches_per_feature, threads);
    }
    return arrays_of(matches);
}

}  // namespace

void bind_match(py::module_& m) {
    bind_match_pair<std::uint8_t, std::int32_t>(m);
    bind_match_pair<float, float>(m);
    m.def("match_shortlist", &match, "descriptors"_a.noconvert(), "words"_a.noconvert(),
          "max_distances"_a.noconvert(), "candidates"_a, "max_matches"_a, "threads"_a);
    m.def("match_signatures", &match_by_signatures, "words"_a.noconvert(),
          "signatures"_a.noconvert(), "max_distance"_a, "candidates"_a, "max_matches"_a,
          "threads"_a);
    m.def("match_words", &match_by_words, "words"_a.noconvert(), "weights"_a.noconvert(),
          "candidate_words"_a.noconvert(), "offsets"_a.noconvert(), "max_matches_per_feature"_a,
          "threads"_a);
}

}  // namespace trouvaille::python
