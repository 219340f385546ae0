// SPDX-License-Identifier: Apache-2.0
#pragma once

// The heart of a search: sums[d] += kernel(posting) over the lists of a query's words, in one
// block. Included by the files that instantiate it for a kernel.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/target.hpp"
#include "index/block.hpp"
#include "index/kernels.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {

inline constexpr std::size_t group_documents = 64;  // sums come in whole groups

/// A run, and whose it is.
struct TermRun : Run {
    std::uint32_t term;
};

/// The runs of a query's words in one block.
struct QueryRuns {
    std::vector<TermRun> documents, bitmaps;
    std::vector<List> lists;
};

/// Looks the lists up, and fetches their beginnings into the cache meanwhile: each is a miss.
template <class WordOf>  // word_of(i): of term i
void find_runs(const Block& block, std::size_t n_terms, WordOf word_of, QueryRuns& runs) {
    constexpr std::size_t ahead = 16;
    runs.documents.clear();
    runs.bitmaps.clear();
    runs.lists.resize(n_terms);
    for (std::size_t i = 0; i < n_terms + 2 * ahead; ++i) {
        if (i < n_terms && block.words.empty() && block.lists() > 0)
            __builtin_prefetch(&block.starts[word_of(i)]);
        if (i >= ahead && i - ahead < n_terms) {
            const List list = find_list(block, word_of(i - ahead));
            runs.lists[i - ahead] = list;
            if (!list.empty()) __builtin_prefetch(block.stream.data() + list.begin);
        }
        if (i < 2 * ahead || runs.lists[i - 2 * ahead].empty()) continue;
        TermRun run;
        run.term = static_cast<std::uint32_t>(i - 2 * ahead);
        for (Runs parts(block, runs.lists[i - 2 * ahead]); parts.next(run);)
            (run.bitmap ? runs.bitmaps : runs.documents).push_back(run);
    }
}

template <class Kernel>
struct AccumulateJob {
    const Block* block;
    const double* factors;  // of the documents, in whole groups; null unless the kernel uses them
    const double* ones;     // with a kernel of shares: 1 / (1 + factor), likewise
    int roots;
    std::span<const Kernel> kernels;  // of the terms
    const QueryRuns* runs;
    std::uint16_t* decoded;  // room for max_block_documents
    float largest;           // value of the block
    std::int64_t* sums;      // whole groups
    bool fresh;              // are the sums to be cleared first?
};

namespace accumulate_detail {

constexpr std::size_t piece = 64;  // postings worked on at a time

/// Documents of a run, four to a 64-bit word, so that a load serves four.
ALWAYS_INLINE std::uint64_t four_documents(const std::uint16_t* documents) {
    std::uint64_t four;
    std::memcpy(&four, documents, sizeof four);
    return four;
}

ALWAYS_INLINE void scatter(const std::uint16_t* documents, std::size_t n, std::int64_t value,
                           std::int64_t* sums) {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const std::uint64_t a = four_documents(documents + i),
                            b = four_documents(documents + i + 4);
        sums[a & 0xFFFF] += value;
        sums[a >> 16 & 0xFFFF] += value;
        sums[a >> 32 & 0xFFFF] += value;
        sums[a >> 48] += value;
        sums[b & 0xFFFF] += value;
        sums[b >> 16 & 0xFFFF] += value;
        sums[b >> 32 & 0xFFFF] += value;
        sums[b >> 48] += value;
    }
    for (; i < n; ++i) sums[documents[i]] += value;
}

ALWAYS_INLINE void scatter(const std::uint16_t* documents, std::size_t n,
                           const std::int64_t* values, std::int64_t* sums) {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const std::uint64_t a = four_documents(documents + i);
        sums[a & 0xFFFF] += values[i];
        sums[a >> 16 & 0xFFFF] += values[i + 1];
        sums[a >> 32 & 0xFFFF] += values[i + 2];
        sums[a >> 48] += values[i + 3];
    }
    for (; i < n; ++i) sums[documents[i]] += values[i];
}

template <std::size_t N, class Kernel>
ALWAYS_INLINE std::int64_t of_constant(const Kernel& kernel, float x) {
    if constexpr (requires { kernel.of_constant(x); }) {
        return kernel.of_constant(x);
    } else {
        const Longs<N> all = kernel.template operator()<N>(splat<N>(x), Doubles<N>{});
        return all[0];
    }
}

