// The services of the emulator that kernels call (KernelAbi.h), for threads of a BlockRunner.
#pragma once

#include "runtime/emulator/KernelAbi.h"

namespace moe::emu {

extern const Services kServices;

} // namespace moe::emu
