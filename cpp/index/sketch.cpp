// SPDX-License-Identifier: Apache-2.0
#include "index/sketch.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/target.hpp"
#include "index/units.hpp"

#if TROUVAILLE_X86
#include <immintrin.h>
#endif

namespace trouvaille {
namespace {

using Bound = std::uint16_t;

constexpr double most_of_all_terms = 65'000;  // and one for each is below 2^16
constexpr std::size_t lanes = 32;             // bounds of a vector
using Bounds = VectorOf<Bound, lanes>::type;
constexpr std::size_t rows_a_chunk = 64;
constexpr std::size_t sample_step = 16;  // so often a factor is looked at to choose the classes

// Step 1: the bounds of all documents.
struct BoundsJob {
    std::span<SketchWork::Run> bitmaps, lists;
    std::span<const double> least;  // of the classes
    double scale;
    const std::uint8_t* classes;
    std::size_t n_documents;
    Bound* bounds;  // whole groups
    Bound* maxima;  // of rows_a_chunk documents each, `lanes` of them a chunk
};

// Step 2: the documents with a bound of `low` or more but below `high`, ascending.
struct TakeJob {
    const Bound* bounds;
    std::size_t n_documents;
    std::size_t low, high;  // low > 0
    std::size_t most;       // stops soon after so many
    std::vector<Candidate>* candidates;
};

std::size_t chunks(std::size_t n_documents) {
    return (n_documents + lanes * rows_a_chunk - 1) / (lanes * rows_a_chunk);
}

ALWAYS_INLINE void add_list(const SketchWork::Run& list, const BoundsJob& job) {
    const std::uint16_t* documents = list.run->documents;
    const std::size_t size = list.run->size;
    std::size_t i = 0;
    for (; i + 4 <= size; i += 4) {
        const std::uint64_t four = accumulate_detail::four_documents(documents + i);
        for (int shift = 0; shift < 64; shift += 16) {
            const std::size_t d = four >> shift & 0xFFFF;
            job.bounds[d] = static_cast<Bound>(job.bounds[d] + list.most[job.classes[d]]);
        }
    }
    for (; i < size; ++i) {
        const std::size_t d = documents[i];
        job.bounds[d] = static_cast<Bound>(job.bounds[d] + list.most[job.classes[d]]);
    }
}

ALWAYS_INLINE void add_lists(const BoundsJob& job) {
    InterruptPoll poll;
    for (const SketchWork::Run& list : job.lists) {
        add_list(list, job);
        poll.did(list.run->size);
    }
}

// maxima[lanes * c + l]: of the bounds l, l + lanes, l + 2 lanes, ... of chunk c.
ALWAYS_INLINE void find_maxima(const BoundsJob& job) {
    const std::size_t size = whole_groups(job.n_documents);
    for (std::size_t begin = 0, c = 0; begin < size; begin += lanes * rows_a_chunk, ++c) {
        const std::size_t end = std::min(size, begin + lanes * rows_a_chunk);
        Bounds most{};
        for (std::size_t i = begin; i < end; i += lanes) {
            Bounds bounds;
            std::memcpy(&bounds, job.bounds + i, sizeof bounds);
            most = max(most, bounds);
        }
        store(job.maxima + lanes * c, most);
    }
}

template <std::size_t N>
ALWAYS_INLINE void fill_tables(const BoundsJob& job, std::span<SketchWork::Run> runs) {
    for (SketchWork::Run& run : runs)
        for (std::size_t c = 0; c < sketch_classes; c += N) {
            Doubles<N> factor;
            std::memcpy(&factor, job.least.data() + c, sizeof factor);
            const Longs<N> most = run.kernel.template operator()<N>(splat<N>(run.value), factor);
            const Doubles<N> scaled = __builtin_convertvector(most, Doubles<N>) * job.scale + 1.0;
            store(run.most + c, __builtin_convertvector(scaled, typename VectorOf<Bound, N>::type));
        }
}

ALWAYS_INLINE void find_bounds(const BoundsJob& job) {
    fill_tables<4>(job, job.bitmaps);
    fill_tables<4>(job, job.lists);
    std::fill_n(job.bounds, whole_groups(job.n_documents), Bound{0});
    InterruptPoll poll;
    for (const SketchWork::Run& bitmap : job.bitmaps) {
        for (std::size_t w = 0; w < whole_groups(job.n_documents) / 64; ++w)
            for (std::uint64_t bits = bitmap_word(bitmap.run->documents, w); bits != 0;
                 bits &= bits - 1) {
                const std::size_t d = 64 * w + static_cast<std::size_t>(std::countr_zero(bits));
                job.bounds[d] = static_cast<Bound>(job.bounds[d] + bitmap.most[job.classes[d]]);
            }
        poll.did(bitmap.run->size);
    }
    add_lists(job);
    find_maxima(job);
}

void scalar(const BoundsJob& job) {
    find_bounds(job);
}

ALWAYS_INLINE void take_all(const TakeJob& job) {
    const Bounds below = Bounds{} + static_cast<Bound>(job.low - 1);
    for (std::size_t begin = 0; begin < job.n_documents; begin += lanes) {
        Bounds bounds;
        std::memcpy(&bounds, job.bounds + begin, sizeof bounds);
        const Bounds above = max(bounds, below) ^ below;
        std::uint64_t words[sizeof above / 8], any = 0;
        std::memcpy(words, &above, sizeof above);
        for (const std::uint64_t word : words) any |= word;
        if (any == 0) continue;
        for (std::size_t i = begin; i < begin + lanes; ++i)
            if (job.bounds[i] >= job.low && job.bounds[i] < job.high)
                job.candidates->push_back({0, 0, 0, static_cast<std::uint32_t>(i)});
        if (job.candidates->size() > job.most) return;
    }
}

void take_scalar(const TakeJob& job) {
    take_all(job);
}

#if TROUVAILLE_X86
TARGET_AVX2 void avx2(const BoundsJob& job) {
    find_bounds(job);
}

// All bitmaps at once, 32 documents of each.
TARGET_AVX512 void avx512(const BoundsJob& job) {
    fill_tables<8>(job, job.bitmaps);
    fill_tables<8>(job, job.lists);
    InterruptPoll poll;
    for (std::size_t g = 0; g < whole_groups(job.n_documents) / 64; ++g) {
        const auto* classes = reinterpret_cast<const __m256i*>(job.classes + 64 * g);
        const __m512i first = _mm512_cvtepu8_epi16(_mm256_loadu_si256(classes));
        const __m512i second = _mm512_cvtepu8_epi16(_mm256_loadu_si256(classes + 1));
        __m512i a = _mm512_setzero_si512(), b = a;
        for (const SketchWork::Run& bitmap : job.bitmaps) {
            const std::uint64_t bits = bitmap_word(bitmap.run->documents, g);
            const __m512i low = _mm512_load_si512(bitmap.most);
            const __m512i high = _mm512_load_si512(bitmap.most + 32);
            a = _mm512_mask_add_epi16(a, static_cast<__mmask32>(bits), a,
                                      _mm512_permutex2var_epi16(low, first, high));
            b = _mm512_mask_add_epi16(b, static_cast<__mmask32>(bits >> 32), b,
                                      _mm512_permutex2var_epi16(low, second, high));
        }
        _mm512_storeu_si512(job.bounds + 64 * g, a);
        _mm512_storeu_si512(job.bounds + 64 * g + 32, b);
        poll.did(job.bitmaps.size());
    }
    add_lists(job);
    find_maxima(job);
}

TARGET_AVX2 void take_avx2(const TakeJob& job) {
    take_all(job);
}
TARGET_AVX512 void take_avx512(const TakeJob& job) {
    const auto low = _mm512_set1_epi16(static_cast<std::int16_t>(job.low));
    const auto highest = _mm512_set1_epi16(static_cast<std::int16_t>(job.high - 1));
    for (std::size_t i = 0; i < job.n_documents; i += lanes) {
        const __m512i bounds = _mm512_loadu_si512(job.bounds + i);
        std::uint32_t taken = _mm512_cmpge_epu16_mask(bounds, low);
        if (taken == 0) continue;
        taken &= _mm512_cmple_epu16_mask(bounds, highest);
        for (; taken != 0; taken &= taken - 1) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(taken));
            job.candidates->push_back({0, 0, 0, static_cast<std::uint32_t>(i) + bit});
        }
        if (job.candidates->size() > job.most) return;
    }
}
#else
constexpr auto avx2 = scalar;
constexpr auto avx512 = scalar;
constexpr auto take_avx2 = take_scalar;
constexpr auto take_avx512 = take_scalar;
#endif

