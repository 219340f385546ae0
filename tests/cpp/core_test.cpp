// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.hpp"
#include "core/checksum.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/pages.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "core/size.hpp"
#include "core/topk.hpp"

using namespace trouvaille;
using trouvaille::test::for_each_isa;

// ---- parallel

namespace {

// How often parallel_for visited each index of [0, n).
std::vector<int> visits(std::size_t n, std::size_t grain, int threads) {
    std::vector<int> count(n);
    parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) ++count[i];  // a race if two chunks overlapped
    });
    return count;
}

void busy_for(std::chrono::microseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

}  // namespace

TEST(parallel_visits_every_index_once) {
    for (const std::size_t n : {0, 1, 2, 63, 64, 65, 1000})
        for (const std::size_t grain : {0, 1, 7, 64, 5000})
            for (const int threads : {-1, 0, 1, 2, 3, 64})
                CHECK_EQUAL(visits(n, grain, threads), std::vector<int>(n, 1));
}

TEST(parallel_chunks_do_not_depend_on_threads) {
    for (const int threads : {1, 2, 16}) {
        std::vector<std::size_t> ends(103);
        parallel_for(103, 10, threads,
                     [&](std::size_t begin, std::size_t end) { ends[begin] = end; });
        for (std::size_t i = 0; i < 103; ++i)
            CHECK_EQUAL(ends[i], i % 10 == 0 ? std::min<std::size_t>(i + 10, 103) : 0);
    }
}

TEST(parallel_takes_sizes_near_the_end_of_the_range) {
    constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();
    std::atomic<std::size_t> sum{0}, calls{0};
    parallel_for(huge, huge / 2 + 1, 4, [&](std::size_t begin, std::size_t end) {
        sum += end - begin;
        ++calls;
    });
    CHECK_EQUAL(sum.load(), huge);
    CHECK_EQUAL(calls.load(), 2u);
}

TEST(parallel_uses_as_many_threads_as_asked) {
    // Each chunk waits until all threads have come: fewer than 4 would wait for ever.
    std::atomic<int> arrived{0};
    std::vector<std::thread::id> ids(4);
    parallel_for(4, 1, 4, [&](std::size_t begin, std::size_t) {
        ids[begin] = std::this_thread::get_id();
        ++arrived;
        while (arrived < 4) std::this_thread::yield();
    });
    std::sort(ids.begin(), ids.end());
    CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
}

TEST(parallel_uses_no_more_threads_than_asked) {
    visits(1000, 1, 16);  // the pool has many workers by now
    std::atomic<int> inside{0}, most{0};
    parallel_for(60, 1, 3, [&](std::size_t, std::size_t) {
        const int now = ++inside;
        int seen = most;
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        busy_for(std::chrono::microseconds(200));
        --inside;
    });
    CHECK(most <= 3);
}

TEST(parallel_rethrows_after_every_running_chunk_has_ended) {
    for (const int threads : {1, 4})
        for (int repeat = 0; repeat < 20; ++repeat) {
            std::atomic<int> inside{0};
            std::string message;
            try {
                parallel_for(100, 1, threads, [&](std::size_t begin, std::size_t) {
                    ++inside;
                    busy_for(std::chrono::microseconds(50));
                    --inside;
                    if (begin == 17) throw std::runtime_error("chunk 17");
                });
            } catch (const std::runtime_error& error) {
                message = error.what();
            }
            CHECK_EQUAL(message, "chunk 17");
            CHECK_EQUAL(inside.load(), 0);
            CHECK_EQUAL(visits(50, 3, threads), std::vector<int>(50, 1));  // still usable
        }
}

TEST(parallel_drops_chunks_after_an_exception) {
    std::atomic<int> calls{0};
    CHECK_THROWS(int, parallel_for(1'000'000, 1, 2, [&](std::size_t, std::size_t) {
                     ++calls;
                     throw 1;
                 }));
    CHECK(calls <= 2);
}

TEST(parallel_nests) {
    std::vector<int> count(40 * 40);
    parallel_for(40, 1, 4, [&](std::size_t outer, std::size_t) {
        const std::thread::id me = std::this_thread::get_id();
        parallel_for(40, 7, 4, [&](std::size_t begin, std::size_t end) {
            if (std::this_thread::get_id() != me) throw std::runtime_error("another thread");
            for (std::size_t inner = begin; inner < end; ++inner) ++count[outer * 40 + inner];
        });
    });
    CHECK_EQUAL(count, std::vector<int>(40 * 40, 1));
    CHECK_THROWS(int, parallel_for(4, 1, 2, [](std::size_t, std::size_t) {
                     parallel_for(4, 1, 2, [](std::size_t, std::size_t) { throw 1; });
                 }));
}

