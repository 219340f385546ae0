// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/view.hpp"
#include "neighbors/lsh_functions.hpp"
#include "neighbors/row_distances.hpp"

namespace trouvaille {

// Locality-sensitive hashing: near points are likely to share buckets.
//
// Indyk, Motwani. Approximate nearest neighbors: towards removing the curse of dimensionality. STOC
// 1998. (The tables.)
// Lv, Josephson, Wang, Charikar, Li. Multi-probe LSH: efficient indexing for high-dimensional
// similarity search. VLDB 2007. (Which buckets are looked into, the most promising first.)
// Dong, Charikar, Li. Asymmetric distance estimation with sketches for similarity search in
// high-dimensional spaces. SIGIR 2008. (Which of their points are compared.)

/// A place of a table's directory. Buckets lie in the order of the places: that of place i begins
/// at its `begin` and ends at the `begin` of the next place; where both are equal the place is
/// empty. A bucket of key x lies at place lsh_place(x) or the first one after, around the end, that
/// is not another's; an empty place says that there is none.
struct LSHSlot {
    std::uint32_t key, begin;
};
static_assert(sizeof(LSHSlot) == 8);

/// Tables over n points, all in plain arrays.
///
/// Points lie in the order of the first table's buckets. Each table has in the order of its own the
/// sketches of the points, in panels of 32 (neighbors/lsh_scan.hpp), so that a bucket is read from
/// end to end and nothing is looked up.
template <class T>
struct LSH {
    MatrixView<const T> points;
    std::span<const std::uint32_t> rows;     ///< n: the number of each point's row when built
    MatrixView<const LSHSlot> slots;         ///< a row for each table: a power of two, and the end
    MatrixView<const std::uint32_t> orders;  ///< tables - 1 rows of n: places in the first's order
    MatrixView<const std::uint8_t> panels;   ///< a row for each table
    HashFunctions functions;

    std::size_t tables() const { return slots.rows; }
};

/// The arrays behind LSH, but for the points, whose memory is the caller's.
struct LSHData {
    std::size_t tables = 0, points = 0;
    std::vector<std::uint32_t> rows, orders;
    std::vector<LSHSlot> slots;
    std::vector<std::uint8_t> panels;
    HashFunctionsData functions;

    template <class T>
    LSH<T> view(MatrixView<const T> ordered) const {
        return {ordered,
                rows,
                {slots.data(), tables, tables == 0 ? 0 : slots.size() / tables},
                {orders.data(), tables < 2 ? 0 : tables - 1, points},
                {panels.data(), tables, tables == 0 ? 0 : panels.size() / tables},
                functions.view()};
    }
};

/// Builds the tables and copies the points, in the order of the first one, to `ordered`.
///
/// Memory beyond the points: for each point and table 4 bytes and those of its sketch, and at most
/// 24 for each bucket. While building, as much again. The same bits for any number of threads, and
/// on every instruction set.
///
/// Requires points.rows < 2^31, `ordered` of the same shape, finite floats, options in their
/// ranges, for bytes of which the distance is L2 points.cols <= max_byte_dims
/// (neighbors/exact.hpp), and packed bits only of bytes. Throws Interrupted.
template <class T>
LSHData build_lsh(MatrixView<const T> points, const HashOptions& options, MatrixView<T> ordered,
                  int threads);

/// Throws std::invalid_argument, saying what, unless searching `lsh` stays inside its arrays and
/// ends. One pass over all but points and panels.
template <class T>
void check_lsh(const LSH<T>& lsh);

struct LSHSearchOptions {
    /// How many points to look at in buckets, of those that are alive, those in several tables once
    /// in each; more if k, or so many, different ones are not among them. At least as many as there
    /// are: all are compared.
    std::uint64_t checks = std::numeric_limits<std::uint64_t>::max();
    /// How many buckets to look into at most. With 0 the checks alone count: a query that is too
    /// far from all points to find as many in (1,024 + n / 64) buckets looks at the sketches of
    /// all.
    std::uint64_t probes = 0;
    /// How many of the points looked at to compare: those of the nearest sketches, and any that are
    /// as near as the last of these. At least k are.
    std::uint64_t comparisons = 0;
    /// A bit for each row number, least significant first; where it is 0 the row is not found.
    /// Empty: all are.
    std::span<const std::uint64_t> alive{};
};

/// The nearest points of each query among those compared, none of them twice.
///
/// Buckets of all tables are looked into by one order: by the sum of the squares of how far the
/// query lies off each of their bounds. Of each point in them the sketch says how far it is at
/// about; the nearest by this are compared.
///
/// Distances are squared Euclidean, of bytes exact, of floats as in neighbors/row_distances.hpp, or
/// numbers of differing bits. Row i of `distances` and `ids` holds the ids.cols nearest of query i,
/// nearest first, the smaller row number first among equals; then id -1 and the largest distance.
/// They are the same bits for any number of threads, and on every instruction set.
///
/// Requires tables that pass their check, queries.cols == points.cols, ids.cols >= 1, finite
/// floats, and alive of ceil(n / 64) words or none. Safe to call from many threads; throws
/// Interrupted.
template <class T>
void search_lsh(const LSH<T>& lsh, MatrixView<const T> queries, const LSHSearchOptions& options,
                MatrixView<Distance<T>> distances, MatrixView<std::int64_t> ids, int threads);

/// Where in a directory of 2^bits places to begin to look for a key (Knuth, 6.4: multiplicative
/// hashing).
constexpr std::size_t lsh_place(std::uint32_t key, int bits) {
    return static_cast<std::size_t>((std::uint64_t{key * 0x9E3779B1U} << bits) >> 32);
}

}  // namespace trouvaille
