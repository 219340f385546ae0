// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "core/cpu.hpp"
#include "core/target.hpp"
#include "neighbors/exact_compare.hpp"
#include "neighbors/float_keys.hpp"

namespace trouvaille {
namespace {

template <class Vectors, Metric metric, class Point>
ALWAYS_INLINE void scan_rows(MatrixView<const float> queries, MatrixView<const Point> points,
                             float* keys) {
    constexpr std::size_t together = Vectors::lanes;
    const std::size_t n = points.rows, dims = points.cols, whole = n / together * together;
    for (std::size_t j = 0; j < whole; j += together)
        for (std::size_t q = 0; q < queries.rows; ++q)
            float_keys<Vectors, metric>(queries.row(q), points.row(j), dims, keys + q * n + j);
    for (std::size_t j = whole; j < n; ++j)
        for (std::size_t q = 0; q < queries.rows; ++q)
            keys[q * n + j] = float_key<Vectors, metric>(queries.row(q), points.row(j), dims);
}

template <Metric metric, class Point>
void scalar(MatrixView<const float> queries, MatrixView<const Point> points, float* keys) {
    scan_rows<ScalarFloats, metric>(queries, points, keys);
}

#if TROUVAILLE_X86
template <Metric metric, class Point>
[[gnu::flatten]] TARGET_AVX2 void avx2(MatrixView<const float> queries,
                                       MatrixView<const Point> points, float* keys) {
    scan_rows<Avx2Floats, metric>(queries, points, keys);
}

template <Metric metric, class Point>
[[gnu::flatten]] TARGET_AVX512 void avx512(MatrixView<const float> queries,
                                           MatrixView<const Point> points, float* keys) {
    scan_rows<Avx512Floats, metric>(queries, points, keys);
}

template <Metric metric, class Point>
constexpr decltype(&scalar<metric, Point>) variants[isa_count] = {
    scalar<metric, Point>, avx2<metric, Point>, avx512<metric, Point>};
#else
template <Metric metric, class Point>
constexpr decltype(&scalar<metric, Point>) variants[isa_count] = {
    scalar<metric, Point>, scalar<metric, Point>, scalar<metric, Point>};
#endif

}  // namespace

namespace exact {

template <Metric metric>
void compare_rows(MatrixView<const float> queries, MatrixView<const float> points, float* keys) {
    pick(variants<metric, float>)(queries, points, keys);
}

template <Metric metric>
void compare_rows(MatrixView<const float> queries, MatrixView<const Half> points, float* keys) {
    pick(variants<metric, Half>)(queries, points, keys);
}

#define INSTANTIATE(metric)                                                                       \
    template void compare_rows<metric>(MatrixView<const float>, MatrixView<const float>, float*); \
    template void compare_rows<metric>(MatrixView<const float>, MatrixView<const Half>, float*);
INSTANTIATE(Metric::l2)
INSTANTIATE(Metric::inner_product)
INSTANTIATE(Metric::l1)
#undef INSTANTIATE

}  // namespace exact
}  // namespace trouvaille