template <std::size_t N, class Kernel>
ALWAYS_INLINE void contributions(const Kernel& kernel, const float* x, const double* factors,
                                 std::size_t n, std::int64_t* out) {
    for (std::size_t i = 0; i < n; i += N) {
        Doubles<N> factor{};
        if constexpr (Kernel::uses_factor) std::memcpy(&factor, factors + i, sizeof factor);
        store(out + i, kernel.template operator()<N>(load<N>(x + i), factor));
    }
}

// A run whose values are 1, of a kernel of shares: nothing is divided.
template <std::size_t N, class Kernel>
ALWAYS_INLINE void add_ones(const Kernel& kernel, const double* ones,
                            const std::uint16_t* documents, std::size_t size, std::int64_t* sums) {
    alignas(64) double shares[piece] = {};
    alignas(64) std::int64_t values[piece];
    for (std::size_t i = 0; i < size; i += piece) {
        const std::size_t n = std::min(size - i, piece);
        for (std::size_t j = 0; j < n; ++j) shares[j] = ones[documents[i + j]];
        for (std::size_t j = 0; j < n; j += N) {
            Doubles<N> share;
            std::memcpy(&share, shares + j, sizeof share);
            store(values + j, kernel.template of_share<N>(share));
        }
        scatter(documents + i, n, values, sums);
    }
}

// A run of bytes, of a kernel that does not look at the document: there are but 256 contributions.
template <std::size_t N, class Kernel>
ALWAYS_INLINE void add_bytes(const AccumulateJob<Kernel>& job, const TermRun& run,
                             const std::uint16_t* documents) {
    constexpr std::size_t n_bytes = 256;
    alignas(64) float values[n_bytes];
    alignas(64) std::int64_t table[n_bytes];
    for (std::size_t i = 0; i < n_bytes; ++i)  // greater ones are not there, nor in range
        values[i] =
            rooted(std::min(static_cast<float>(i) * job.block->step, job.largest), job.roots);
    contributions<N>(job.kernels[run.term], values, nullptr, n_bytes, table);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(run.values);
    std::int64_t* sums = job.sums;
    std::size_t i = 0;
    for (; i + 4 <= run.size; i += 4) {
        const std::uint64_t a = four_documents(documents + i);
        sums[a & 0xFFFF] += table[bytes[i]];
        sums[a >> 16 & 0xFFFF] += table[bytes[i + 1]];
        sums[a >> 32 & 0xFFFF] += table[bytes[i + 2]];
        sums[a >> 48] += table[bytes[i + 3]];
    }
    for (; i < run.size; ++i) sums[documents[i]] += table[bytes[i]];
}

template <class Kernel>
bool is_tabled(const AccumulateJob<Kernel>& job, const TermRun& run) {
    constexpr std::uint32_t least = 512;  // postings that pay for a table
    return !Kernel::uses_factor && job.block->storage == Storage::uint8 && run.values != nullptr &&
           run.size >= least;
}

// `documents` are those of the run, decoded if it has a bitmap.
template <std::size_t N, class Kernel>
ALWAYS_INLINE void add_run(const AccumulateJob<Kernel>& job, const TermRun& run,
                           const std::uint16_t* documents) {
    const Kernel kernel = job.kernels[run.term];
    std::int64_t* sums = job.sums;
    if constexpr (!Kernel::uses_factor)
        if (is_tabled(job, run)) return add_bytes<N>(job, run, documents);
    if constexpr (OfShares<Kernel>)
        if (run.values == nullptr && run.value == 1)
            return add_ones<N>(kernel, job.ones, documents, run.size, sums);
    if (!Kernel::uses_factor && run.values == nullptr)
        return scatter(documents, run.size, of_constant<N>(kernel, rooted(run.value, job.roots)),
                       sums);
    alignas(64) float decoded[piece];
    alignas(64) double factors[piece] = {};
    alignas(64) std::int64_t values[piece];
    const bool as_they_are = job.block->storage == Storage::float32 && job.roots == 0;
    if (run.values == nullptr) std::fill_n(decoded, piece, rooted(run.value, job.roots));
    for (std::size_t i = 0; i < run.size; i += piece) {
        const std::size_t n = std::min<std::size_t>(run.size - i, piece);
        const float* x = decoded;
        if (run.values != nullptr && as_they_are) {
            x = reinterpret_cast<const float*>(run.values + 2 * i);  // loaded byte by byte
        } else if (run.values != nullptr) {
            decode_values(*job.block, run, i, n, decoded);
            if (job.roots > 0)
                for (std::size_t j = 0; j < n; ++j) decoded[j] = rooted(decoded[j], job.roots);
        }
        if constexpr (Kernel::uses_factor)
            for (std::size_t j = 0; j < n; ++j) factors[j] = job.factors[documents[i + j]];
        contributions<N>(kernel, x, factors, n, values);
        scatter(documents + i, n, values, sums);
    }
}

