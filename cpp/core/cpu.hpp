// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trouvaille {

/// Instruction sets a kernel may be compiled for, slowest first. What each means in features is
/// in core/target.hpp. An x86 CPU with AVX-512 but no VNNI runs as avx2; arm64 runs `scalar`,
/// which its compiler vectorises with NEON.
enum class Isa : std::uint8_t { scalar, avx2, avx512 };

inline constexpr std::size_t isa_count = 3;
inline constexpr std::string_view isa_names[isa_count] = {"scalar", "avx2", "avx512"};

bool supports(Isa isa);  ///< true if this machine can run `isa`

/// The one every kernel runs: the fastest supported, or what the environment variable
/// TROUVAILLE_ISA or `use_isa` names. Throws std::invalid_argument if the variable names an
/// instruction set that does not exist or that this machine lacks.
Isa active_isa();

void use_isa(Isa isa);  ///< pin every kernel to `isa`; throws std::invalid_argument if unsupported

/// Go back to the environment's choice, or the fastest.
void reset_isa();

/// The entry of a per-kernel table (one function per Isa, in order) that this machine should run.
/// Called once per call of a kernel, never per row.
template <class Function>
Function pick(Function const (&table)[isa_count]) {
    return table[static_cast<std::size_t>(active_isa())];
}

}  // namespace trouvaille
