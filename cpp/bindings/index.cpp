// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "core/size.hpp"
#include "index/block.hpp"
#include "index/build.hpp"
#include "index/postings.hpp"
#include "index/search.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

template <class T>
using Optional = std::optional<Array<T>>;
using Bits = Optional<std::uint64_t>;

bool rise(std::span<const std::int64_t> offsets, std::size_t n_entries) {
    return !offsets.empty() && offsets[0] >= 0 && std::is_sorted(offsets.begin(), offsets.end()) &&
           static_cast<std::size_t>(offsets.back()) <= n_entries;
}

// That words and values are within range has been checked once, in Python; here only lengths.
SparseRows rows_view(const Array<std::int64_t>& offsets, const Array<std::uint32_t>& words,
                     const Array<float>& values) {
    const SparseRows rows{vector_view(offsets), vector_view(words), vector_view(values)};
    if (rows.words.size() != rows.values.size() || !rise(rows.offsets, rows.words.size()))
        throw py::value_error("sparse rows: lengths differ");
    return rows;
}

void check_words(SparseRows rows, std::uint64_t num_words) {
    if (std::any_of(rows.words.begin(), rows.words.end(),
                    [=](std::uint32_t word) { return word >= num_words; }))
        throw py::value_error("sparse rows: a word is out of range");
}

/// The data of a contiguous, aligned vector of this type; null if it is anything else.
template <class T>
const T* plain_data(const py::array& a) {
    if (!py::isinstance<Array<T>>(a) || a.ndim() != 1) return nullptr;
    const T* data = static_cast<const T*>(a.data());
    return reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0 ? data : nullptr;
}

/// Says whether the words of every row ascend, each given once, and are below `num_words`.
template <class T>
bool words_ascend(std::span<const std::int64_t> offsets, const T* words, std::uint64_t num_words) {
    for (std::size_t i = 1; i < offsets.size(); ++i) {
        const std::int64_t begin = offsets[i - 1], end = offsets[i];
        if (begin == end) continue;
        if (words[begin] < T{0} || static_cast<std::uint64_t>(words[end - 1]) >= num_words)
            return false;
        bool rises = true;
        for (std::int64_t j = begin + 1; j < end; ++j) rises &= words[j - 1] < words[j];
        if (!rises) return false;
    }
    return true;
}

/// Says whether every value is within the limits in magnitude: neither 0 nor NaN, then.
template <class T>
bool are_within(std::span<const T> values, T smallest, T largest) {
    return std::all_of(values.begin(), values.end(), [=](T x) {
        return (x >= smallest && x <= largest) || (x <= -smallest && x >= -largest);
    });
}

