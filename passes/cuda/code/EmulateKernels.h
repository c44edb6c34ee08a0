// Kernels in the NVVM dialect as code for the host, which the emulated driver runs (runtime/emulator): one
// function call is one thread of the GPU. What a thread asks the GPU for (its place in the grid, barriers,
// shuffles, asynchronous copies, matrix products) is asked of the emulator, through the context that each call
// is given, so the code needs no relocations. runtime/emulator/KernelAbi.h has the layout of the context.
//
// Each kernel has two forms. The checked one reports every load and store, before it happens, to the emulator,
// which finds races, accesses beyond a buffer, and other faults that no result shows.
#pragma once
#include "passes/cuda/code/LowerGpu.h"
#include "passes/host/CpuTarget.h"
#include <string>

namespace moe::cuda {

/// Where an access of a kernel comes from.
struct EmulatedSite {
  std::string op, file;
  unsigned line = 0;
};

struct EmulatedKernel {
  std::string name;
  std::vector<KernelParameter> params;
  std::vector<bool> counters; ///< a parameter each: whether its memory may be added to atomically
  unsigned shared = 0;       ///< bytes of static shared memory
  unsigned threads = 0;      ///< the most of a block
  std::string fast, checked; ///< symbols in the code
};

struct EmulatedKernels {
  std::vector<EmulatedKernel> kernels; ///< in the order of their names
  std::vector<EmulatedSite> sites;
  llvm::SmallVector<char, 0> code; ///< an ELF shared object
};

/// The kernels' code. The modules are consumed. Errors are diagnostics at the op that the emulator does not
/// know.
mlir::FailureOr<EmulatedKernels> emulateKernels(llvm::ArrayRef<mlir::gpu::GPUModuleOp> modules,
                                                const host::CpuTarget &host, bool timing = false);

} // namespace moe::cuda
