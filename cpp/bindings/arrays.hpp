// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/pages.hpp"
#include "core/size.hpp"
#include "core/view.hpp"

namespace trouvaille::python {

namespace py = pybind11;

/// A C-contiguous NumPy array of exactly this dtype. Bind it with `.noconvert()`: the Python
/// wrapper has already converted, so a copy here would be a bug worth a TypeError.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

// The only functions through which a pointer leaves an array. NumPy allows arrays whose address is
// not a multiple of the item's size (a slice of a byte buffer); reading one as T is undefined.
template <class T>
const T* aligned_data(const Array<T>& a) {
    const T* data = a.data();
    if (a.size() > 0 && reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0)
        throw py::value_error("array data is not aligned");
    return data;
}

/// A 2-D array as it is, or a 3-D one with its last two axes as one: (n, 2, 3) frames are n rows
/// of six.
template <class T>
MatrixView<const T> view(const Array<T>& a) {
    if (a.ndim() == 3)
        return {aligned_data(a), static_cast<std::size_t>(a.shape(0)),
                static_cast<std::size_t>(a.shape(1) * a.shape(2))};
    if (a.ndim() != 2) throw py::value_error("expected a 2-D array");
    return {aligned_data(a), static_cast<std::size_t>(a.shape(0)),
            static_cast<std::size_t>(a.shape(1))};
}

template <class T>
std::span<const T> vector_view(const Array<T>& a) {
    if (a.ndim() != 1) throw py::value_error("expected a 1-D array");
    return {aligned_data(a), static_cast<std::size_t>(a.shape(0))};
}

template <class T>
MatrixView<T> mutable_view(Array<T>& a) {
    const auto shape = view(a);
    return {a.mutable_data(), shape.rows, shape.cols};
}

template <class T>
std::span<T> mutable_vector_view(Array<T>& a) {
    return {a.mutable_data(), vector_view(a).size()};
}

/// An array over the memory of `pages`, which holds as many items as `shape` says.
template <class T>
Array<T> array_of(Pages<T> pages, std::vector<py::ssize_t> shape) {
    auto owner = std::make_unique<Pages<T>>(std::move(pages));
    T* data = owner->data();
    const py::capsule base(owner.get(), [](void* p) { delete static_cast<Pages<T>*>(p); });
    static_cast<void>(owner.release());
    return Array<T>(std::move(shape), data, base);
}

/// A new array in memory of Pages (core/pages.hpp): it begins at a cache line, for kernels that
/// read rows at random, and lies on huge pages where the system has them. NumPy's begin 16 bytes
/// later.
template <class T>
Array<T> array_on_pages(std::vector<py::ssize_t> shape) {
    std::size_t size = 1;
    for (const py::ssize_t length : shape)
        size = checked_mul(size, static_cast<std::size_t>(length), "an array");
    return array_of(Pages<T>(size), std::move(shape));
}

/// The arrays that an index is made of, the points first. Views of them hold as long as the tuple.
class IndexArrays {
  public:
    /// `name` is for errors: what the arrays are of.
    IndexArrays(const py::tuple& arrays, std::string name)
        : arrays_(arrays), name_(std::move(name)) {}

    /// Whether the points are of this type.
    template <class T>
    bool holds() const {
        return py::isinstance<Array<T>>(arrays_[0]);
    }

    template <class T>
    Array<T> at(std::size_t i) const {
        if (!py::isinstance<Array<T>>(arrays_[i]))
            throw py::type_error("array " + std::to_string(i) + " of " + name_ +
                                 " is of another type");
        return py::reinterpret_borrow<Array<T>>(arrays_[i]);
    }

  private:
    py::tuple arrays_;
    std::string name_;
};

/// A new array of as many items as `shape` says, which are those of a vector or the like; its T may
/// be what they are made of.
template <class T, class Items>
Array<T> copied(const Items& items, std::vector<py::ssize_t> shape) {
    Array<T> array(std::move(shape));
    if (!items.empty())
        std::memcpy(array.mutable_data(), items.data(), static_cast<std::size_t>(array.nbytes()));
    return array;
}

template <class Items>
auto copied(const Items& items) {
    using T = std::remove_cvref_t<decltype(*items.data())>;
    return copied<T>(items, {static_cast<py::ssize_t>(items.size())});
}

/// The same in memory of Pages.
template <class T, class Items>
Array<T> copied_to_pages(const Items& items, std::vector<py::ssize_t> shape) {
    Array<T> array = array_on_pages<T>(std::move(shape));
    if (items.size() > 0)
        std::memcpy(array.mutable_data(), items.data(), static_cast<std::size_t>(array.nbytes()));
    return array;
}

template <class Items>
auto copied_to_pages(const Items& items) {
    using T = std::remove_cvref_t<decltype(*items.data())>;
    return copied_to_pages<T>(items, {static_cast<py::ssize_t>(items.size())});
}

}  // namespace trouvaille::python
