// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "index/block.hpp"
#include "index/build.hpp"
#include "index/kernels.hpp"
#include "sparse.hpp"

using namespace trouvaille;
using namespace trouvaille::test;

namespace {

constexpr Keeping keepings[] = {
    {}, {Storage::counts}, {Storage::float32}, {Storage::float16}, {Storage::uint8, 0.03F}};
// A full directory; a sparse one, of words that are few, or fewer than there is room to count.
constexpr std::uint64_t directories[] = {24, 5'000, std::uint64_t{1} << 32};

std::span<const float> values_for(const Keeping& keeping) {
    if (!keeping.storage || keeping.storage == Storage::counts) return whole_values;
    if (keeping.storage == Storage::uint8) return positive_values;
    return signed_values;
}

float kept(float x, const Keeping& keeping) {
    if (keeping.storage == Storage::float16) return half_to_float(float_to_half(x));
    if (keeping.storage == Storage::uint8) return std::nearbyint(x / keeping.step) * keeping.step;
    return x;
}

Rows kept(const Rows& rows, const Keeping& keeping) {
    Rows result;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::map<std::uint32_t, float> row = rows.row(i);
        for (auto& [word, value] : row) value = kept(value, keeping);
        std::erase_if(row, [](const auto& entry) { return entry.second == 0; });
        result.append(row);
    }
    return result;
}

void append(Rows& rows, const OwnedBlock& block) {
    const OwnedRows more = block_rows(block.view());
    const std::int64_t before = rows.offsets.back();
    for (std::size_t i = 1; i < more.offsets.size(); ++i)
        rows.offsets.push_back(before + more.offsets[i]);
    rows.words.insert(rows.words.end(), more.words.begin(), more.words.end());
    rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
}

Rows rows_of_blocks(std::span<const OwnedBlock> blocks) {
    Rows rows;
    for (const OwnedBlock& block : blocks) append(rows, block);
    return rows;
}

void check_facts(const Block& block, const Rows& expected) {
    const BlockFacts facts = check_block(block);
    float smallest = std::numeric_limits<float>::infinity(), largest = 0;
    bool negative = false;
    for (const float x : expected.values) {
        smallest = std::min(smallest, std::abs(x));
        largest = std::max(largest, std::abs(x));
        negative |= x < 0;
    }
    CHECK_EQUAL(facts.n_postings, expected.values.size());
    CHECK_EQUAL(facts.largest, largest);
    CHECK_EQUAL(facts.smallest, largest > 0 ? smallest : 0);
    CHECK_EQUAL(facts.negative, negative);
}

// Frequencies of the living, and norms of all.
void check_sums(const Block& block, const Rows& expected) {
    if (block.num_words > 5'000) return;  // there is a number for every word
    const auto alive = random_bits(block.n_documents, 5);
    std::vector<double> weights(block.num_words);
    for (std::size_t w = 0; w < weights.size(); ++w) weights[w] = static_cast<double>(w % 7) - 3;
    std::vector<std::int64_t> frequencies(block.num_words), counted(block.num_words);
    std::vector<double> l1(block.n_documents), l2(block.n_documents);
    add_frequencies(block, alive, frequencies);
    block_norms(block, Norm::l1, 0, {weights}, l1);
    block_norms(block, Norm::l2, 0, {}, l2);
    for (std::size_t d = 0; d < expected.size(); ++d) {
        double sum = 0, squares = 0;
        for (const auto& [word, value] : expected.row(d)) {
            const double x = static_cast<double>(value);
            counted[word] += has_bit(alive, d);
            sum += std::abs(weights[word] * x);
            squares += x * x;
        }
        CHECK_EQUAL(l1[d], sum);
        CHECK_EQUAL(l2[d], std::sqrt(squares));
    }
    CHECK(frequencies == counted);
}

// How a block's lists are written.
struct Forms {
    std::size_t bitmaps = 0, sets = 0, runs_after_the_first = 0;
};

Forms forms_of(const Block& block) {
    Forms forms;
    for (std::size_t i = 0; i < block.lists(); ++i) {
        Run run;
        std::size_t n = 0;
        for (Runs runs(block, {block.starts[i], block.starts[i + 1]}); runs.next(run); ++n) {
            ++(run.bitmap ? forms.bitmaps : forms.sets);
            forms.runs_after_the_first += n > 0;
        }
    }
    return forms;
}

}  // namespace

TEST(rows_come_back_from_a_block) {
    for (const Keeping& keeping : keepings)
        for (const std::uint64_t num_words : directories)
            for (const std::size_t n : {1, 63, 64, 65, 300}) {
                const Rows rows(n, n, num_words, values_for(keeping));
                const OwnedBlock block = build_block(rows.view(), num_words, keeping);
                const Rows expected = kept(rows, keeping);
                CHECK(rows_of_blocks({&block, 1}) == expected);
                CHECK_EQUAL(block.words.empty(), num_words == 24);
                check_facts(block.view(), expected);
                check_sums(block.view(), expected);
            }
}

TEST(blocks_hold_bitmaps_documents_and_runs) {
    for (const Keeping& keeping : keepings) {
        const Rows rows(300, 1, 24, values_for(keeping));
        const OwnedBlock block = build_block(rows.view(), 24, keeping);
        const Forms forms = forms_of(block.view());
        CHECK(forms.bitmaps > 0 && forms.sets > 0);
        CHECK_EQUAL(forms.runs_after_the_first > 0, block.storage == Storage::counts);
    }
}

TEST(blocks_may_be_empty_and_full) {
    for (const std::uint64_t num_words : directories) {
        const Rows none(70, 1, num_words, std::vector<float>{0});
        const OwnedBlock empty = build_block(none.view(), num_words, {});
        CHECK_EQUAL(check_block(empty.view()).n_postings, 0u);
        CHECK(find_list(empty.view(), static_cast<std::uint32_t>(num_words - 1)).empty());
    }
    for (const Keeping& keeping : keepings) {  // the last document has number 65,535
        const Rows rows(max_block_documents, 1, 4, values_for(keeping), 4);
        const OwnedBlock block = build_block(rows.view(), 4, keeping);
        check_block(block.view());
        CHECK(rows_of_blocks({&block, 1}) == kept(rows, keeping));
    }
}

TEST(values_that_do_not_fit_are_refused) {
    const auto build = [](std::vector<float> values, Keeping keeping) {
        const std::vector<std::int64_t> offsets{0, static_cast<std::int64_t>(values.size())};
        const std::vector<std::uint32_t> words(values.size());
        return build_block({offsets, words, values}, 3, keeping);
    };
    CHECK_THROWS(std::invalid_argument, build({3e38F, 3e38F}, {}));
    CHECK_THROWS(std::invalid_argument, build({65'520}, {Storage::float16}));
    CHECK_THROWS(std::invalid_argument, build({-1}, {Storage::uint8, 0.1F}));
    CHECK_THROWS(std::invalid_argument, build({25.6F}, {Storage::uint8, 0.1F}));
    for (const float x : {-1.0F, 0.5F, 1.5F, 65'536.0F})
        CHECK_THROWS(std::invalid_argument, build({x}, {Storage::counts}));
    CHECK(build({65'535}, {}).storage == Storage::counts);
    CHECK(build({65'535, 1}, {}).storage == Storage::float32);
}

TEST(rows_come_back_from_many_blocks) {
    for (const Keeping& keeping : keepings) {
        const Rows rows(500, 2, 24, values_for(keeping));
        for (const std::size_t n_blocks : {1, 7, 1000})
            for (const int threads : {1, 5}) {
                const auto blocks = build_blocks(rows.view(), 24, keeping, n_blocks, threads);
                CHECK_EQUAL(blocks.size(), std::min<std::size_t>(n_blocks, 500));
                CHECK(rows_of_blocks(blocks) == kept(rows, keeping));
            }
    }
    const Rows many(2 * max_block_documents + 1, 3, 2, whole_values, 2);
    const auto blocks = build_blocks(many.view(), 2, {}, 1, 2);
    CHECK_EQUAL(blocks.size(), 3u);
    CHECK(rows_of_blocks(blocks) == kept(many, {}));
}

TEST(merged_blocks_have_the_living_rows) {
    for (const Keeping& keeping : keepings)
        for (const std::uint64_t num_words : directories) {
            const Rows rows(400, 4, num_words, values_for(keeping));
            const auto blocks = build_blocks(rows.view(), num_words, keeping, 5, 1);
            const Rows all = kept(rows, keeping);
            std::vector<std::vector<std::uint64_t>> alive;
            for (std::size_t i = 0; i < blocks.size(); ++i)
                alive.push_back(random_bits(blocks[i].n_documents, i));
            alive[1].clear();                                // all are
            std::fill(alive[2].begin(), alive[2].end(), 0);  // none is
            std::vector<LivingBlock> living;
            Rows expected;
            std::size_t row = 0;
            for (std::size_t i = 0; i < blocks.size(); ++i) {
                living.push_back({blocks[i].view(), alive[i]});
                for (std::size_t d = 0; d < blocks[i].n_documents; ++d, ++row)
                    if (has_bit(alive[i], d)) expected.append(all.row(row));
            }
            const auto merged = merge_blocks(living);
            CHECK_EQUAL(merged.size(), 1u);
            CHECK(rows_of_blocks(merged) == expected);
            check_facts(merged.front().view(), expected);
            CHECK(merge_blocks(std::span(living).subspan(2, 1)).empty());
        }
}

TEST(counts_and_floats_merge_and_no_other_kinds) {
    const Rows rows(100, 6, 24, whole_values);
    const OwnedBlock counts = build_block(rows.view(), 24, {});
    const OwnedBlock floats = build_block(rows.view(), 24, {Storage::float32});
    const OwnedBlock halves = build_block(rows.view(), 24, {Storage::float16});
    const OwnedBlock steps = build_block(rows.view(), 24, {Storage::uint8, 10});
    const OwnedBlock others = build_block(rows.view(), 24, {Storage::uint8, 20});
    const auto merge = [](const OwnedBlock& a, const OwnedBlock& b) {
        const std::vector<LivingBlock> blocks{{a.view(), {}}, {b.view(), {}}};
        return merge_blocks(blocks);
    };
    Rows twice = kept(rows, {});
    append(twice, counts);
    CHECK(rows_of_blocks(merge(counts, floats)) == twice);
    CHECK(rows_of_blocks(merge(floats, counts)) == twice);
    CHECK_THROWS(std::invalid_argument, merge(counts, halves));
    CHECK_THROWS(std::invalid_argument, merge(halves, floats));
    CHECK_THROWS(std::invalid_argument, merge(steps, others));
}

TEST(halves_are_ieee_halves) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        const int exponent = half >> 10 & 31;
        if (exponent == 31) continue;  // infinity, NaN
        const int mantissa = (half & 1023) + (exponent > 0 ? 1024 : 0);
        const float magnitude =
            std::ldexp(static_cast<float>(mantissa), std::max(exponent, 1) - 25);
        const float value = half_to_float(half);
        CHECK_EQUAL(value, half & 0x8000 ? -magnitude : magnitude);
        CHECK_EQUAL(std::signbit(value), (half & 0x8000) != 0);
        CHECK_EQUAL(float_to_half(value), half);
        if ((half & 0x7FFF) == 0x7BFF) continue;
        // Half way to the next one is a tie; a float more or less than that is none.
        const auto next = static_cast<std::uint16_t>(half + 1);
        const float middle = (value + half_to_float(next)) / 2;
        CHECK_EQUAL(float_to_half(middle), half % 2 == 0 ? half : next);
        CHECK_EQUAL(float_to_half(std::nextafter(middle, value)), half);
        CHECK_EQUAL(float_to_half(std::nextafter(middle, half_to_float(next))), next);
    }
}

TEST(powers_are_right) {
    const auto worst = [](const auto& power, double p) {
        double error = 0;
        for (std::size_t i = 0; i < 20'000; ++i) {
            Random random(7, i);
            const double scale = std::ldexp(1.0, -static_cast<int>(random.below(12)));
            const double x = (random.uniform() * 2 - 1) * scale;
            const double exact = std::pow(std::abs(x), p);
            const Longs<4> found = power.template operator()<4>(Doubles<4>{} + x);
            const double got = static_cast<double>(found[0]) / power.units;
            if (exact * power.units > 0x1p30)
                error = std::max(error, std::abs(got - exact) / exact);
        }
        return error;
    };
    for (const double p : {0.1, 0.3, 0.7, 1.1, 1.7, 2.2, 2.718281828, 3.3, 5.0, 6.5, 7.9, 8.0})
        CHECK(worst(PowerAny(p, 0x1p53), p) < 0x1p-20);
    for (const int halves : {1, 3, 5, 6, 7, 8})
        CHECK(worst(PowerHalves{0x1p53, halves}, halves / 2.0) < 0x1p-21);
    CHECK_EQUAL(PowerAny(2.2, 0x1p60).operator()<4>(Doubles<4>{})[0], 0);
    CHECK_EQUAL(PowerAny(0.1, 0x1p60).operator()<4>(Doubles<4>{})[0], 0);
}
