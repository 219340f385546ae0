// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace trouvaille::cuda {

/// A GPU as the CUDA runtime describes it.
struct Device {
    int index;  ///< what cudaSetDevice takes; CUDA_VISIBLE_DEVICES hides and orders devices
    std::string name;
    std::size_t memory;  ///< bytes in all, whoever uses them
    int major, minor;    ///< the compute capability
    int multiprocessors;
};

/// Every device that this process sees, in order. Empty where there is none; throws cuda::Error
/// where the driver is missing, older than this build needs, or broken. Creates no context.
std::vector<Device> devices();

}  // namespace trouvaille::cuda