// The hardware notices a list that is read on and on; its beginning it cannot foresee.
// The second cache has more room for what is under way than the first.
ALWAYS_INLINE void prefetch_run(const TermRun& run) {
    constexpr std::size_t first = 2048, line = 64;  // bytes
    const auto* documents = reinterpret_cast<const char*>(run.documents);
    const std::size_t bytes = std::min<std::size_t>(2 * run.size, first);
    for (std::size_t i = 0; i < bytes; i += line) __builtin_prefetch(documents + i, 0, 2);
    if (run.values == nullptr) return;
    const auto* values = reinterpret_cast<const char*>(run.values);
    for (std::size_t i = 0; i < 2 * bytes; i += line) __builtin_prefetch(values + i, 0, 2);
}

template <std::size_t N, class Kernel>
ALWAYS_INLINE void add_document_runs(const AccumulateJob<Kernel>& job, InterruptPoll& poll) {
    constexpr std::size_t ahead = 16;
    const std::vector<TermRun>& runs = job.runs->documents;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (i + ahead < runs.size()) prefetch_run(runs[i + ahead]);
        add_run<N>(job, runs[i], runs[i].documents);
        poll.did(runs[i].size);
    }
}

template <class Kernel>
void clear(const AccumulateJob<Kernel>& job) {
    const std::size_t groups = (job.block->n_documents + group_documents - 1) / group_documents;
    if (job.fresh) std::fill_n(job.sums, groups * group_documents, std::int64_t{0});
}

// Without masked vectors, bitmaps are turned into document numbers.
template <std::size_t N, class Kernel>
ALWAYS_INLINE void accumulate_all(const AccumulateJob<Kernel>& job) {
    clear(job);
    InterruptPoll poll;
    for (const TermRun& run : job.runs->bitmaps) {
        decode_documents(run, job.block->n_documents, job.decoded);
        add_run<N>(job, run, job.decoded);
        poll.did(run.size);
    }
    add_document_runs<N>(job, poll);
}

template <class Kernel>
void accumulate_scalar(const AccumulateJob<Kernel>& job) {
    accumulate_all<4>(job);
}

#if TROUVAILLE_X86
template <class Kernel>
TARGET_AVX2 void accumulate_avx2(const AccumulateJob<Kernel>& job) {
    accumulate_all<4>(job);
}

// A run with a bitmap whose documents all get the same.
struct ConstantBitmap {
    const std::uint16_t* bitmap;
    std::int64_t contribution;
};

// Any other run with a bitmap, and how far it has been read.
template <class Kernel>
struct BitmapCursor {
    const std::uint16_t* bitmap;
    const std::uint16_t* values;  // null: all are x
    std::size_t read;             // values
    const Kernel* kernel;
    float x;
};

// Sums of a group of 64 documents, eight to a register.
struct GroupSums {
    __m512i of[8];
};

TARGET_AVX512 ALWAYS_INLINE void add_constant(const ConstantBitmap& run, std::size_t group,
                                              GroupSums& sums) {
    const std::uint64_t bits = bitmap_word(run.bitmap, group);
    const __m512i all = _mm512_set1_epi64(run.contribution);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
        const auto mask = static_cast<__mmask8>(bits >> 8 * j);
        sums.of[j] = _mm512_mask_add_epi64(sums.of[j], mask, sums.of[j], all);
    }
}

