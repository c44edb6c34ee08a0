// Lowers kernels of a GPU to the NVVM dialect, which is where the targets `cuda` and `emulator` part: from the
// same functions one makes PTX (EmitPtx.h), the other code for the host (EmulateKernels.h).
//
// A kernel is a `gpu.func` with the attribute `kernel`, in a `gpu.module`. Its body consists of ops of the
// dialects vector, scf, cf, arith, math, memref, gpu, nvvm and llvm. Its parameters are pointers
// (`!llvm.ptr<1>`), i64 and f32. `known_block_size` states the block that it is launched with; `nvvm.minctasm`
// may state how many blocks a multiprocessor should hold, which bounds registers. Shared memory is what the
// function lists as `workgroup`, a global of the gpu.module in address space 3, or what
// `gpu.dynamic_shared_memory` gives. A kernel calls no functions.
#pragma once
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include <vector>

namespace moe::cuda {

/// The kernels of the gpu.modules of `module`, lowered, in new gpu.modules of `module`; the old ones are gone.
/// The number of new modules is the same on every machine. Equal input gives equal text, whatever the target.
/// Errors are diagnostics at the op that is not supported.
mlir::FailureOr<std::vector<mlir::gpu::GPUModuleOp>> lowerGpu(mlir::ModuleOp module);

/// The most threads of a block of a lowered kernel, which its attribute nvvm.maxntid states.
unsigned threadsOf(mlir::LLVM::LLVMFuncOp kernel);

struct KernelParameter {
  bool isPointer = false;
  unsigned bytes = 0;
};
/// The parameters of a lowered kernel. An error is a diagnostic at a kernel with parameters of other types than
/// pointers and numbers.
mlir::FailureOr<std::vector<KernelParameter>> parametersOf(mlir::LLVM::LLVMFuncOp kernel);

} // namespace moe::cuda
