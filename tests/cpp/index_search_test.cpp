// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "index/build.hpp"
#include "index/search.hpp"
#include "index/sketch.hpp"
#include "index/units.hpp"
#include "sparse.hpp"

using namespace trouvaille;
using namespace trouvaille::test;

namespace {

constexpr std::uint64_t num_words = 24;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr int thread_counts[] = {1, 5};

struct Found {
    std::vector<double> scores;
    std::vector<std::int64_t> rows;

    bool operator==(const Found&) const = default;
};

Found search(const Reader& reader, const Rows& queries, std::size_t k, Masks masks, int threads) {
    const std::size_t n = queries.size();
    Found found{std::vector<double>(n * k), std::vector<std::int64_t>(n * k)};
    reader.search(queries.view(), masks, {found.scores.data(), n, k}, {found.rows.data(), n, k},
                  threads);
    return found;
}

// Blocks of the given sizes with what belongs to them, and what they hold as rows.
struct Collection {
    std::vector<OwnedBlock> blocks;
    std::vector<std::vector<double>> factors;
    std::vector<std::vector<std::uint64_t>> alive, masks;
    std::vector<std::span<const std::uint64_t>> mask_views;
    std::vector<std::int64_t> ids;
    std::vector<double> word_weights;
    std::vector<std::map<std::uint32_t, float>> rows;  // as kept
    std::vector<double> factor_of_row;                 // 1 where there are none
    std::vector<bool> may_be_found;

    // Everything but the blocks themselves is there if `dressed`. Block i keeps values the i-th
    // way.
    Collection(std::span<const std::size_t> sizes, std::span<const Keeping> keepings,
               std::span<const float> drawn, bool dressed) {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const std::size_t n = sizes[i];
            const Rows raw(n, i, num_words, drawn);
            blocks.push_back(build_block(raw.view(), num_words, keepings[i % keepings.size()]));
            Random random(11, i);
            std::vector<double> f(dressed ? n : 0);
            for (double& factor : f) factor = 0.25 + random.uniform();
            factors.push_back(f);
            // The first block has all its documents, and may be found; the last none.
            const bool none = i > 0 && i + 1 == sizes.size();
            for (auto* bits : {&alive, &masks}) {
                bits->emplace_back();
                if (dressed && i > 0) bits->back() = random_bits(n, 7 * i + (bits == &alive));
            }
            if (dressed && none) std::fill(masks.back().begin(), masks.back().end(), 0);
        }
        for (const auto& mask : masks) mask_views.emplace_back(mask);
        read_back();
        if (!dressed) return;
        for (std::size_t row = 0; row < rows.size(); ++row)  // fall, and rise again
            ids.push_back(static_cast<std::int64_t>(row * 7919 % 10'007));
        for (std::uint64_t w = 0; w < num_words; ++w)
            word_weights.push_back(std::log(1.5 + static_cast<double>(w)));
        word_weights[5] = 0;
    }

    Collection(const Collection&) = delete;  // it holds views of itself

    void read_back() {
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const OwnedRows read = block_rows(blocks[i].view());
            for (std::size_t d = 0; d < blocks[i].n_documents; ++d) {
                rows.emplace_back();
                for (auto e = static_cast<std::size_t>(read.offsets[d]);
                     e < static_cast<std::size_t>(read.offsets[d + 1]); ++e)
                    rows.back()[read.words[e]] = read.values[e];
                factor_of_row.push_back(factors[i].empty() ? 1 : factors[i][d]);
                may_be_found.push_back(has_bit(alive[i], d) && has_bit(masks[i], d));
            }
        }
    }

