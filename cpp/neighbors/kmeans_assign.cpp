// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "neighbors/kmeans_train.hpp"
#include "neighbors/kmeans_walk.hpp"

namespace trouvaille::kmeans {
namespace {

/// Of the nodes above the lists those are opened that have this part of the points.
constexpr std::uint64_t opened_part = 8;

template <class T>
struct Task {
    std::span<const Level> levels;
    std::uint64_t sample;
    MatrixView<const T> points;
    std::uint32_t* lists;
};

template <class Kernel, class T>
ALWAYS_INLINE void assign_points(const Task<T>& task, std::size_t begin, std::size_t end) {
    Descent<Kernel, T> descent;
    InterruptPoll poll;
    for (; begin < end; ++begin) {
        descent.find(task.levels, task.points.row(begin), task.points.cols,
                     task.sample / opened_part + 1, 1);
        task.lists[begin] = descent.nearest(task.levels).number;
        poll.did(100);
    }
}

template <class T>
void assign_scalar(const Task<T>& task, std::size_t begin, std::size_t end) {
    assign_points<Scalar>(task, begin, end);
}
#if TROUVAILLE_X86
template <class T>
TARGET_AVX2 void assign_avx2(const Task<T>& task, std::size_t begin, std::size_t end) {
    assign_points<Avx2>(task, begin, end);
}
template <class T>
TARGET_AVX512 void assign_avx512(const Task<T>& task, std::size_t begin, std::size_t end) {
    assign_points<Avx512>(task, begin, end);
}
template <class T>
constexpr decltype(&assign_scalar<T>) assigners[isa_count] = {assign_scalar<T>, assign_avx2<T>,
                                                              assign_avx512<T>};
#else
template <class T>
constexpr decltype(&assign_scalar<T>) assigners[isa_count] = {assign_scalar<T>, assign_scalar<T>,
                                                              assign_scalar<T>};
#endif

}  // namespace

template <class T>
std::vector<std::uint32_t> assign(const KMeansTree<T>& tree, MatrixView<const T> points,
                                  int threads) {
    std::vector<std::uint32_t> lists(points.rows);
    const auto levels = levels_of(tree);
    const std::uint32_t sample = levels.back().starts[levels.back().panels * panel];
    const Task<T> task{levels, sample, points, lists.data()};
    const auto run = pick(assigners<T>);
    parallel_for(points.rows, 256, threads,
                 [&](std::size_t begin, std::size_t end) { run(task, begin, end); });
    return lists;
}

template std::vector<std::uint32_t> assign(const KMeansTree<std::uint8_t>&,
                                           MatrixView<const std::uint8_t>, int);
template std::vector<std::uint32_t> assign(const KMeansTree<float>&, MatrixView<const float>, int);

}  // namespace trouvaille::kmeans
