// Replaces in the body of a kernel in the NVVM dialect what only a GPU has; EmulateKernels.h says for what.
#pragma once
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "passes/cuda/code/EmulateKernels.h"
#include "llvm/ADT/MapVector.h"

namespace moe::cuda {

/// The globals in shared memory, by their offsets from the beginning of the block's shared memory.
struct SharedLayout {
  llvm::DenseMap<mlir::StringAttr, uint64_t> offsets;
  uint64_t bytes = 0; ///< of static shared memory
};

/// The places in the source that a module's accesses come from, each once, in the order of first use.
class SiteTable {
public:
  uint32_t indexOf(mlir::Location location);
  std::vector<EmulatedSite> take();

private:
  llvm::MapVector<std::tuple<mlir::StringAttr, mlir::StringAttr, unsigned>, uint32_t> rows;
};

/// Turns a clone of a kernel into a function of the host in the llvm dialect. `isChecked` reports each access
/// to the emulator. `name` is the kernel's, for errors, which are diagnostics at the op.
mlir::LogicalResult emulateBody(mlir::LLVM::LLVMFuncOp function, llvm::StringRef name,
                                const SharedLayout &shared, bool isChecked, SiteTable &sites);

} // namespace moe::cuda
