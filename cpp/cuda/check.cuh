// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace trouvaille::cuda {

/// A call of the CUDA runtime that failed; says what CUDA says.
struct Error : std::runtime_error {
    explicit Error(cudaError_t e)
        : std::runtime_error(std::string(cudaGetErrorName(e)) + ": " + cudaGetErrorString(e)) {}
};

/// Throws Error if `e` is one. Around every call of the runtime, and after every launch:
/// check(cudaGetLastError()).
inline void check(cudaError_t e) {
    if (e == cudaSuccess) return;
    cudaGetLastError();  // clear it, so that the next call does not report it again
    throw Error(e);
}

}  // namespace trouvaille::cuda
