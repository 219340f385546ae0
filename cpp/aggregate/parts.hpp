// SPDX-License-Identifier: Apache-2.0
#pragma once

// Parts of rows, each summed up by one thread, in blocks. Private to aggregate/.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "aggregate/tiles.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/target.hpp"
#include "core/view.hpp"

namespace trouvaille::aggregate {

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

/// What a thread works with, given back to be used again: memory comes in new pages, else, and they
/// cost a large mixture more than its sums do.
template <class T>
class Idle {
  public:
    template <class Make>
    std::unique_ptr<T> take(Make make) {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                std::unique_ptr<T> one = std::move(idle_.back());
                idle_.pop_back();
                return one;
            }
        }
        return make();
    }

    void give_back(std::unique_ptr<T> one) {
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(one));
    }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> idle_;
};

/// take(i, rows, sums, scratch) for each part i: rows offsets[i] to offsets[i + 1], and a vector
/// for it to work with. A row takes `work`.
template <class Sums, class T, class Prepared, class Take>
void each_part(MatrixView<const T> x, std::span<const std::int64_t> offsets,
               const Prepared& mixture, std::size_t work, int threads, Take take) {
    struct Worker {
        Sums sums;
        std::vector<double> scratch;
    };
    const std::size_t parts = offsets.size() - 1;
    // Some million operations a chunk.
    const std::size_t of_part = (x.rows / std::max<std::size_t>(parts, 1) + 8) * (work + 1);
    const std::size_t grain = (std::size_t{1} << 20) / of_part + 1;
    const auto add = pick(variants<Sums, T>);
    Idle<Worker> idle;
    parallel_for(parts, grain, threads, [&](std::size_t begin, std::size_t end) {
        auto worker = idle.take([&] { return std::make_unique<Worker>(Sums(mixture)); });
        Sums& sums = worker->sums;
        InterruptPoll poll;
        for (std::size_t i = begin; i < end; ++i) {
            const auto first = static_cast<std::size_t>(offsets[i]),
                       last = static_cast<std::size_t>(offsets[i + 1]);
            sums.clear();
            add(sums, x.slice(first, last), work, poll);
            sums.finish();
            take(i, last - first, sums, worker->scratch);
        }
        idle.give_back(std::move(worker));
    });
}

}  // namespace trouvaille::aggregate