constexpr decltype(&scalar) variants[isa_count] = {scalar, avx2, avx512};
constexpr decltype(&take_scalar) take_variants[isa_count] = {take_scalar, take_avx2, take_avx512};

// ---- of one query

std::int64_t exact(const SketchJob& job, const TermRun& run, double factor) {
    return pruning_detail::contribution(job.kernels[run.term], run, rooted(run.value, job.roots),
                                        factor);
}

// The greatest sum that a document may have.
std::int64_t greatest_sum(const SketchJob& job) {
    std::vector<std::int64_t> of_terms(job.kernels.size());
    for (const std::vector<TermRun>* runs : {&job.runs->bitmaps, &job.runs->documents})
        for (const TermRun& run : *runs)
            of_terms[run.term] =
                std::max(of_terms[run.term], exact(job, run, job.classes->least.front()));
    std::int64_t sum = 0;
    for (const std::int64_t of_term : of_terms) sum += of_term;
    return sum;
}

void list_runs(const SketchJob& job, const std::vector<TermRun>& from,
               std::vector<SketchWork::Run>& runs) {
    runs.clear();
    for (const TermRun& run : from)
        runs.push_back({&run, job.kernels[run.term], rooted(run.value, job.roots), {}});
}

// Takes the bounds of documents that may not be found away.
void forbid(const SketchJob& job, Bound* bounds) {
    if (job.alive.empty() && job.mask.empty()) return;
    for (std::size_t g = 0; g < whole_groups(job.block->n_documents) / 64; ++g) {
        std::uint64_t allowed = job.alive.empty() ? ~std::uint64_t{0} : job.alive[g];
        if (!job.mask.empty()) allowed &= job.mask[g];
        for (std::uint64_t bits = ~allowed; bits != 0; bits &= bits - 1)
            bounds[64 * g + static_cast<std::size_t>(std::countr_zero(bits))] = 0;
    }
}

