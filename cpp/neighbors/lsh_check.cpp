// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "neighbors/each_once.hpp"
#include "neighbors/lsh.hpp"
#include "neighbors/lsh_rows.hpp"
#include "neighbors/lsh_scan.hpp"

namespace trouvaille {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument("damaged LSH tables: " + what);
}

void check_functions(const HashFunctions& functions, std::size_t tables, std::size_t dims) {
    const std::size_t of_keys = functions.multipliers.size();
    require(of_keys > 0 && of_keys % tables == 0 && of_keys / tables <= most_functions,
            "functions do not fit the tables");
    require(functions.sketch_bits > 0 && functions.sketch_bits % 16 == 0,
            "sketches must be of pairs of bytes");
    const std::size_t columns = of_keys + functions.sketch_bits;
    require(functions.center.size() == dims && functions.directions.rows == dims &&
                functions.directions.cols == columns && functions.offsets.size() == columns,
            "functions do not fit the points");
    require(functions.reach >= 1 && functions.reach <= 1 << 20, "cells out of range");
}

void check_directory(std::span<const LSHSlot> slots, std::size_t points) {
    require(slots.front().begin == 0 && slots.back().begin == points,
            "buckets do not hold all points");
    const auto before = [](const LSHSlot& a, const LSHSlot& b) { return a.begin < b.begin; };
    require(std::is_sorted(slots.begin(), slots.end(), before), "buckets out of order");
    const auto same = [](const LSHSlot& a, const LSHSlot& b) { return a.begin == b.begin; };
    require(std::adjacent_find(slots.begin(), slots.end(), same) != slots.end(),
            "no place is empty");  // where looking for a key ends
}

}  // namespace

template <class T>
void check_lsh(const LSH<T>& lsh) {
    const std::size_t n = lsh.points.rows, tables = lsh.tables();
    require(tables > 0, "there are none");
    require(n < std::size_t{1} << 31, "too many points");
    check_functions(lsh.functions, tables, lsh::dims_of(lsh.points, lsh.functions.packed_bits));
    require(lsh.rows.size() == n, "rows and points differ in number");
    require(lsh.orders.rows == tables - 1 && (tables == 1 || lsh.orders.cols == n),
            "orders do not fit the points");
    require(lsh.panels.rows == tables &&
                lsh.panels.cols == lsh::panel_bytes(n, lsh.functions.sketch_bits / 8),
            "sketches do not fit the points");
    require(lsh.slots.cols >= 2 && std::has_single_bit(lsh.slots.cols - 1) &&
                lsh.slots.cols <= (std::size_t{1} << 32),
            "places must be a power of two, and the end");
    require(has_each_once(lsh.rows), "a row out of range, or twice");
    const auto inside = [n](std::uint32_t place) { return place < n; };
    const std::span orders(lsh.orders.data, lsh.orders.rows * lsh.orders.cols);
    require(std::all_of(orders.begin(), orders.end(), inside), "a place out of range");
    for (std::size_t t = 0; t < tables; ++t) check_directory({lsh.slots.row(t), lsh.slots.cols}, n);
}

template void check_lsh(const LSH<std::uint8_t>&);
template void check_lsh(const LSH<float>&);

}  // namespace trouvaille
