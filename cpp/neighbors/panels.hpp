// SPDX-License-Identifier: Apache-2.0
#pragma once

// How rows are laid out for a register tile; see exact.hpp for the idea and exact_search.hpp for
// the search. Private to neighbors/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "core/target.hpp"
#include "core/view.hpp"

namespace trouvaille::exact {

/// Memory that starts at a cache line.
template <class T>
struct AlignedAllocator {
    using value_type = T;
    static constexpr std::align_val_t alignment{64};

    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT: the standard asks for it

    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
    bool operator==(const AlignedAllocator&) const = default;
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

constexpr std::size_t ceil_div(std::size_t a, std::size_t b) {
    return (a + b - 1) / b;
}

/// Lays row number `index` of a set into `rows`, where `Width` rows lie side by side. A row is cut
/// into units of `Unit` elements (what one lane of one instruction takes), the last one filled up
/// with zeros, `row_size` elements in all; unit s of the rows of one block of `Width` are adjacent.
template <std::size_t Width, std::size_t Unit, class Out, class In, class Convert>
ALWAYS_INLINE void interleave(const In* row, std::size_t dims, std::size_t index, Out* rows,
                              std::size_t row_size, Convert convert) {
    const std::size_t whole = dims / Unit;
    Out* out = rows + index / Width * Width * row_size + index % Width * Unit;
    for (std::size_t s = 0; s < whole; ++s, out += Width * Unit) {
        Out unit[Unit];
        for (std::size_t i = 0; i < Unit; ++i) unit[i] = convert(row[s * Unit + i]);
        std::memcpy(out, unit, sizeof unit);
    }
    if (dims == whole * Unit) return;
    for (std::size_t i = 0; i < Unit; ++i) {
        const std::size_t d = whole * Unit + i;
        out[i] = d < dims ? convert(row[d]) : Out{};
    }
}

/// A slice of the database, packed for `Kernel` (see exact_search.hpp) in panels of Kernel::panel
/// rows.
template <class Kernel>
struct Panels {
    using Input = typename Kernel::Input;
    using Word = typename Kernel::Word;
    using Score = typename Kernel::Score;
    using Norm = typename Kernel::Norm;

    MatrixView<const Input> rows;  // the slice, as it was given
    std::uint32_t first = 0;       // the number of its first row in the database
    AlignedVector<Word> words;     // see `interleave`; rows beyond the last are zero
    AlignedVector<Score> offsets;  // where a row's score starts: -|w|^2 / 2; rows beyond: lowest
    AlignedVector<Norm> norms;     // |w|^2; rows beyond: 0
    Norm largest_norm = 0;         // of the slice, set once all of it is packed

    Panels(std::size_t dims, std::size_t capacity)
        : rows{nullptr, 0, dims},
          words(capacity * Kernel::panel * steps() * Kernel::unit),
          offsets(capacity * Kernel::panel),
          norms(capacity * Kernel::panel) {}

    std::size_t count() const { return ceil_div(rows.rows, Kernel::panel); }
    std::size_t steps() const { return ceil_div(rows.cols, Kernel::unit); }
    std::size_t row_size() const { return steps() * Kernel::unit; }
    Word* panel(std::size_t p) { return words.data() + p * Kernel::panel * row_size(); }
    const Word* panel(std::size_t p) const { return words.data() + p * Kernel::panel * row_size(); }
};

/// Packs panel p of the slice. Different panels may be packed by different threads.
template <class Kernel>
ALWAYS_INLINE void pack_panel(Panels<Kernel>& panels, std::size_t p) {
    using Score = typename Kernel::Score;
    constexpr Score lowest = std::numeric_limits<Score>::has_infinity
                                 ? -std::numeric_limits<Score>::infinity()
                                 : std::numeric_limits<Score>::lowest();
    const std::size_t begin = p * Kernel::panel, dims = panels.rows.cols;
    const std::size_t valid = std::min(Kernel::panel, panels.rows.rows - begin);
    if (valid < Kernel::panel)
        std::fill_n(panels.panel(p), Kernel::panel * panels.row_size(), typename Kernel::Word{});
    for (std::size_t j = 0; j < Kernel::panel; ++j) {
        const bool exists = j < valid;
        auto& norm = panels.norms[begin + j];
        norm = exists ? Kernel::squared_norm(panels.rows.row(begin + j), dims) : 0;
        panels.offsets[begin + j] = exists ? Kernel::offset(norm) : lowest;
        if (!exists) continue;
        interleave<Kernel::lanes, Kernel::unit>(panels.rows.row(begin + j), dims, j,
                                                panels.panel(p), panels.row_size(), Kernel::word);
    }
}

}  // namespace trouvaille::exact