// A run with a bitmap whose values are 1, of a kernel of shares.
template <class Kernel>
struct OnesBitmap {
    const std::uint16_t* bitmap;
    const Kernel* kernel;
};

template <class Kernel>
TARGET_AVX512 ALWAYS_INLINE void add_ones(const OnesBitmap<Kernel>& run, const double* ones,
                                          std::size_t group, GroupSums& sums) {
    const std::uint64_t bits = bitmap_word(run.bitmap, group);
    const Kernel kernel = *run.kernel;
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
        const auto mask = static_cast<__mmask8>(bits >> 8 * j);
        const auto shares = (Doubles<8>)_mm512_loadu_pd(ones + group * group_documents + 8 * j);
        const auto added = (__m512i)kernel.template of_share<8>(shares);
        sums.of[j] = _mm512_mask_add_epi64(sums.of[j], mask, sums.of[j], added);
    }
}

template <Storage storage>
TARGET_AVX512 ALWAYS_INLINE __m512 sixteen_values(float step, const std::uint16_t* values,
                                                  std::size_t i) {
    if constexpr (storage == Storage::float32) {
        return _mm512_loadu_ps(values + 2 * i);
    } else if constexpr (storage == Storage::float16) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i)));
    } else {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(values) + i;
        const __m128i steps = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(steps)), _mm512_set1_ps(step));
    }
}

// `storage` counts: all values are x.
template <Storage storage, class Kernel>
TARGET_AVX512 ALWAYS_INLINE void add_values(const AccumulateJob<Kernel>& job,
                                            BitmapCursor<Kernel>& run, std::size_t group,
                                            GroupSums& sums) {
    const std::uint64_t bits = bitmap_word(run.bitmap, group);
    const Kernel kernel = *run.kernel;
    const float step = job.block->step;
    const __m512 constant = _mm512_set1_ps(run.x);
    const std::uint16_t* values = run.values;
    std::size_t read = run.read;
    if constexpr (storage != Storage::counts) {  // too many lists for the hardware to follow
        constexpr std::size_t units = storage == Storage::float32 ? 2 : 1, ahead = 256;
        __builtin_prefetch(values + units * read + ahead, 0, 2);
        __builtin_prefetch(values + units * read + ahead + 32, 0, 2);
    }
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 8; j += 2) {
        const auto mask = static_cast<__mmask16>(bits >> 8 * j);
        __m512 x;
        if constexpr (storage == Storage::counts) {
            x = _mm512_maskz_mov_ps(mask, constant);
        } else {
            __m512 packed = sixteen_values<storage>(step, values, read);
            // Expanding what is in memory takes microcode on some CPUs, a hundred cycles of it.
            asm("" : "+v"(packed));
            x = _mm512_maskz_expand_ps(mask, packed);
            for (int i = 0; i < job.roots; ++i) x = _mm512_sqrt_ps(x);
            read += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(mask)));
        }
        Doubles<16> factor{};
        if constexpr (Kernel::uses_factor)
            std::memcpy(&factor, job.factors + group * group_documents + 8 * j, sizeof factor);
        const Longs<16> added = kernel.template operator()<16>((Floats<16>)x, factor);
        __m512i of_eight[2];
        std::memcpy(of_eight, &added, sizeof of_eight);
        sums.of[j] = _mm512_add_epi64(sums.of[j], of_eight[0]);
        sums.of[j + 1] = _mm512_add_epi64(sums.of[j + 1], of_eight[1]);
    }
    run.read = read;
}

template <class Kernel>
struct Bitmaps {
    std::vector<ConstantBitmap> constant;
    std::vector<OnesBitmap<Kernel>> ones;
    std::vector<BitmapCursor<Kernel>> cursors;

    std::size_t size() const { return constant.size() + ones.size() + cursors.size(); }
};

template <Storage storage, class Kernel>
TARGET_AVX512 ALWAYS_INLINE void add_cursors(const AccumulateJob<Kernel>& job,
                                             Bitmaps<Kernel>& bitmaps, std::size_t group,
                                             GroupSums& sums) {
    for (BitmapCursor<Kernel>& run : bitmaps.cursors) add_values<storage>(job, run, group, sums);
}