// Adds the documents with such bounds to the candidates. False if there are too many.
bool take(const SketchJob& job, std::size_t low, std::size_t high, SketchWork& work) {
    const std::size_t n = job.block->n_documents;
    const std::size_t most = work.candidates.size() + 64 + n / 64;
    pick(take_variants)({work.bounds.data(), n, low, high, most, &work.candidates});
    return work.candidates.size() <= most;
}

void look_up_in_bitmap(const SketchJob& job, const TermRun& run, std::span<Candidate> candidates) {
    for (Candidate& candidate : candidates)
        if (bitmap_has(run.documents, candidate.document))
            candidate.sum += exact(job, run, job.factors[candidate.document]);
}

// By bisection where candidates are few, else by a walk that knows them by their marks.
void look_up_in_list(const SketchJob& job, const TermRun& run, std::span<Candidate> candidates,
                     std::span<const SketchWork::Mark> marks) {
    constexpr std::size_t bisection = 96;  // postings are walked in its time
    if (candidates.size() * bisection < run.size) {
        for (Candidate& candidate : candidates)
            if (place_in(run, candidate.document) < run.size)
                candidate.sum += exact(job, run, job.factors[candidate.document]);
        return;
    }
    for (std::size_t i = 0; i < run.size; ++i) {
        const std::uint16_t document = run.documents[i];
        const SketchWork::Mark& mark = marks[document / 64];
        if ((mark.documents >> document % 64 & 1) == 0) continue;
        const std::uint64_t before = mark.documents & ((std::uint64_t{1} << document % 64) - 1);
        Candidate& candidate =
            candidates[mark.first + static_cast<std::size_t>(std::popcount(before))];
        candidate.sum += exact(job, run, job.factors[document]);
    }
}

