// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "neighbors/lsh.hpp"
#include "neighbors/lsh_probes.hpp"
#include "neighbors/lsh_scan.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t grain = 1'024;  // points

/// What the functions say of points, by row.
struct Hashes {
    std::vector<std::uint32_t> keys;     ///< table after table
    std::vector<std::uint8_t> sketches;  ///< point after point
};

void write_sketch(const float* values, std::span<std::uint8_t> sketch) {
    for (std::size_t byte = 0; byte < sketch.size(); ++byte) {
        unsigned bits = 0;
        for (unsigned b = 0; b < 8; ++b) bits |= unsigned{values[8 * byte + b] > 0} << b;
        sketch[byte] = static_cast<std::uint8_t>(bits);
    }
}

template <class T>
Hashes hash(const HashFunctions& functions, MatrixView<const T> points, std::size_t tables,
            int threads) {
    const std::size_t n = points.rows, of_keys = functions.multipliers.size(),
                      each = of_keys / tables, sketch_bytes = functions.sketch_bits / 8;
    Hashes hashes{std::vector<std::uint32_t>(tables * n),
                  std::vector<std::uint8_t>(n * sketch_bytes)};
    parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end) {
        constexpr std::size_t some = 256;
        const std::size_t columns = functions.offsets.size();
        std::vector<float> memory(some * columns);
        for (std::size_t first = begin; first < end; first += some) {
            const std::size_t last = std::min(end, first + some);
            const MatrixView<float> values{memory.data(), last - first, columns};
            hash_values(functions, points.slice(first, last), values);
            for (std::size_t i = first; i < last; ++i) {
                const float* y = values.row(i - first);
                for (std::size_t t = 0; t < tables; ++t)
                    hashes.keys[t * n + i] =
                        lsh::key_of(y + t * each, functions.multipliers.subspan(t * each, each),
                                    functions.reach);
                write_sketch(y + of_keys, {&hashes.sketches[i * sketch_bytes], sketch_bytes});
            }
            check_interrupt();
        }
    });
    return hashes;
}

/// Counts the points of each key in an open table of 2^bits places: `begin` is the count, and an
/// empty place has none.
void count_keys(std::span<const std::uint32_t> keys, int bits, std::span<LSHSlot> slots) {
    const std::size_t mask = (std::size_t{1} << bits) - 1;
    InterruptPoll poll;
    polled_for(0, keys.size(), 1, poll, [&](std::size_t i) {
        std::size_t at = lsh_place(keys[i], bits);
        while (slots[at].begin != 0 && slots[at].key != keys[i]) at = (at + 1) & mask;
        slots[at] = {keys[i], slots[at].begin + 1};
    });
}

std::size_t filled(std::span<const LSHSlot> slots) {
    return static_cast<std::size_t>(
        std::count_if(slots.begin(), slots.end(), [](const LSHSlot& s) { return s.begin != 0; }));
}

/// How many different keys the fullest table has.
std::size_t most_keys(const Hashes& hashes, std::size_t tables, int threads) {
    const std::size_t n = hashes.keys.size() / tables;
    const int bits = static_cast<int>(std::bit_width(n));  // a place is left empty
    std::vector<std::size_t> counts(tables);
    parallel_for(tables, 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            std::vector<LSHSlot> slots(std::size_t{1} << bits);
            count_keys(std::span(hashes.keys).subspan(t * n, n), bits, slots);
            counts[t] = filled(slots);
        }
    });
    return *std::max_element(counts.begin(), counts.end());
}

/// Fills a directory, and `order` with the rows bucket after bucket, by number within one.
void fill_table(std::span<const std::uint32_t> keys, std::span<LSHSlot> slots,
                std::span<std::uint32_t> order) {
    const std::size_t places = slots.size() - 1;
    const int bits = static_cast<int>(std::bit_width(places)) - 1;
    count_keys(keys, bits, slots.first(places));
    std::uint32_t next = 0;
    for (LSHSlot& slot : slots) {
        const std::uint32_t count = slot.begin;
        slot.begin = next;
        next += count;
    }
    std::vector<std::uint32_t> ends(places);
    for (std::size_t i = 0; i < places; ++i) ends[i] = slots[i].begin;
    const auto empty = [&](std::size_t i) { return slots[i].begin == slots[i + 1].begin; };
    InterruptPoll poll;
    polled_for(0, keys.size(), 1, poll, [&](std::size_t i) {
        std::size_t at = lsh_place(keys[i], bits);
        while (empty(at) || slots[at].key != keys[i]) at = (at + 1) & (places - 1);
        order[ends[at]++] = static_cast<std::uint32_t>(i);
    });
}

void fill_panels(const Hashes& hashes, std::size_t sketch_bytes,
                 std::span<const std::uint32_t> order, std::uint8_t* panels, int threads) {
    const std::size_t count = (order.size() + lsh::panel - 1) / lsh::panel;
    parallel_for(count, grain, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin * lsh::panel; i < std::min(end * lsh::panel, order.size());
             ++i) {
            const std::uint8_t* sketch = &hashes.sketches[order[i] * sketch_bytes];
            std::uint8_t* to = panels + i / lsh::panel * lsh::panel * sketch_bytes + i % lsh::panel;
            for (std::size_t b = 0; b < sketch_bytes; ++b) to[b * lsh::panel] = sketch[b];
        }
    });
}

}  // namespace

template <class T>
LSHData build_lsh(MatrixView<const T> points, const HashOptions& options, MatrixView<T> ordered,
                  int threads) {
    const std::size_t n = points.rows, tables = options.tables, sketch = options.sketch_bytes;
    assert(ordered.rows == n && ordered.cols == points.cols);
    LSHData data;
    data.points = n;
    data.tables = tables;
    data.functions = draw_functions(points, options);
    const Hashes hashes = hash(data.functions.view(), points, tables, threads);
    const std::size_t keys = most_keys(hashes, tables, threads);
    const std::size_t places = std::bit_ceil(keys + keys / 2 + 1) + 1;
    data.slots.resize(tables * places);
    std::vector<std::uint32_t> orders(tables * n);
    parallel_for(tables, 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
            fill_table(std::span(hashes.keys).subspan(t * n, n),
                       std::span(data.slots).subspan(t * places, places),
                       std::span(orders).subspan(t * n, n));
    });
    const std::size_t panel_bytes = lsh::panel_bytes(n, sketch);
    data.panels.resize(tables * panel_bytes);
    for (std::size_t t = 0; t < tables; ++t)
        fill_panels(hashes, sketch, std::span(orders).subspan(t * n, n),
                    data.panels.data() + t * panel_bytes, threads);
    data.rows.assign(orders.begin(), orders.begin() + static_cast<std::ptrdiff_t>(n));
    std::vector<std::uint32_t> place_of(n);
    parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            place_of[data.rows[i]] = static_cast<std::uint32_t>(i);
            std::copy_n(points.row(data.rows[i]), points.cols, ordered.row(i));
        }
    });
    data.orders.assign(orders.begin() + static_cast<std::ptrdiff_t>(n), orders.end());
    for (std::uint32_t& row : data.orders) row = place_of[row];
    return data;
}

template LSHData build_lsh(MatrixView<const std::uint8_t>, const HashOptions&,
                           MatrixView<std::uint8_t>, int);
template LSHData build_lsh(MatrixView<const float>, const HashOptions&, MatrixView<float>, int);

}  // namespace trouvaille