TEST(parallel_serves_many_callers_at_once) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (std::size_t caller = 0; caller < 8; ++caller)
        callers.emplace_back([&wrong, caller] {
            for (std::size_t repeat = 0; repeat < 100; ++repeat) {
                const std::size_t n = 1 + (caller * 131 + repeat * 17) % 200;
                if (visits(n, 3, 1 + static_cast<int>(repeat % 5)) != std::vector<int>(n, 1))
                    ++wrong;
            }
        });
    for (std::thread& caller : callers) caller.join();
    CHECK_EQUAL(wrong.load(), 0);
}

// ---- interrupt

namespace {
std::atomic<bool> stop_requested{false};
std::atomic<int> times_asked{0};
thread_local bool is_caller = false;
std::atomic<bool> asked_elsewhere{false};

bool asked_to_stop() {
    ++times_asked;
    if (!is_caller) asked_elsewhere = true;
    return stop_requested;
}
}  // namespace

TEST(interrupt_ends_a_loop_that_only_its_caller_asks) {
    is_caller = true;
    set_interrupt_source(&asked_to_stop);
    for (const int threads : {1, 4}) {
        stop_requested = false;
        std::thread user([] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            stop_requested = true;
        });
        const auto begin = std::chrono::steady_clock::now();
        CHECK_THROWS(Interrupted, parallel_for(1'000'000, 1, threads, [](std::size_t, std::size_t) {
                         parallel_for(2, 1, 2, [](std::size_t, std::size_t) {
                             busy_for(std::chrono::microseconds(500));
                         });
                     }));
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
        user.join();
    }
    CHECK(!asked_elsewhere);
    set_interrupt_source(nullptr);
}

TEST(interrupt_reaches_a_caller_that_waits_for_a_worker) {
    is_caller = true;
    stop_requested = false;
    set_interrupt_source(&asked_to_stop);
    // The caller's chunk ends at once; then it waits for the worker's, which asks for the stop.
    CHECK_THROWS(Interrupted, parallel_for(2, 1, 2, [&](std::size_t, std::size_t) {
                     if (is_caller) {
                         while (!stop_requested) std::this_thread::yield();
                     } else {
                         std::this_thread::sleep_for(std::chrono::milliseconds(30));
                         stop_requested = true;
                         std::this_thread::sleep_for(std::chrono::milliseconds(60));
                     }
                 }));
    set_interrupt_source(nullptr);
}

TEST(interrupt_ends_the_bodies_of_workers_midway) {
    is_caller = true;
    stop_requested = false;
    set_interrupt_source(&asked_to_stop);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    std::atomic<int> begun{0}, ended{0};
    CHECK_THROWS(Interrupted, parallel_for(2, 1, 2, [&](std::size_t, std::size_t) {
                     if (++begun == 2) stop_requested = true;
                     while (std::chrono::steady_clock::now() < deadline) check_interrupt();
                     ++ended;
                 }));
    CHECK_EQUAL(begun.load(), 2);
    CHECK_EQUAL(ended.load(), 0);
    // A worker forgets the stop of one loop before the next.
    set_interrupt_source(nullptr);
    std::atomic<int> arrived{0};
    parallel_for(2, 1, 2, [&](std::size_t, std::size_t) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
        check_interrupt();
    });
    CHECK_EQUAL(arrived.load(), 2);
}

