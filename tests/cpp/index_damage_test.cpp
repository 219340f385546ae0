// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.hpp"
#include "core/random.hpp"
#include "index/build.hpp"
#include "index/search.hpp"
#include "sparse.hpp"

// Blocks that come from outside may hold anything. Run under the address and undefined-behaviour
// sanitizers: what check_block lets pass must be safe for every function.

using namespace trouvaille;
using namespace trouvaille::test;

namespace {

// A copy of an array in memory of its own that ends with it, for the sanitizer to guard.
template <class T>
class Guarded {
  public:
    explicit Guarded(std::span<const T> from) : items_(new T[from.size()]), size_(from.size()) {
        std::copy(from.begin(), from.end(), items_.get());
    }
    std::span<T> span() { return {items_.get(), size_}; }

    void damage(Random& random) {
        if (size_ == 0) return;
        T& item = items_[random.below(size_)];
        switch (random.below(4)) {
            case 0:
                item ^= static_cast<T>(T{1} << random.below(8 * sizeof(T)));
                break;
            case 1:
                item = static_cast<T>(random.next());
                break;
            case 2:
                item = static_cast<T>(item + random.below(3) - 1);
                break;
            default:
                std::swap(item, items_[random.below(size_)]);
        }
    }
    void shorten(Random& random) { size_ -= std::min<std::size_t>(size_, random.below(3)); }

  private:
    std::unique_ptr<T[]> items_;
    std::size_t size_;
};

// Uses all of a block; searches in one way of several.
void use(const Block& block, const BlockFacts& facts, const Rows& queries, Random& random) {
    const OwnedRows rows = block_rows(block);
    CHECK_EQUAL(rows.words.size(), facts.n_postings);
    const std::vector<std::uint64_t> alive = random_bits(block.n_documents, 1);
    const LivingBlock living{block, alive};
    merge_blocks({&living, 1});
    std::vector<double> norms(block.n_documents);
    block_norms(block, Norm::l2, 0, {}, norms);
    std::vector<std::int64_t> frequencies(block.num_words);
    add_frequencies(block, alive, frequencies);
    const std::vector<double> factors(block.n_documents, 0.5);
    const Scoring scorings[] = {{.kernel = KernelName::dot},
                                {.kernel = KernelName::power, .p = 2},
                                {.kernel = KernelName::power, .p = 2.7},
                                {.kernel = KernelName::minimum, .document_roots = 1},
                                {.kernel = KernelName::bm25}};
    const std::size_t allowed = facts.negative ? 3 : 5;  // the others need values above 0
    const Reader reader(scorings[random.below(allowed)], {{block, facts, factors, alive}}, {}, {},
                        Magnitudes{}, 1);
    std::vector<double> scores(queries.size() * 5);
    std::vector<std::int64_t> found(scores.size());
    reader.search(queries.view(), {}, {scores.data(), queries.size(), 5},
                  {found.data(), queries.size(), 5}, 1);
    for (const std::int64_t row : found) CHECK(row < std::int64_t{block.n_documents});
}

struct Outcome {
    std::size_t passed = 0, refused = 0;
};

// Damages one thing of a sound block, or a few.
Outcome damage(const OwnedBlock& sound, const Rows& queries, std::uint64_t seed, std::size_t n) {
    Outcome outcome;
    for (std::size_t i = 0; i < n; ++i) {
        Random random(seed, i);
        const Block view = sound.view();
        Guarded<std::uint32_t> words(view.words), starts(view.starts);
        Guarded<std::uint16_t> stream(view.stream);
        Block block = view;
        for (std::uint64_t times = random.below(8) == 0 ? 3 : 1; times > 0; --times) {
            const std::uint64_t what = random.below(32);
            if (what == 0) block.n_documents += static_cast<std::uint32_t>(random.below(200)) - 100;
            if (what == 1) block.num_words = random.below(60);
            if (what == 2) block.step = std::bit_cast<float>(random.next());
            if (what == 3) block.storage = static_cast<Storage>(random.below(storage_count));
            if (what == 4) starts.shorten(random);
            if (what == 5) stream.shorten(random);
            if (what == 6) words.shorten(random);
            if (what >= 7 && what < 12) starts.damage(random);
            if (what >= 12 && what < 15) words.damage(random);
            if (what >= 15) stream.damage(random);
        }
        block.words = words.span();
        block.starts = starts.span();
        block.stream = stream.span();
        try {
            const BlockFacts facts = check_block(block);
            ++outcome.passed;
            if (block.num_words == view.num_words) use(block, facts, queries, random);
        } catch (const std::invalid_argument&) {
            ++outcome.refused;
        }
    }
    return outcome;
}

}  // namespace

TEST(damaged_blocks_are_refused_or_safe) {
    for (const Storage storage :
         {Storage::counts, Storage::float32, Storage::float16, Storage::uint8})
        for (const std::uint64_t num_words : {24, 5'000})
            for (const std::size_t n : {20, 150}) {
                const bool counts = storage == Storage::counts;
                const auto drawn = counts ? std::span<const float>(whole_values)
                                          : std::span<const float>(positive_values);
                const Rows rows(n, n, num_words, drawn);
                const OwnedBlock sound =
                    build_block(rows.view(), num_words, {storage, counts ? 0 : 0.03F});
                const Rows queries(4, 1, num_words, positive_values);
                std::uint64_t seed = n + num_words;
                for_each_isa([&] {
                    const Outcome outcome = damage(sound, queries, ++seed, 60);
                    CHECK(outcome.passed > 0);
                    CHECK(outcome.refused > 10);
                });
            }
}

TEST(what_is_wrong_with_a_block_is_said) {
    const Rows rows(70, 1, 24, whole_values);
    const OwnedBlock sound = build_block(rows.view(), 24, {});
    check_block(sound.view());
    const auto with = [&](auto change) {
        Block block = sound.view();
        change(block);
        return check_block(block);
    };
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.n_documents = 0; }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.n_documents = 65'537; }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.n_documents = 60; }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.num_words = 25; }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.starts = {}; }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.stream = b.stream.first(8); }));
    CHECK_THROWS(std::invalid_argument, with([](Block& b) { b.words = b.starts.first(3); }));
}
