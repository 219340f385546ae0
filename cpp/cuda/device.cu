// SPDX-License-Identifier: Apache-2.0
#include "cuda/check.cuh"
#include "cuda/device.hpp"

namespace trouvaille::cuda {

std::vector<Device> devices() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorNoDevice) {
        cudaGetLastError();  // not an error here; clear it
        return {};
    }
    check(status);
    std::vector<Device> all;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties;
        check(cudaGetDeviceProperties(&properties, i));
        all.push_back({i, properties.name, properties.totalGlobalMem, properties.major,
                       properties.minor, properties.multiProcessorCount});
    }
    return all;
}

}  // namespace trouvaille::cuda
