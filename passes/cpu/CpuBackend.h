// The CPU as a back end (kernels/Backend.h): x86-64 with AVX2 or AVX-512. CpuTarget.h describes its targets.
// The folders loops, contractions and convolutions have the emitters, micro the micro-kernel, and code the
// generation of object code.
#pragma once
#include "passes/kernels/Backend.h"

namespace moe::cpu {

const kernels::Backend &cpuBackend();

} // namespace moe::cpu
