// Kernels in the NVVM dialect as PTX, the assembly language of NVIDIA's GPUs: LLVM's back end for it, within
// this process. Each kernel is a text of its own, so that the assembler's work is shared by threads and its
// results are cached kernel by kernel.
#pragma once
#include "passes/cuda/code/Architecture.h"
#include "passes/cuda/code/LowerGpu.h"
#include <string>

namespace moe::cuda {

struct PtxKernel {
  std::string name;
  std::string text;
  unsigned threads = 0;    ///< the most of a block
  mlir::Location location; ///< for errors
  std::vector<KernelParameter> parameters = {};
};

/// The kernels' texts, in the order of their names. The modules are consumed. Arithmetic is IEEE 754's: nothing
/// is approximated, contracted or flushed to zero that the kernel does not say. Errors are diagnostics at a
/// kernel's location.
mlir::FailureOr<std::vector<PtxKernel>> emitPtx(llvm::ArrayRef<mlir::gpu::GPUModuleOp> modules,
                                                const Architecture &architecture);

} // namespace moe::cuda