    std::vector<Part> parts() const {
        std::vector<Part> parts;
        for (std::size_t i = 0; i < blocks.size(); ++i)
            parts.push_back(
                {blocks[i].view(), block_facts(blocks[i].view()), factors[i], alive[i]});
        return parts;
    }
    double weight(std::uint32_t word) const {
        return word_weights.empty() ? 1 : word_weights[word];
    }
    std::int64_t id(std::size_t row) const {
        return ids.empty() ? static_cast<std::int64_t>(row) : ids[row];
    }
};

double rooted_double(float x, int roots) {
    return static_cast<double>(rooted(x, roots));
}

using Weighted = std::map<std::uint32_t, double>;

Weighted weighted_query(const Collection& all, const Scoring& scoring,
                        const std::map<std::uint32_t, float>& query) {
    Weighted result;
    double sum = 0;
    for (const auto& [word, value] : query) {
        const double q = all.weight(word) * rooted_double(value, scoring.query_roots);
        sum += scoring.norm == Norm::l2 ? q * q : std::abs(q);
        if (q != 0) result[word] = q;
    }
    const double norm = scoring.norm == Norm::l2 ? std::sqrt(sum) : sum;
    for (auto& [word, q] : result) {
        if (scoring.norm != Norm::none) q /= norm;
        if (scoring.hellinger) q = std::sqrt(q);
    }
    return result;
}

// A score or distance, and how far from it a computed one may be.
struct Scored {
    double score = 0, tolerance = 0;
};

Scored dense_distance(const Collection& all, const Scoring& scoring, const Weighted& query,
                      std::size_t row) {
    Weighted difference = query;
    for (const auto& [word, value] : all.rows[row])
        difference[word] -= all.weight(word) * rooted_double(value, scoring.document_roots) *
                            all.factor_of_row[row];
    double sum = 0;
    for (const auto& [word, d] : difference) sum += std::pow(std::abs(d), scoring.p);
    const double distance = std::pow(sum, 1 / scoring.p);
    const bool exact = scoring.p == 1 || scoring.p == 2 || scoring.p > 8;
    return {distance, distance * (exact ? 0x1p-30 : 0x1p-20 / scoring.p)};
}

Scored dense_score(const Collection& all, const Scoring& scoring, const Weighted& query,
                   std::size_t row) {
    if (scoring.kernel == KernelName::power) return dense_distance(all, scoring, query, row);
    const double factor = all.factor_of_row[row];
    double sum = 0, magnitudes = 0, greatest = 0;
    for (const auto& [word, q] : query) {
        greatest += std::abs(q);
        const auto found = all.rows[row].find(word);
        if (found == all.rows[row].end()) continue;
        const double x = rooted_double(found->second, scoring.document_roots + scoring.hellinger);
        double g = all.weight(word);
        if (scoring.hellinger) g = std::sqrt(g);
        double each = q * g * x * factor;
        if (scoring.kernel == KernelName::bm25) each = q * x / (x + factor);
        if (scoring.kernel == KernelName::minimum) each = std::min(q, g * x * factor);
        sum += each;
        magnitudes += std::abs(each);
    }
    // A product of the dot kernel is rounded twice in float32.
    const double rounding = scoring.kernel == KernelName::dot ? 0x1p-23 : 0x1p-50;
    return {sum, rounding * magnitudes + 0x1p-50 * greatest};
}

// The full ranking of a query against a double loop.
void check_query(const Collection& all, const Scoring& scoring, const Weighted& query,
                 std::span<const double> scores, std::span<const std::int64_t> rows) {
    const bool is_distance = scoring.kernel == KernelName::power;
    std::vector<bool> seen(all.rows.size());
    std::size_t n = 0;
    for (; n < rows.size() && rows[n] >= 0; ++n) {
        const auto row = static_cast<std::size_t>(rows[n]);
        CHECK(!seen[row]);
        seen[row] = true;
        const Scored expected = dense_score(all, scoring, query, row);
        CHECK(std::abs(scores[n] - expected.score) <= expected.tolerance);
        if (n == 0) continue;
        const double better = is_distance ? scores[n] - scores[n - 1] : scores[n - 1] - scores[n];
        CHECK(better > 0 ||
              (better == 0 && all.id(static_cast<std::size_t>(rows[n - 1])) < all.id(row)));
    }
    for (std::size_t i = n; i < rows.size(); ++i) {
        CHECK_EQUAL(rows[i], -1);
        CHECK_EQUAL(scores[i], is_distance ? infinity : -infinity);
    }
    CHECK(seen == all.may_be_found);
}

// The first k of a ranking of `all`; its scores up to and with a threshold.
void check_fewer(const Reader& reader, const Collection& all, bool is_distance, const Rows& queries,
                 const Found& full) {
    const std::size_t n = all.rows.size();
    std::vector<double> found;
    for (const double score : full.scores)
        if (std::isfinite(score)) found.push_back(score);
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2),
                     found.end());
    const double threshold = found[found.size() / 2];  // one of the scores, and so it is found
    Found first, within;
    std::vector<std::int64_t> offsets{0};
    for (std::size_t q = 0; q < queries.size(); ++q) {
        for (std::size_t i = 0; i < n; ++i) {
            const double score = full.scores[q * n + i];
            const std::int64_t row = full.rows[q * n + i];
            if (i < 5) {
                first.scores.push_back(score);
                first.rows.push_back(row);
            }
            if (row < 0 || (is_distance ? score > threshold : score < threshold)) continue;
            within.scores.push_back(score);
            within.rows.push_back(row);
        }
        offsets.push_back(static_cast<std::int64_t>(within.rows.size()));
    }
    for (const int threads : thread_counts) {
        CHECK(search(reader, queries, 5, all.mask_views, threads) == first);
        const RangeFound range =
            reader.range_search(queries.view(), threshold, all.mask_views, threads);
        CHECK(range.offsets == offsets && range.scores == within.scores &&
              range.rows == within.rows);
    }
}

