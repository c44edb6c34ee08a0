// Kernels in PTX to machine code: from the cache, or by the assembler, several at once.
#pragma once
#include "passes/cuda/code/CubinCache.h"
#include "passes/cuda/code/EmitPtx.h"

namespace moe::cuda {

/// One a kernel. If the assembler refuses a kernel, the diagnostic names the kernel and the file that its PTX is
/// kept in.
mlir::FailureOr<std::vector<Cubin>> assembleKernels(llvm::ArrayRef<PtxKernel> kernels,
                                                    const Architecture &architecture,
                                                    const Assembler &assembler, const CubinCache &cache);

} // namespace moe::cuda
