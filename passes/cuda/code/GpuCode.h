// The code sections of the targets `cuda` and `emulator`, from kernels in the gpu dialect (LowerGpu.h says which).
// Both begin with the same lowering to the NVVM dialect.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "passes/cuda/code/Architecture.h"
#include "passes/host/CpuTarget.h"
#include "llvm/ADT/SmallVector.h"
#include <string>

namespace moe::cuda {

struct GpuCodeOptions {
  bool timing = false;         ///< print the steps' times to stderr
  std::string *nvvm = nullptr; ///< the kernels in the NVVM dialect, where the targets part
};

/// Machine code of a GPU: a FlatBuffer of runtime/program/cubins.fbs. It needs NVIDIA's assembler (Assembler.h).
/// The kernels are consumed. Errors are diagnostics.
mlir::FailureOr<llvm::SmallVector<char, 0>>
compileForCuda(mlir::ModuleOp kernels, const Architecture &architecture, const GpuCodeOptions &options = {});

/// Code for the host that the emulated driver runs: a FlatBuffer of runtime/emulator/module.fbs. It needs nothing
/// of NVIDIA's. `architecture` is the one that is emulated.
mlir::FailureOr<llvm::SmallVector<char, 0>> compileForEmulator(mlir::ModuleOp kernels,
                                                               const Architecture &architecture,
                                                               const host::CpuTarget &host,
                                                               const GpuCodeOptions &options = {});

} // namespace moe::cuda
