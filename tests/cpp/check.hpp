// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cpu.hpp"

// A test is TEST(name) { ... } with CHECKs; one program holds those of one file and main.cpp. A
// CHECK that fails says where, is counted, and lets the test go on. CHECKs may stand in functions
// that the test calls, but not in other threads.

namespace trouvaille::test {

struct Test {
    std::string name;
    std::function<void()> run;
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

inline std::size_t failures = 0;

struct Registered {
    Registered(std::string name, std::function<void()> run) {
        tests().push_back({std::move(name), std::move(run)});
    }
};

inline void fail(const char* file, int line, const std::string& what) {
    ++failures;
    std::cerr << file << ":" << line << ": " << what << "\n";
}

template <class A, class B>
void check_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
    if (actual == expected) return;
    fail(file, line, text);
    if constexpr (requires { std::cerr << actual << expected; })
        std::cerr << "    got " << actual << ", expected " << expected << "\n";
}

template <class Exception, class Body>
void check_throws(Body body, const char* text, const char* file, int line) {
    try {
        body();
    } catch (const Exception&) {
        return;
    }
    fail(file, line, std::string(text) + " throws nothing");
}

/// Calls `body` once for each instruction set of this machine, with every kernel pinned to it.
template <class Body>
void for_each_isa(Body body) {
    for (std::size_t i = 0; i < isa_count; ++i) {
        const Isa isa = static_cast<Isa>(i);
        if (!supports(isa)) continue;
        use_isa(isa);
        const std::size_t before = failures;
        body();
        if (failures > before) std::cerr << "    under " << isa_names[i] << "\n";
    }
    reset_isa();
}

}  // namespace trouvaille::test

#define TEST(name)                                                                     \
    static void test_##name();                                                         \
    static const ::trouvaille::test::Registered registered_##name(#name, test_##name); \
    static void test_##name()

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) ::trouvaille::test::fail(__FILE__, __LINE__, "CHECK: " #condition); \
    } while (false)

#define CHECK_EQUAL(actual, expected)                                                     \
    ::trouvaille::test::check_equal(actual, expected, "CHECK: " #actual " == " #expected, \
                                    __FILE__, __LINE__)

#define CHECK_THROWS(exception, ...)                                                     \
    ::trouvaille::test::check_throws<exception>([&] { static_cast<void>(__VA_ARGS__); }, \
                                                "CHECK_THROWS: " #__VA_ARGS__, __FILE__, __LINE__)
