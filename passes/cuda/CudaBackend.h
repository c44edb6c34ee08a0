// NVIDIA's GPUs as back ends (kernels/Backend.h): one for the GPUs themselves, and one for the emulated driver, which runs
// the same kernels on the CPU. CudaTarget.h describes their targets. The folder kernel has what all emitters write
// kernels with, loops and products have the emitters, and code makes code of their kernels.
#pragma once
#include "passes/kernels/Backend.h"

namespace moe::cuda {

const kernels::Backend &cudaBackend();
const kernels::Backend &emulatorBackend();

} // namespace moe::cuda