/// Says whether rows need but be converted to the types that the kernels take: the words of each
/// ascend, and every value is between the limits in magnitude. False as well where one would have
/// to look closer: a whole number that float64 may not have, or arrays of other types.
bool rows_are_tidy(const Array<std::int64_t>& offsets, const py::array& words,
                   const py::array& values, std::uint64_t num_words, double smallest,
                   double largest) {
    constexpr std::int64_t exact = std::int64_t{1} << 53;  // in float64, from 1 on
    const auto rows = vector_view(offsets);
    if (!rise(rows, static_cast<std::size_t>(words.size())))
        throw py::value_error("sparse rows: offsets must rise to the number of words at most");
    if (values.size() != words.size()) return false;
    const auto n = static_cast<std::size_t>(values.size());
    const auto* int32s = plain_data<std::int32_t>(words);
    const auto* int64s = plain_data<std::int64_t>(words);
    const auto* uint32s = plain_data<std::uint32_t>(words);
    const auto* floats = plain_data<float>(values);
    const auto* doubles = plain_data<double>(values);
    const auto* counts = plain_data<std::int64_t>(values);
    std::optional<ReleasedGil> nogil;  // no Python object is touched from here on
    if (n > 10'000) nogil.emplace();   // to get it back may take longer than a few need
    const bool ascend = (int32s && words_ascend(rows, int32s, num_words)) ||
                        (int64s && words_ascend(rows, int64s, num_words)) ||
                        (uint32s && words_ascend(rows, uint32s, num_words));
    if (!ascend) return false;
    return (floats && are_within(std::span(floats, n), static_cast<float>(smallest),
                                 static_cast<float>(largest))) ||
           (doubles && are_within(std::span(doubles, n), smallest, largest)) ||
           (counts && are_within(std::span(counts, n), std::int64_t{1}, exact));
}

template <class T>
std::span<const T> optional_view(const Optional<T>& a, std::size_t size, const char* name) {
    if (!a) return {};
    const auto values = vector_view(*a);
    if (values.size() != size)
        throw py::value_error(std::string(name) + " must be " + std::to_string(size) +
                              " long, got " + std::to_string(values.size()));
    return values;
}

std::span<const std::uint64_t> bits_view(const Bits& bits, std::size_t n, const char* name) {
    return optional_view(bits, (n + 63) / 64, name);
}

// A read-only array on memory that `owner` keeps.
template <class T>
Array<T> shared(std::span<const T> from, const py::object& owner) {
    Array<T> to({static_cast<py::ssize_t>(from.size())}, {sizeof(T)}, from.data(), owner);
    py::detail::array_proxy(to.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return to;
}

/// A block, made here or shown by arrays: memory-mapped ones, say.
class InvertedBlock {
  public:
    explicit InvertedBlock(OwnedBlock owned)
        : owned_(std::move(owned)), block_(owned_.view()), facts_(block_facts(block_)) {}

    InvertedBlock(Block block, py::dict arrays) : block_(block), arrays_(std::move(arrays)) {
        const ReleasedGil nogil;  // no Python object is touched in this block
        facts_ = check_block(block_);
    }

    const Block& view() const { return block_; }
    const BlockFacts& facts() const { return facts_; }
    KeptPowers* powers() { return &powers_; }

  private:
    OwnedBlock owned_;
    Block block_;
    BlockFacts facts_;
    KeptPowers powers_;
    py::object arrays_;  // keeps alive what `block_` shows; null if made here, without the GIL
};

using BlockHandle = std::shared_ptr<InvertedBlock>;

Storage storage_named(const std::string& name) {
    const auto found = std::find(std::begin(storage_names), std::end(storage_names), name);
    if (found == std::end(storage_names)) throw py::value_error("storage: no such name: " + name);
    return static_cast<Storage>(found - std::begin(storage_names));
}

std::vector<BlockHandle> handles(std::vector<OwnedBlock> blocks) {
    std::vector<BlockHandle> result;
    for (OwnedBlock& block : blocks)
        result.push_back(std::make_shared<InvertedBlock>(std::move(block)));
    return result;
}

std::vector<BlockHandle> build(const Array<std::int64_t>& offsets,
                               const Array<std::uint32_t>& words, const Array<float>& values,
                               std::uint64_t num_words, const std::string& storage, float step,
                               std::size_t n_blocks, int threads) {
    const SparseRows rows = rows_view(offsets, words, values);
    Keeping keeping;
    if (storage != "auto") keeping = {storage_named(storage), step};
    const ReleasedGil nogil;  // no Python object is touched from here on
    check_words(rows, num_words);
    return handles(build_blocks(rows, num_words, keeping, n_blocks, threads));
}

std::vector<BlockHandle> merge(const std::vector<BlockHandle>& blocks,
                               const std::vector<Bits>& alive) {
    if (alive.size() != blocks.size()) throw py::value_error("alive must have one item a block");
    std::vector<LivingBlock> living;
    for (std::size_t i = 0; i < blocks.size(); ++i)
        living.push_back(
            {blocks[i]->view(), bits_view(alive[i], blocks[i]->view().n_documents, "alive")});
    const ReleasedGil nogil;  // no Python object is touched from here on
    return handles(merge_blocks(living));
}

template <class T>
std::span<const T> array_named(const py::dict& arrays, const char* name) {
    if (!arrays.contains(name)) return {};
    if (!py::isinstance<Array<T>>(arrays[name]))
        throw py::value_error(std::string(name) + ": an array of another kind");
    return vector_view(py::cast<Array<T>>(arrays[name]));
}

BlockHandle from_arrays(const std::string& storage, std::uint64_t num_words,
                        std::uint32_t n_documents, const py::dict& arrays, float step) {
    return std::make_shared<InvertedBlock>(Block{storage_named(storage), n_documents, num_words,
                                                 step, array_named<std::uint32_t>(arrays, "words"),
                                                 array_named<std::uint32_t>(arrays, "starts"),
                                                 array_named<std::uint16_t>(arrays, "stream")},
                                           py::dict(arrays));
}

py::dict block_arrays(const BlockHandle& block) {
    const py::object owner = py::cast(block);
    py::dict arrays;
    arrays["starts"] = shared(block->view().starts, owner);
    arrays["stream"] = shared(block->view().stream, owner);
    if (!block->view().words.empty()) arrays["words"] = shared(block->view().words, owner);
    return arrays;
}

std::size_t block_bytes(const InvertedBlock& block) {
    const Block& view = block.view();
    return view.words.size_bytes() + view.starts.size_bytes() + view.stream.size_bytes();
}

void count_documents(const InvertedBlock& block, Array<std::int64_t>& frequencies,
                     const Bits& alive) {
    const auto out = mutable_vector_view(frequencies);
    if (out.size() != block.view().num_words)
        throw py::value_error("frequencies must have one item a word");
    const auto bits = bits_view(alive, block.view().n_documents, "alive");
    const ReleasedGil nogil;  // no Python object is touched from here on
    add_frequencies(block.view(), bits, out);
}

/// The words that live documents have, ascending, and how many have each.
py::tuple frequencies_of(const InvertedBlock& block, const Bits& alive) {
    const Block& view = block.view();
    const auto bits = bits_view(alive, view.n_documents, "alive");
    std::vector<std::uint32_t> words;
    std::vector<std::int64_t> counts;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        Block numbered = view;    // its lists are those of words 0, 1, 2, ...
        numbered.words = {};
        numbered.num_words = view.lists();
        counts.resize(view.lists());
        add_frequencies(numbered, bits, counts);
        for (std::size_t i = 0; i < counts.size(); ++i)
            if (counts[i] > 0) words.push_back(static_cast<std::uint32_t>(view.word(i)));
        std::erase(counts, 0);
    }
    return py::make_tuple(copied(words), copied(counts));
}

py::tuple list_of(const InvertedBlock& block, std::uint64_t word) {
    const Block& view = block.view();
    if (word >= view.num_words) throw py::value_error("word is out of range");
    std::vector<std::pair<std::uint32_t, float>> postings;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        for_each_posting(
            view, find_list(view, static_cast<std::uint32_t>(word)),
            [&](std::uint16_t document, float x) { postings.emplace_back(document, x); });
        std::sort(postings.begin(), postings.end());
    }
    Array<std::uint32_t> found(static_cast<py::ssize_t>(postings.size()));
    Array<float> amounts(static_cast<py::ssize_t>(postings.size()));
    for (std::size_t i = 0; i < postings.size(); ++i) {
        found.mutable_data()[i] = postings[i].first;
        amounts.mutable_data()[i] = postings[i].second;
    }
    return py::make_tuple(found, amounts);
}