// The complete sums of candidates, who ascend.
void complete(const SketchJob& job, std::span<Candidate> candidates, SketchWork& work) {
    if (candidates.empty()) return;
    std::vector<SketchWork::Mark>& marks = work.marks;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const std::uint32_t document = candidates[i].document;
        SketchWork::Mark& mark = marks[document / 64];
        if (mark.documents == 0) mark.first = static_cast<std::uint32_t>(i);
        mark.documents |= std::uint64_t{1} << document % 64;
    }
    for (const TermRun& run : job.runs->bitmaps) look_up_in_bitmap(job, run, candidates);
    for (const TermRun& run : job.runs->documents) look_up_in_list(job, run, candidates, marks);
    for (const Candidate& candidate : candidates) marks[candidate.document / 64].documents = 0;
    check_interrupt();
}

// No document with a sum of `least` has a bound below this.
std::size_t least_bound(std::int64_t least, double scale) {
    return static_cast<std::size_t>(static_cast<double>(least) * scale * (1 - 0x1p-40));
}

// The k-th greatest of what k groups of documents have at most; 0 if there are fewer groups.
std::size_t kth_maximum(SketchWork& work, std::size_t k) {
    if (k > work.maxima.size()) return 0;
    const auto kth = work.maxima.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(work.maxima.begin(), kth, work.maxima.end(), std::greater<>());
    return *kth;
}

std::int64_t kth_sum(SketchWork& work, std::size_t k) {
    work.sums.clear();
    for (const Candidate& candidate : work.candidates) work.sums.push_back(candidate.sum);
    const auto kth = work.sums.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(work.sums.begin(), kth, work.sums.end(), std::greater<>());
    return *kth;
}

}  // namespace

FactorClasses classes_of(std::span<const double> factors) {
    FactorClasses classes;
    classes.of = Pages<std::uint8_t>(whole_groups(factors.size()));
    if (factors.empty()) return classes;
    std::vector<double> sample{*std::min_element(factors.begin(), factors.end())};
    for (std::size_t d = 0; d < factors.size(); d += sample_step) sample.push_back(factors[d]);
    std::sort(sample.begin(), sample.end());
    for (std::size_t c = 0; c < sketch_classes; ++c)
        classes.least.push_back(sample[c * sample.size() / sketch_classes]);
    for (std::size_t d = 0; d < factors.size(); ++d) {
        const auto after = std::upper_bound(classes.least.begin(), classes.least.end(), factors[d]);
        classes.of.data()[d] = static_cast<std::uint8_t>(after - classes.least.begin() - 1);
    }
    return classes;
}

std::optional<std::span<const Candidate>> sketched(const SketchJob& job, SketchWork& work) {
    work.candidates.clear();
    const std::int64_t greatest = greatest_sum(job);
    if (greatest < job.least) return work.candidates;  // no document has so much
    if (greatest == 0) return std::nullopt;            // all have 0
    const double scale = most_of_all_terms / static_cast<double>(greatest);
    list_runs(job, job.runs->bitmaps, work.bitmaps);
    list_runs(job, job.runs->documents, work.lists);
    const std::size_t n_documents = job.block->n_documents;
    work.maxima.resize(lanes * chunks(n_documents));
    pick(variants)({work.bitmaps, work.lists, job.classes->least, scale, job.classes->of.data(),
                    n_documents, work.bounds.data(), work.maxima.data()});
    forbid(job, work.bounds.data());
    std::size_t high = 0x10000;
    std::int64_t least = job.least;
    if (least == 0) {
        const std::size_t low = kth_maximum(work, job.k);
        if (low == 0 || !take(job, low, high, work)) return std::nullopt;
        if (work.candidates.size() < job.k) return std::nullopt;  // others may not be found
        complete(job, work.candidates, work);
        least = kth_sum(work, job.k);
        high = low;
    }
    const std::size_t low = least_bound(least, scale);
    if (low == 0) return std::nullopt;
    const std::size_t before = work.candidates.size();
    if (low < high && !take(job, low, high, work)) return std::nullopt;
    complete(job, std::span(work.candidates).subspan(before), work);
    return work.candidates;
}

}  // namespace trouvaille