Rows first_rows(const Rows& rows, std::size_t n) {
    Rows first;
    for (std::size_t i = 0; i < n; ++i) first.append(rows.row(i));
    return first;
}

void check_search(const Collection& all, const Scoring& scoring, const Rows& queries) {
    const std::size_t n = all.rows.size();
    Found expected;
    for_each_isa([&] {
        const Reader reader(scoring, all.parts(), {all.word_weights}, all.ids, Magnitudes{}, 5);
        CHECK_EQUAL(reader.n_rows(), n);
        const Found full = search(reader, queries, n, all.mask_views, 1);
        if (expected.rows.empty()) {
            expected = full;
            for (std::size_t q = 0; q < queries.size(); ++q)
                check_query(all, scoring, weighted_query(all, scoring, queries.row(q)),
                            std::span(full.scores).subspan(q * n, n),
                            std::span(full.rows).subspan(q * n, n));
        }
        CHECK(full == expected);
        CHECK(search(reader, queries, n, all.mask_views, 5) == expected);
        check_fewer(reader, all, scoring.kernel == KernelName::power, queries, full);
        // One query is spread over parts.
        const Found one = search(reader, first_rows(queries, 1), n, all.mask_views, 5);
        CHECK(std::equal(one.rows.begin(), one.rows.end(), expected.rows.begin()));
        CHECK(std::equal(one.scores.begin(), one.scores.end(), expected.scores.begin()));
    });
}

constexpr std::size_t sizes[] = {130, 1, 64, 100};
constexpr Keeping all_keepings[] = {
    {}, {Storage::uint8, 0.03F}, {Storage::float16}, {Storage::float32}};
constexpr Keeping signed_keepings[] = {{}, {Storage::float16}};
// Powers of these differ by less than float64 resolves, with p = 9, too.
constexpr float small_values[] = {1, 1, 1, 2, 3};
constexpr double powers[] = {0.5, 1, 1.5, 2, 2.7, 3, 9};

// Of rows like the documents', far smaller and larger ones, and ones of both: sums are then
// float64.
Rows queries_like(std::span<const float> drawn) {
    Rows queries(9, 1, num_words, drawn);
    for (const auto& [even, odd] : {std::pair{1e-20F, 1e-20F}, {1e20F, 1e20F}, {1e-18F, 1}})
        for (std::size_t i = 0; i < 3; ++i) {
            auto row = queries.row(i);
            for (auto& [word, value] : row) value *= word % 2 == 0 ? even : odd;
            queries.append(row);
        }
    return queries;
}

}  // namespace

TEST(similarities_equal_a_dense_loop) {
    for (const bool dressed : {false, true}) {
        for (const std::span<const float> drawn :
             {std::span<const float>(whole_values), std::span<const float>(positive_values)}) {
            // Whole numbers are kept as counts everywhere, and fit no byte.
            const std::span<const Keeping> keepings =
                drawn.data() == whole_values ? std::span(all_keepings, 1) : std::span(all_keepings);
            const Collection all(sizes, keepings, drawn, dressed);
            const Rows queries = queries_like(drawn);
            for (const Norm norm : {Norm::none, Norm::l1, Norm::l2}) {
                check_search(all, {.kernel = KernelName::dot, .norm = norm}, queries);
                check_search(all, {.kernel = KernelName::minimum, .norm = norm}, queries);
            }
            const Scoring roots{.document_roots = 1, .query_roots = 2, .norm = Norm::l1};
            for (const KernelName kernel : {KernelName::dot, KernelName::minimum}) {
                Scoring scoring = roots;
                scoring.kernel = kernel;
                check_search(all, scoring, queries);
                scoring.hellinger = kernel == KernelName::dot;
                check_search(all, scoring, queries);
            }
            if (dressed) check_search(all, {.kernel = KernelName::bm25}, queries);
        }
        Collection all(sizes, signed_keepings, signed_values, dressed);
        check_search(all, {.norm = Norm::l2}, queries_like(signed_values));
        for (double& weight : all.word_weights) weight = 1 - weight;  // of both signs
        check_search(all, {}, queries_like(signed_values));
    }
}

TEST(distances_equal_a_dense_loop) {
    for (const bool dressed : {false, true})
        for (const double p : powers) {
            const std::span<const float> drawn =
                p > 8 ? std::span<const float>(small_values) : std::span<const float>(whole_values);
            const Collection counts(sizes, std::span(all_keepings, 1), drawn, dressed);
            check_search(counts, {.kernel = KernelName::power, .p = p}, queries_like(drawn));
            const Collection all(sizes, signed_keepings, signed_values, dressed);
            check_search(all, {.kernel = KernelName::power, .p = p, .norm = Norm::l2},
                         queries_like(signed_values));
        }
}

