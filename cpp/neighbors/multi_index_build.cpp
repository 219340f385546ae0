// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cassert>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/size.hpp"
#include "neighbors/multi_index.hpp"
#include "neighbors/panels.hpp"
#include "neighbors/substrings.hpp"

namespace trouvaille {
namespace {

using namespace hamming;

/// Sorts the points by the value of one substring: counts, then places; rows ascend in each value.
void build_table(MatrixView<const std::uint8_t> points, const Substring& substring,
                 std::uint32_t* rows, MatrixView<std::uint8_t> codes, std::uint32_t* directory) {
    InterruptPoll poll;
    polled_for(0, points.rows, 4, poll,
               [&](std::size_t i) { ++directory[substring.of(points.row(i)) + 1]; });
    for (std::size_t v = 0; v < substring.values(); ++v) directory[v + 1] += directory[v];
    std::vector<std::uint32_t> next(directory, directory + substring.values());
    polled_for(0, points.rows, 4, poll, [&](std::size_t i) {
        const std::uint32_t place = next[substring.of(points.row(i))]++;
        rows[place] = static_cast<std::uint32_t>(i);
        std::copy_n(points.row(i), points.cols, codes.row(place));
    });
}

void require(bool condition, const std::string& what) {
    if (!condition) throw std::invalid_argument(what);
}

}  // namespace

std::size_t advised_tables(std::size_t bits, std::size_t points) {
    const double length = std::log2(static_cast<double>(std::max<std::size_t>(points, 2)));
    const auto tables = static_cast<std::size_t>(std::ceil(static_cast<double>(bits) / length));
    const std::size_t least = exact::ceil_div(bits, max_substring_bits);
    return std::clamp(tables, std::max<std::size_t>(least, 1), std::max<std::size_t>(bits, 1));
}

std::size_t directory_places(std::size_t bits, std::size_t tables) {
    const Substring last = substrings_of(bits, tables).back();
    return last.directory + last.values() + 1;
}

void build_multi_index(MatrixView<const std::uint8_t> points, MatrixView<std::uint32_t> rows,
                       MatrixView<std::uint8_t> codes, std::span<std::uint32_t> directories,
                       int threads) {
    const std::size_t n = points.rows, tables = rows.rows;
    const std::vector<Substring> substrings = substrings_of(8 * points.cols, tables);
    static_cast<void>(checked_cast<std::uint32_t>(n, "the number of points"));
    assert(rows.cols == n && codes.rows == tables * n && codes.cols == points.cols);
    parallel_for(tables, 1, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
            build_table(points, substrings[t], rows.row(t), codes.slice(t * n, (t + 1) * n),
                        directories.data() + substrings[t].directory);
    });
}

void check_multi_index(const MultiIndex& index) {
    const std::size_t n = index.points.rows, bits = 8 * index.points.cols, m = index.rows.rows;
    require(m >= 1 && m <= bits && bits <= m * max_substring_bits,
            "there must be a table for 1 to " + std::to_string(max_substring_bits) + " bits each");
    require(
        index.rows.cols == n && index.codes.rows == m * n && index.codes.cols == index.points.cols,
        "each table must have all points, and all codes");
    const std::vector<Substring> substrings = substrings_of(bits, m);
    require(index.directories.size() == directory_places(bits, m),
            "the directories must have a place for each value");
    for (const Substring& substring : substrings) {
        const auto directory =
            index.directories.subspan(substring.directory, substring.values() + 1);
        require(directory.front() == 0 && directory.back() == n &&
                    std::is_sorted(directory.begin(), directory.end()),
                "a directory must ascend from 0 to the number of points");
    }
    const std::uint32_t* rows = index.rows.data;
    require(std::all_of(rows, rows + m * n, [n](std::uint32_t row) { return row < n; }),
            "a table names a point that does not exist");
}

}  // namespace trouvaille