py::tuple rows_of(const InvertedBlock& block) {
    OwnedRows rows;
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        rows = block_rows(block.view());
    }
    return py::make_tuple(copied(rows.offsets), copied(rows.words), copied(rows.values));
}

/// Weights of words as Python keeps them: numbers, what words these are of (all, if none are
/// listed), and the number of all others. None: all weigh 1.
using GivenWeights = std::optional<std::tuple<Array<double>, Optional<std::uint32_t>, double>>;

WordWeights weights_view(const GivenWeights& given, std::uint64_t num_words) {
    if (!given) return {};
    const auto& [numbers, listed, other] = *given;
    const std::size_t n = listed ? static_cast<std::size_t>(listed->size()) : num_words;
    const WordWeights weights{optional_view(Optional<double>(numbers), n, "word_weights"),
                              optional_view(listed, n, "word_weights"), other};
    if (!std::is_sorted(weights.listed.begin(), weights.listed.end()))
        throw py::value_error("words of word_weights must ascend");
    return weights;
}

Norm norm_named(const std::string& name) {
    if (name == "none") return Norm::none;
    if (name == "l1" || name == "sum") return Norm::l1;  // counts are not negative
    if (name == "l2") return Norm::l2;
    throw py::value_error("norm: no such name: " + name);
}

Array<double> norms_of(const InvertedBlock& block, const std::string& norm,
                       const GivenWeights& word_weights, int roots) {
    const WordWeights weights = weights_view(word_weights, block.view().num_words);
    const Norm kind = norm_named(norm);
    Array<double> result(static_cast<py::ssize_t>(block.view().n_documents));
    const auto out = mutable_vector_view(result);
    const ReleasedGil nogil;  // no Python object is touched from here on
    block_norms(block.view(), kind, roots, weights, out);
    return result;
}

