// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "core/size.hpp"

namespace trouvaille {

/// Zeroed memory, on huge pages where the system has them to give (Linux, when asked for 2 MiB or
/// more): what is read at random places then costs no walk of the page table. Throws
/// std::bad_alloc.
void* allocate_pages(std::size_t bytes);
void free_pages(void* memory) noexcept;

/// An array in such memory. `T` must be trivial, its zero all zero bits.
template <class T>
class Pages {
  public:
    Pages() = default;
    explicit Pages(std::size_t size)
        : data_(static_cast<T*>(allocate_pages(checked_mul(size, sizeof(T), "an array")))),
          size_(size) {}

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }
    std::span<T> span() { return {data_.get(), size_}; }
    std::span<const T> span() const { return {data_.get(), size_}; }

  private:
    struct Free {
        void operator()(T* memory) const noexcept { free_pages(memory); }
    };
    std::unique_ptr<T[], Free> data_;
    std::size_t size_ = 0;
};

}  // namespace trouvaille
