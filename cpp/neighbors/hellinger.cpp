// SPDX-License-Identifier: Apache-2.0
#include "neighbors/hellinger.hpp"

#include <cassert>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"

namespace trouvaille {
namespace {

template <class T>
ALWAYS_INLINE void write_rows(MatrixView<const T> x, std::size_t begin, std::size_t end,
                              MatrixView<T> out, InterruptPoll& poll) {
    for (std::size_t i = begin; i < end; ++i) {
        root_shares(x.row(i), x.cols, out.row(i));
        poll.did(1 + x.cols / 16);
    }
}

template <class T>
void rows_scalar(MatrixView<const T> x, std::size_t begin, std::size_t end, MatrixView<T> out,
                 InterruptPoll& poll) {
    write_rows(x, begin, end, out, poll);
}

#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void rows_avx2(MatrixView<const T> x, std::size_t begin, std::size_t end,
                           MatrixView<T> out, InterruptPoll& poll) {
    write_rows(x, begin, end, out, poll);
}

template <class T>
TARGET_AVX512 void rows_avx512(MatrixView<const T> x, std::size_t begin, std::size_t end,
                               MatrixView<T> out, InterruptPoll& poll) {
    write_rows(x, begin, end, out, poll);
}
#endif

template <class T>
using Rows = void (*)(MatrixView<const T>, std::size_t, std::size_t, MatrixView<T>, InterruptPoll&);

template <class T>
Rows<T> picked() {
#if TROUVAILLE_X86
    constexpr Rows<T> variants[isa_count] = {rows_scalar<T>, rows_avx2<T>, rows_avx512<T>};
#else
    constexpr Rows<T> variants[isa_count] = {rows_scalar<T>, rows_scalar<T>, rows_scalar<T>};
#endif
    return pick(variants);
}

}  // namespace

template <class T>
void hellinger_roots(MatrixView<const T> x, MatrixView<T> out, int threads) {
    assert(out.rows == x.rows && out.cols == x.cols);
    const Rows<T> rows = picked<T>();
    parallel_for(x.rows, 1024, threads, [&](std::size_t begin, std::size_t end) {
        InterruptPoll poll;
        rows(x, begin, end, out, poll);
    });
}

template void hellinger_roots(MatrixView<const std::uint8_t>, MatrixView<std::uint8_t>, int);
template void hellinger_roots(MatrixView<const float>, MatrixView<float>, int);

}  // namespace trouvaille