TEST(equal_vectors_are_at_zero) {
    for (const double p : powers) {
        const std::size_t size[] = {200};
        const Collection all(size, std::span(all_keepings, 1), positive_values, false);
        Rows queries;
        for (const auto& row : all.rows) queries.append(row);
        const Scoring scoring{.kernel = KernelName::power, .p = p};
        const Reader reader(scoring, all.parts(), {}, {}, Magnitudes{}, 1);
        const Found found = search(reader, queries, 1, {}, 1);
        CHECK(found.scores == std::vector<double>(200));
        const RangeFound range = reader.range_search(queries.view(), 0, {}, 1);
        CHECK(range.rows.size() >= 200);
        CHECK(range.scores == std::vector<double>(range.rows.size()));
    }
}

TEST(a_sketch_leaves_few_documents_and_all_of_the_best) {
    constexpr float counts[] = {1, 1, 1, 2, 5};
    const Rows rows(20'000, 3, num_words, counts);
    const OwnedBlock block = build_block(rows.view(), num_words, {Storage::counts});
    const Block view = block.view();
    std::vector<double> factors(whole_groups(rows.size()), 1.0);
    Random random(5, 0);
    for (std::size_t d = 0; d < rows.size(); ++d) factors[d] = 0.4 + 2 * random.uniform();
    const FactorClasses classes = classes_of(std::span(factors).first(rows.size()));
    constexpr std::uint32_t words[] = {1, 6, 14, 23};
    const std::vector<Bm25Kernel> kernels{{0x1p50}, {0x1.3p51}, {0x1.7p52}, {0x1.1p54}};
    std::vector<std::int64_t> sums(rows.size());
    for (std::size_t d = 0; d < rows.size(); ++d)
        for (std::size_t t = 0; t < kernels.size(); ++t)
            sums[d] += kernels[t].operator()<4>(splat<4>(value_of(view, words[t], d)),
                                                Doubles<4>{} + factors[d])[0];
    QueryRuns runs;
    find_runs(view, kernels.size(), [&](std::size_t t) { return words[t]; }, runs);
    SketchWork work;
    for (const std::size_t k : {1, 10, 100}) {
        std::vector<std::int64_t> sorted = sums;
        std::sort(sorted.begin(), sorted.end(), std::greater<>());
        for (const std::int64_t least : {std::int64_t{0}, sorted[k - 1]}) {
            const auto found = sketched(
                {&view, &classes, factors.data(), 0, kernels, &runs, {}, {}, least, k}, work);
            CHECK(found.has_value());
            CHECK(found->size() < k + rows.size() / 32);
            std::vector<bool> has(rows.size());
            for (const Candidate& candidate : *found) {
                CHECK(candidate.sum == sums[candidate.document]);
                CHECK(!has[candidate.document]);
                has[candidate.document] = true;
            }
            for (std::size_t d = 0; d < rows.size(); ++d) CHECK(sums[d] < sorted[k - 1] || has[d]);
        }
    }
}

TEST(scores_do_not_depend_on_how_blocks_keep_the_same_values) {
    const Rows rows(333, 3, num_words, whole_values);
    const Rows queries(12, 4, num_words, positive_values);
    std::vector<double> weights(num_words);
    for (std::size_t w = 0; w < num_words; ++w) weights[w] = std::log(1.7 + static_cast<double>(w));
    const std::vector<double> factors(rows.size(), 0.3);
    std::vector<Scoring> scorings;
    for (const KernelName kernel : {KernelName::dot, KernelName::bm25, KernelName::minimum})
        scorings.push_back({.kernel = kernel});
    for (const double p : powers) scorings.push_back({.kernel = KernelName::power, .p = p});
    for (const Scoring& scoring : scorings) {
        // The products of counts are float64's; blocks of both kinds are never in one collection.
        std::vector<Storage> storages{Storage::float32, Storage::float16};
        if (scoring.kernel != KernelName::dot) storages.push_back(Storage::counts);
        Found expected;
        for (const Storage storage : storages)
            for (const std::size_t n_blocks : {1, 3, 50}) {
                const auto blocks = build_blocks(rows.view(), num_words, {storage}, n_blocks, 1);
                std::vector<Part> parts;
                for (const OwnedBlock& block : blocks)
                    parts.push_back({block.view(),
                                     block_facts(block.view()),
                                     std::span(factors).first(block.n_documents),
                                     {}});
                const Reader reader(scoring, parts, {weights}, {}, Magnitudes{1, 700}, 1);
                const Found found = search(reader, queries, rows.size(), {}, 1);
                if (expected.rows.empty()) expected = found;
                CHECK(found == expected);
            }
    }
}