// Sums stay in registers while all bitmaps are gone through, group by group: no sum is loaded or
// stored, and a document that a list lacks costs an eighth of an instruction.
template <Storage storage, class Kernel>
TARGET_AVX512 ALWAYS_INLINE void add_bitmaps(const AccumulateJob<Kernel>& job,
                                             Bitmaps<Kernel>& bitmaps, InterruptPoll& poll) {
    constexpr std::size_t groups_a_line = 8, units_a_line = 32;
    const std::size_t n_groups = (job.block->n_documents + group_documents - 1) / group_documents;
    for (std::size_t group = 0; group < n_groups; ++group) {
        std::int64_t* place = job.sums + group * group_documents;
        GroupSums sums;
#pragma GCC unroll 8
        for (std::size_t j = 0; j < 8; ++j)
            sums.of[j] = job.fresh ? _mm512_setzero_si512() : _mm512_loadu_si512(place + 8 * j);
        if (group % groups_a_line == 0) {
            const std::size_t ahead = 4 * group + 2 * units_a_line;
            for (const auto& run : bitmaps.constant) __builtin_prefetch(run.bitmap + ahead, 0, 2);
            for (const auto& run : bitmaps.ones) __builtin_prefetch(run.bitmap + ahead, 0, 2);
            for (const auto& run : bitmaps.cursors) __builtin_prefetch(run.bitmap + ahead, 0, 2);
        }
        for (const ConstantBitmap& run : bitmaps.constant) add_constant(run, group, sums);
        if constexpr (OfShares<Kernel>)
            for (const auto& run : bitmaps.ones) add_ones(run, job.ones, group, sums);
        add_cursors<storage>(job, bitmaps, group, sums);
#pragma GCC unroll 8
        for (std::size_t j = 0; j < 8; ++j) _mm512_storeu_si512(place + 8 * j, sums.of[j]);
        poll.did(8 * bitmaps.size());
    }
}

template <class Kernel>
TARGET_AVX512 void accumulate_avx512(const AccumulateJob<Kernel>& job) {
    InterruptPoll poll;
    Bitmaps<Kernel> bitmaps;
    for (const TermRun& run : job.runs->bitmaps) {
        if (Kernel::is_costly && run.values != nullptr) continue;  // later
        const Kernel& kernel = job.kernels[run.term];
        const float x = run.values == nullptr ? rooted(run.value, job.roots) : 0;
        if (!Kernel::uses_factor && run.values == nullptr)
            bitmaps.constant.push_back({run.documents, of_constant<8>(kernel, x)});
        else if (OfShares<Kernel> && run.values == nullptr && run.value == 1)
            bitmaps.ones.push_back({run.documents, &kernel});
        else
            bitmaps.cursors.push_back({run.documents, run.values, 0, &kernel, x});
    }
    const Storage storage = job.block->storage;
    if (job.runs->bitmaps.empty())
        clear(job);
    else if (storage == Storage::counts)
        add_bitmaps<Storage::counts>(job, bitmaps, poll);
    else if (storage == Storage::float32)
        add_bitmaps<Storage::float32>(job, bitmaps, poll);
    else if (storage == Storage::float16)
        add_bitmaps<Storage::float16>(job, bitmaps, poll);
    else
        add_bitmaps<Storage::uint8>(job, bitmaps, poll);
    for (const TermRun& run : job.runs->bitmaps) {
        if (!Kernel::is_costly || run.values == nullptr) continue;
        decode_documents(run, job.block->n_documents, job.decoded);
        add_run<16>(job, run, job.decoded);
        poll.did(run.size);
    }
    add_document_runs<16>(job, poll);
}
#else
template <class Kernel>
constexpr auto accumulate_avx2 = accumulate_scalar<Kernel>;
template <class Kernel>
constexpr auto accumulate_avx512 = accumulate_scalar<Kernel>;
#endif

}  // namespace accumulate_detail

/// Adds the contributions of all runs. All instruction sets give the same bits.
template <class Kernel>
void accumulate(const AccumulateJob<Kernel>& job) {
    using namespace accumulate_detail;
    static constexpr decltype(&accumulate_scalar<Kernel>) variants[isa_count] = {
        accumulate_scalar<Kernel>, accumulate_avx2<Kernel>, accumulate_avx512<Kernel>};
    pick(variants)(job);
}

}  // namespace trouvaille