KernelName kernel_named(const std::string& name) {
    if (name == "dot") return KernelName::dot;
    if (name == "bm25") return KernelName::bm25;
    if (name == "minimum") return KernelName::minimum;
    if (name == "power") return KernelName::power;
    throw py::value_error("kernel: no such name: " + name);
}

/// A Reader with all that it shows.
class InvertedReader {
  public:
    InvertedReader(std::vector<BlockHandle> blocks, const Scoring& scoring,
                   GivenWeights word_weights, std::optional<std::vector<Array<double>>> factors,
                   std::vector<Bits> alive, Optional<std::int64_t> ids, std::uint64_t num_words,
                   Magnitudes magnitudes, bool steady, int threads)
        : blocks_(std::move(blocks)),
          word_weights_(std::move(word_weights)),
          factors_(std::move(factors)),
          alive_(std::move(alive)),
          ids_(std::move(ids)),
          num_words_(num_words) {
        if (factors_ && factors_->size() != blocks_.size())
            throw py::value_error("factors must have one item a block");
        if (alive_.size() != blocks_.size())
            throw py::value_error("alive must have one item a block");
        if (scoring.kernel == KernelName::bm25 && !factors_)
            throw py::value_error("factors must be given for bm25");
        std::vector<Part> parts;
        std::size_t n_rows = 0;
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            const std::size_t n = blocks_[i]->view().n_documents;
            if (blocks_[i]->view().num_words != num_words)
                throw py::value_error("a block has another number of words");
            Part part{
                blocks_[i]->view(), blocks_[i]->facts(), {}, bits_view(alive_[i], n, "alive")};
            if (steady) part.kept = blocks_[i]->powers();
            if (factors_) part.factors = vector_view((*factors_)[i]);
            if (factors_ && part.factors.size() != n)
                throw py::value_error("factors must have one number a document");
            parts.push_back(part);
            n_rows += n;
        }
        const WordWeights weights = weights_view(word_weights_, num_words);
        const auto names = optional_view(ids_, n_rows, "ids");
        const ReleasedGil nogil;  // no Python object is touched from here on
        reader_ = std::make_unique<Reader>(scoring, std::move(parts), weights, names, magnitudes,
                                           threads);
    }

    py::tuple search(const Array<std::int64_t>& offsets, const Array<std::uint32_t>& words,
                     const Array<float>& values, std::size_t k, int threads,
                     const std::optional<std::vector<Bits>>& masks) const {
        const SparseRows queries = rows_view(offsets, words, values);
        const auto mask_views = views_of(masks);
        checked_mul(checked_mul(queries.rows(), k, "result"), sizeof(double), "result");
        Array<double> scores({queries.rows(), k});
        Array<std::int64_t> rows({queries.rows(), k});
        const auto out_scores = mutable_view(scores);
        const auto out_rows = mutable_view(rows);
        {
            const ReleasedGil nogil;  // no Python object is touched in this block
            check_words(queries, num_words_);
            reader_->search(queries, mask_views, out_scores, out_rows, threads);
        }
        return py::make_tuple(scores, rows);
    }

    py::tuple range_search(const Array<std::int64_t>& offsets, const Array<std::uint32_t>& words,
                           const Array<float>& values, double threshold, int threads,
                           const std::optional<std::vector<Bits>>& masks) const {
        const SparseRows queries = rows_view(offsets, words, values);
        const auto mask_views = views_of(masks);
        RangeFound found;
        {
            const ReleasedGil nogil;  // no Python object is touched in this block
            check_words(queries, num_words_);
            found = reader_->range_search(queries, threshold, mask_views, threads);
        }
        return py::make_tuple(copied(found.offsets), copied(found.scores), copied(found.rows));
    }

  private:
    std::vector<std::span<const std::uint64_t>> views_of(
        const std::optional<std::vector<Bits>>& masks) const {
        std::vector<std::span<const std::uint64_t>> views;
        if (!masks) return views;
        if (masks->size() != blocks_.size())
            throw py::value_error("masks must have one item a block");
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            views.push_back(bits_view((*masks)[i], blocks_[i]->view().n_documents, "masks"));
        return views;
    }

    std::vector<BlockHandle> blocks_;
    GivenWeights word_weights_;
    std::optional<std::vector<Array<double>>> factors_;
    std::vector<Bits> alive_;
    Optional<std::int64_t> ids_;
    std::uint64_t num_words_;
    std::unique_ptr<Reader> reader_;
};

