// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace trouvaille {

/// a * b, or std::length_error naming `what` where it does not fit 64 bits. Every size that comes
/// from outside (a file's header, a caller's count) is multiplied by this before it is used.
inline std::size_t checked_mul(std::size_t a, std::size_t b, const char* what) {
    if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b)
        throw std::length_error(std::string(what) + " overflows 64 bits: " + std::to_string(a) +
                                " * " + std::to_string(b));
    return a * b;
}

/// a + b, or std::length_error naming `what`.
inline std::size_t checked_add(std::size_t a, std::size_t b, const char* what) {
    if (a > std::numeric_limits<std::size_t>::max() - b)
        throw std::length_error(std::string(what) + " overflows 64 bits: " + std::to_string(a) +
                                " + " + std::to_string(b));
    return a + b;
}

/// `value` as To, or std::length_error naming `what` where To cannot hold it.
template <std::integral To, std::integral From>
To checked_cast(From value, const char* what) {
    if (!std::in_range<To>(value))
        throw std::length_error(std::string(what) + " is out of range: " + std::to_string(value));
    return static_cast<To>(value);
}

}  // namespace trouvaille
