// The CPU as a back end (kernels/Backend.h): x86-64 with AVX2 or AVX-512. CpuTarget.h has its levels, and the folders
// beside it the emitters of loops, contractions and convolutions, the micro-kernel, and object code.
#pragma once
#include "passes/kernels/Backend.h"

namespace moe::cpu {

const kernels::Backend &cpuBackend();

} // namespace moe::cpu