TEST(interrupt_poll_asks_once_an_interval) {
    stop_requested = true;
    set_interrupt_source(&asked_to_stop);
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    InterruptPoll poll;
    poll.did(InterruptPoll::interval - 1);
    CHECK_THROWS(Interrupted, poll.did(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    poll.did(1);  // a new interval
    CHECK_THROWS(Interrupted, poll.did(std::numeric_limits<std::size_t>::max()));

    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    std::size_t steps = 0;
    CHECK_THROWS(Interrupted, polled_for(7, 1'000'000, 3, poll, [&](std::size_t) { ++steps; }));
    CHECK(3 * steps <= 2 * InterruptPoll::interval);
    set_interrupt_source(nullptr);
}

TEST(polled_for_takes_every_step_in_order) {
    for (const std::size_t n : {0, 1, 1000, 70'000, 200'000})
        for (const std::size_t work : {1, 7, 100'000}) {
            InterruptPoll poll;
            std::size_t next = 5;
            bool in_order = true;
            polled_for(5, 5 + n, work, poll, [&](std::size_t i) { in_order &= i == next++; });
            CHECK(in_order);
            CHECK_EQUAL(next, 5 + n);
        }
}

TEST(interrupt_asks_rarely) {
    stop_requested = false;
    set_interrupt_source(&asked_to_stop);
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    times_asked = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 100'000; ++i) check_interrupt();
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    CHECK(times_asked >= 1);
    CHECK(times_asked <= 1 + elapsed / std::chrono::milliseconds(20));
    set_interrupt_source(nullptr);
}

// ---- instruction sets

TEST(isa_is_the_one_asked_for) {
    std::size_t supported = 0;
    for_each_isa([&] { ++supported; });
    CHECK(supported >= 1 && supports(Isa::scalar));
    for (std::size_t i = 0; i < isa_count; ++i) {
        const Isa isa = static_cast<Isa>(i);
        if (supports(isa)) {
            use_isa(isa);
            CHECK(active_isa() == isa);
            CHECK_EQUAL(pick({0, 1, 2}), static_cast<int>(i));
        } else {
            CHECK_THROWS(std::invalid_argument, use_isa(isa));
        }
    }
    reset_isa();
}

// ---- random

TEST(philox_known_answers) {
    using Block = std::array<std::uint32_t, 4>;
    constexpr std::uint32_t ones = 0xFFFFFFFF;
    // Of the Random123 distribution, kat_vectors.
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == (Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
    CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
          (Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
    CHECK(philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}) ==
          (Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(random_stream_is_philox_of_the_item_and_a_counter) {
    constexpr std::uint64_t seed = 0x0123456789ABCDEF, item = 0xFEDCBA9876543210;
    Random random(seed, item);
    for (std::uint32_t block = 0; block < 3; ++block)
        for (const std::uint32_t word :
             philox({block, 0, 0x76543210, 0xFEDCBA98}, {0x89ABCDEF, 0x01234567}))
            CHECK_EQUAL(random.next(), word);
}

TEST(random_below_is_unbiased) {
    // For n just above 2^63 a plain modulo would draw the lower half twice as often.
    constexpr std::uint64_t n = (std::uint64_t{1} << 63) + (std::uint64_t{1} << 62);
    Random random(1, 2);
    int lower = 0;
    for (int i = 0; i < 30'000; ++i) lower += random.below(n) < n / 3;
    CHECK(lower > 9'600 && lower < 10'400);  // 10,000 +- 4.9 standard deviations; else 15,000

    std::array<int, 7> count{};
    for (int i = 0; i < 70'000; ++i) ++count[random.below(7)];
    for (const int c : count) CHECK(c > 9'500 && c < 10'500);
    CHECK_EQUAL(random.below(1), 0u);
}

TEST(random_uniform_is_in_range) {
    Random random(3, 4);
    double sum = 0;
    for (int i = 0; i < 10'000; ++i) {
        const double x = random.uniform();
        CHECK(x >= 0 && x < 1);
        sum += x;
    }
    CHECK(sum > 4'850 && sum < 5'150);  // 5,000 +- 5 standard deviations
}

// ---- top-k

namespace {

template <class Better>
void check_top_k(std::span<const int> scores, std::size_t k) {
    using Item = Ranked<int, std::uint32_t>;
    std::vector<Item> all;
    for (std::uint32_t id = 0; id < scores.size(); ++id) all.push_back({scores[id], id});
    auto before = [](const Item& a, const Item& b) { return ranks_before(a, b, Better{}); };

    std::vector<Item> storage(k);
    TopK<int, std::uint32_t, Better> best(storage);
    for (const bool backwards : {false, true}) {  // the order of arrival must not matter
        if (backwards) std::reverse(all.begin(), all.end());
        best.clear();
        for (const Item& item : all) best.push(item.score, item.id);
        std::vector<Item> expected = all;
        std::sort(expected.begin(), expected.end(), before);
        expected.resize(std::min(k, expected.size()));
        CHECK_EQUAL(best.full(), scores.size() >= k);
        if (best.full()) CHECK_EQUAL(best.worst().id, expected.back().id);
        CHECK(std::ranges::equal(best.sorted(), expected, [](const Item& a, const Item& b) {
            return a.score == b.score && a.id == b.id;
        }));
    }
}

}  // namespace

TEST(top_k_equals_a_sort) {
    Random random(5, 6);
    for (const std::size_t n : {0, 1, 2, 10, 300})
        for (const std::uint64_t values : {1, 3, 1'000'000}) {  // few values: many ties
            std::vector<int> scores(n);
            for (int& score : scores) score = static_cast<int>(random.below(values)) - 1;
            for (const std::size_t k : {1, 2, 9, 10, 299, 300, 301}) {
                check_top_k<std::greater<int>>(scores, k);
                check_top_k<std::less<int>>(scores, k);
            }
        }
}

// ---- checksum

namespace {

std::uint32_t crc_of(std::string_view text, std::uint32_t crc = 0) {
    return crc32c(std::as_bytes(std::span(text)), crc);
}

// A bit at a time, from the polynomial.
std::uint32_t plain_crc(std::string_view text) {
    std::uint32_t crc = ~std::uint32_t{0};
    for (const char c : text) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
    }
    return ~crc;
}

}  // namespace

TEST(crc32c_known_answers) {
    for_each_isa([] {  // RFC 3720, B.4
        CHECK_EQUAL(crc_of("123456789"), 0xE3069283);
        CHECK_EQUAL(crc_of(std::string(32, '\0')), 0x8A9136AA);
        CHECK_EQUAL(crc_of(std::string(32, '\xFF')), 0x62A8AB43u);
        std::string rising(32, '\0');
        std::iota(rising.begin(), rising.end(), '\0');
        CHECK_EQUAL(crc_of(rising), 0x46DD794Eu);
        std::reverse(rising.begin(), rising.end());
        CHECK_EQUAL(crc_of(rising), 0x113FDB5Cu);
        CHECK_EQUAL(crc_of(""), 0u);
    });
}

TEST(crc32c_equals_the_plain_one_at_every_length_and_offset) {
    Random random(7, 8);
    std::string text;
    for (int i = 0; i < 100; ++i) text += static_cast<char>(random.next());
    for_each_isa([&] {
        for (std::size_t begin = 0; begin < 9; ++begin)
            for (std::size_t length = 0; begin + length <= text.size(); ++length) {
                const auto part = std::string_view(text).substr(begin, length);
                CHECK_EQUAL(crc_of(part), plain_crc(part));
                const auto cut = length / 3;
                CHECK_EQUAL(crc_of(part.substr(cut), crc_of(part.substr(0, cut))), crc_of(part));
            }
    });
}

// ---- sizes

TEST(sizes_are_checked) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    constexpr std::size_t half = std::size_t{1} << 32;
    CHECK_EQUAL(checked_mul(half, half - 1, "x"), most - half + 1);
    CHECK_EQUAL(checked_mul(most, 0, "x"), 0u);
    CHECK_EQUAL(checked_mul(0, most, "x"), 0u);
    CHECK_EQUAL(checked_mul(most, 1, "x"), most);
    CHECK_THROWS(std::length_error, checked_mul(half, half, "x"));
    CHECK_THROWS(std::length_error, checked_mul(most, 2, "x"));
    CHECK_THROWS(std::length_error, checked_mul(2, most, "x"));
    CHECK_EQUAL(checked_add(most - 1, 1, "x"), most);
    CHECK_THROWS(std::length_error, checked_add(most, 1, "x"));
    CHECK_EQUAL(checked_cast<std::uint32_t>(std::int64_t{0xFFFFFFFF}, "x"), 0xFFFFFFFFu);
    CHECK_THROWS(std::length_error, checked_cast<std::uint32_t>(std::int64_t{0x100000000}, "x"));
    CHECK_THROWS(std::length_error, checked_cast<std::uint32_t>(-1, "x"));
    CHECK_THROWS(std::length_error, checked_cast<int>(most, "x"));
    try {
        checked_mul(most, 3, "n_rows");
    } catch (const std::length_error& error) {
        CHECK(std::string_view(error.what()).find("n_rows") != std::string_view::npos);
    }
}

// ---- pages

TEST(pages_are_zero_and_aligned) {
    for (const std::size_t n : {0, 1, 63, 8191, 65'535, 65'536, 300'000}) {
        Pages<std::int64_t> pages(n);
        const std::size_t alignment = 8 * n >= std::size_t{512} << 10 ? std::size_t{2} << 20 : 64;
        CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(pages.data()) % alignment, 0u);
        CHECK_EQUAL(pages.size(), n);
        for (std::int64_t& item : pages.span()) {
            CHECK_EQUAL(item, 0);
            item = -1;  // the next may get the same memory
        }
    }
    CHECK_THROWS(std::bad_alloc, allocate_pages(std::numeric_limits<std::size_t>::max() - 3));
    CHECK_THROWS(std::length_error, Pages<std::int64_t>(std::size_t{1} << 62));
}