void bind_block(py::module_& m) {
    py::class_<InvertedBlock, BlockHandle>(m, "InvertedBlock")
        .def_static("from_arrays", &from_arrays, "storage"_a, "num_words"_a, "n_documents"_a,
                    "arrays"_a, "step"_a = 0.0F)
        .def("arrays", &block_arrays)
        .def_property_readonly("n_documents",
                               [](const InvertedBlock& b) { return b.view().n_documents; })
        .def_property_readonly("n_postings",
                               [](const InvertedBlock& b) { return b.facts().n_postings; })
        .def_property_readonly("num_words",
                               [](const InvertedBlock& b) { return b.view().num_words; })
        .def_property_readonly(
            "storage",
            [](const InvertedBlock& b) {
                return std::string(storage_names[static_cast<std::size_t>(b.view().storage)]);
            })
        .def_property_readonly("step", [](const InvertedBlock& b) { return b.view().step; })
        .def_property_readonly("negative",
                               [](const InvertedBlock& b) { return b.facts().negative; })
        .def_property_readonly("smallest",
                               [](const InvertedBlock& b) { return b.facts().smallest; })
        .def_property_readonly("largest", [](const InvertedBlock& b) { return b.facts().largest; })
        .def_property_readonly("nbytes", &block_bytes)
        .def("add_frequencies", &count_documents, "frequencies"_a.noconvert(),
             "alive"_a.noconvert() = py::none())
        .def("frequencies", &frequencies_of, "alive"_a.noconvert())
        .def("list", &list_of, "word"_a)
        .def("rows", &rows_of)
        .def("norms", &norms_of, "kind"_a, "word_weights"_a.noconvert() = py::none(),
             "roots"_a = 0);
}

void bind_reader(py::module_& m) {
    py::class_<InvertedReader>(m, "InvertedReader")
        .def(py::init([](std::vector<BlockHandle> blocks, const std::string& kernel, double p,
                         int document_roots, int query_roots, const std::string& norm,
                         bool hellinger, GivenWeights word_weights,
                         std::optional<std::vector<Array<double>>> factors, std::vector<Bits> alive,
                         Optional<std::int64_t> ids, std::uint64_t num_words, double smallest,
                         double largest, bool steady, int threads) {
                 const Scoring scoring{.kernel = kernel_named(kernel),
                                       .p = p,
                                       .document_roots = document_roots,
                                       .query_roots = query_roots,
                                       .norm = norm_named(norm),
                                       .hellinger = hellinger};
                 return std::make_unique<InvertedReader>(
                     std::move(blocks), scoring, std::move(word_weights), std::move(factors),
                     std::move(alive), std::move(ids), num_words, Magnitudes{smallest, largest},
                     steady, threads);
             }),
             "blocks"_a, py::kw_only(), "kernel"_a, "p"_a, "document_roots"_a, "query_roots"_a,
             "norm"_a, "hellinger"_a, "word_weights"_a, "factors"_a, "alive"_a, "ids"_a,
             "num_words"_a, "smallest"_a, "largest"_a, "steady"_a, "threads"_a)
        .def("search", &InvertedReader::search, "offsets"_a.noconvert(), "words"_a.noconvert(),
             "values"_a.noconvert(), "k"_a, "threads"_a, "masks"_a = py::none())
        .def("range_search", &InvertedReader::range_search, "offsets"_a.noconvert(),
             "words"_a.noconvert(), "values"_a.noconvert(), "threshold"_a, "threads"_a,
             "masks"_a = py::none());
}

}  // namespace

void bind_index(py::module_& m) {
    bind_block(m);
    bind_reader(m);
    m.def("rows_are_tidy", &rows_are_tidy, "offsets"_a.noconvert(), "words"_a.noconvert(),
          "values"_a.noconvert(), "num_words"_a, "smallest"_a, "largest"_a);
    m.def("build_blocks", &build, "offsets"_a.noconvert(), "words"_a.noconvert(),
          "values"_a.noconvert(), "num_words"_a, "storage"_a, "step"_a, "n_blocks"_a, "threads"_a);
    m.def("merge_blocks", &merge, "blocks"_a, "alive"_a);
}

}  // namespace trouvaille::python
