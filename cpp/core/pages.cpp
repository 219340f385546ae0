// SPDX-License-Identifier: Apache-2.0
#include "core/pages.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#if defined(_WIN32)
#include <malloc.h>
#endif

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace trouvaille {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t cache_line = 64;

// A size of whole huge pages, or of whole cache lines where there would be less than a quarter of
// one: memory is not spent on what gains nothing.
std::size_t alignment_of(std::size_t bytes) {
    return bytes >= huge_page / 4 ? huge_page : cache_line;
}

}  // namespace

void* allocate_pages(std::size_t bytes) {
    const std::size_t alignment = alignment_of(bytes);
    if (bytes > std::numeric_limits<std::size_t>::max() - alignment) throw std::bad_alloc();
    const std::size_t size =
        (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
    void* memory = _aligned_malloc(size, alignment);
#else
    void* memory = std::aligned_alloc(alignment, size);
#endif
    if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    // Only advice: where it is refused, the pages are small ones.
    if (alignment == huge_page) madvise(memory, size, MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, size);
    return memory;
}

void free_pages(void* memory) noexcept {
#if defined(_WIN32)
    _aligned_free(memory);
#else
    std::free(memory);
#endif
}

}  // namespace trouvaille
