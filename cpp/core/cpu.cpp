// SPDX-License-Identifier: Apache-2.0
#include "core/cpu.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "core/target.hpp"

#if TROUVAILLE_X86
#include <cpuid.h>
#endif

namespace trouvaille {
namespace {

constexpr int undecided = -1;
std::atomic<int> active{undecided};

#if TROUVAILLE_X86
// Two features of TARGET_AVX2 that __builtin_cpu_supports does not know in every compiler.
bool supports_f16c_and_lzcnt() {
    unsigned a, b, c, d;
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return f16c && __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}
#endif

Isa fastest() {
    for (Isa isa : {Isa::avx512, Isa::avx2})
        if (supports(isa)) return isa;
    return Isa::scalar;
}

std::string supported_names() {
    std::string names;
    for (std::size_t i = 0; i < isa_count; ++i)
        if (supports(static_cast<Isa>(i)))
            names += (names.empty() ? "" : ", ") + std::string(isa_names[i]);
    return names;
}

Isa chosen_by_environment() {
    const char* name = std::getenv("TROUVAILLE_ISA");
    if (name == nullptr || *name == '\0') return fastest();
    for (std::size_t i = 0; i < isa_count; ++i)
        if (isa_names[i] == name && supports(static_cast<Isa>(i))) return static_cast<Isa>(i);
    throw std::invalid_argument("TROUVAILLE_ISA is '" + std::string(name) +
                                "'; this machine runs " + supported_names());
}

}  // namespace

bool supports(Isa isa) {
#if TROUVAILLE_X86
    switch (isa) {
        case Isa::scalar:
            return true;
        case Isa::avx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                   __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                   __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse4.2") &&
                   supports_f16c_and_lzcnt();
        case Isa::avx512:
            return supports(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512vnni");
    }
    return false;
#else
    return isa == Isa::scalar;
#endif
}

Isa active_isa() {
    int isa = active.load(std::memory_order_relaxed);
    if (isa == undecided) {
        isa = static_cast<int>(chosen_by_environment());
        active.store(isa, std::memory_order_relaxed);
    }
    return static_cast<Isa>(isa);
}

void use_isa(Isa isa) {
    if (!supports(isa))
        throw std::invalid_argument("this machine does not run " +
                                    std::string(isa_names[static_cast<std::size_t>(isa)]) +
                                    "; it runs " + supported_names());
    active.store(static_cast<int>(isa), std::memory_order_relaxed);
}

void reset_isa() {
    active.store(undecided, std::memory_order_relaxed);
}

}  // namespace trouvaille
