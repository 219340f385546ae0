// SPDX-License-Identifier: Apache-2.0
#pragma once

// Parts of rows, each summed up by one thread, in blocks. Private to aggregate/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "aggregate/doubles.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "core/view.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille::aggregate {

// What fits the registers of an instruction set: rows times a vector of components, and components
// times a vector of dimensions. `widen` is an instruction that compilers do not find.
struct PlainTiles {
    static constexpr std::size_t rows = 1, components = 1;
    static Doubles widen(Floats<lanes> v) { return __builtin_convertvector(v, Doubles); }
};
#if TROUVAILLE_X86
struct Avx2Tiles : PlainTiles {
    static constexpr std::size_t rows = 4;
};
struct Avx512Tiles {
    static constexpr std::size_t rows = 8, components = 4;
    TARGET_AVX512 static Doubles widen(Floats<lanes> v) { return _mm512_cvtps_pd(v); }
};
#endif

template <class Tiles, class Sums, class T>
ALWAYS_INLINE void add_part(Sums& sums, MatrixView<const T> x, std::size_t work,
                            InterruptPoll& poll) {
    const std::size_t block_rows = sums.block_rows();  // a multiple of a tile's
    for (std::size_t begin = 0; begin < x.rows; begin += block_rows) {
        const MatrixView<const T> block = x.slice(begin, std::min(x.rows, begin + block_rows));
        poll.did(block.rows * work);
        sums.template add<Tiles>(block);
    }
}

template <class Sums, class T>
void part_scalar(Sums& sums, MatrixView<const T> x, std::size_t work, InterruptPoll& poll) {
    add_part<PlainTiles>(sums, x, work, poll);
}

#if TROUVAILLE_X86
template <class Sums, class T>
[[gnu::flatten]] TARGET_AVX2 void part_avx2(Sums& sums, MatrixView<const T> x, std::size_t work,
                                            InterruptPoll& poll) {
    add_part<Avx2Tiles>(sums, x, work, poll);
}

template <class Sums, class T>
[[gnu::flatten]] TARGET_AVX512 void part_avx512(Sums& sums, MatrixView<const T> x, std::size_t work,
                                                InterruptPoll& poll) {
    add_part<Avx512Tiles>(sums, x, work, poll);
}

template <class Sums, class T>
constexpr decltype(&part_scalar<Sums, T>) variants[isa_count] = {
    part_scalar<Sums, T>, part_avx2<Sums, T>, part_avx512<Sums, T>};
#else
template <class Sums, class T>
constexpr decltype(&part_scalar<Sums, T>) variants[isa_count] = {
    part_scalar<Sums, T>, part_scalar<Sums, T>, part_scalar<Sums, T>};
#endif

/// take(i, rows, sums) for each part i: rows offsets[i] to offsets[i + 1]. A row takes `work`.
template <class Sums, class T, class Prepared, class Take>
void each_part(MatrixView<const T> x, std::span<const std::int64_t> offsets,
               const Prepared& mixture, std::size_t work, int threads, Take take) {
    const std::size_t parts = offsets.size() - 1;
    // Some million operations a chunk.
    const std::size_t of_part = (x.rows / std::max<std::size_t>(parts, 1) + 8) * (work + 1);
    const std::size_t grain = (std::size_t{1} << 20) / of_part + 1;
    const auto add = pick(variants<Sums, T>);
    parallel_for(parts, grain, threads, [&](std::size_t begin, std::size_t end) {
        Sums sums(mixture);
        InterruptPoll poll;
        for (std::size_t i = begin; i < end; ++i) {
            const auto first = static_cast<std::size_t>(offsets[i]),
                       last = static_cast<std::size_t>(offsets[i + 1]);
            sums.clear();
            add(sums, x.slice(first, last), work, poll);
            sums.finish();
            take(i, last - first, sums);
        }
    });
}

}  // namespace trouvaille::aggregate
