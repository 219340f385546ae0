// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every compiler-specific word in the library, in one place.

#if defined(_MSC_VER) && !defined(__clang__)
#define ALWAYS_INLINE __forceinline
#else
#define ALWAYS_INLINE [[gnu::always_inline]] inline
#endif

// TROUVAILLE_X86 guards intrinsics and TARGET'ed functions: elsewhere only the scalar entry of a
// kernel's table exists, and the compiler vectorises it for the baseline (NEON on arm64).
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define TROUVAILLE_X86 1
#define TARGET(isa) [[gnu::target(isa)]]
#else
#define TROUVAILLE_X86 0
#define TARGET(isa)
#endif

// The features behind Isa::avx2 and Isa::avx512, for TARGET. `supports` tests exactly these.
#define TARGET_AVX2 TARGET("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,sse4.2")
#define TARGET_AVX512                                                                          \
    TARGET(                                                                                    \
        "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi,bmi2,lzcnt," \
        "popcnt,sse4.2")
// With VPOPCNTD, which Isa::avx512 does not promise: a kernel that has it asks the CPU itself.
#define TARGET_AVX512_POPCNT                                                                    \
    TARGET(                                                                                     \
        "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,avx2,fma,f16c," \
        "bmi,bmi2,lzcnt,popcnt,sse4.2")

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif
