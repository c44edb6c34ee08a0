// Compiles kernels in MLIR to machine code for the host: a module of functions in the vector, scf, arith, math
// and llvm dialects becomes one ELF shared object, within this process. It is the code section of a program for
// the CPU, and the code of an emulated GPU's kernels. The object depends on nothing
// else: it has no relocations, undefined symbols, DT_NEEDED entries, thread-local storage or initialisers,
// which is checked after linking. The same module always gives the same bytes.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "passes/host/CpuTarget.h"
#include "llvm/ADT/SmallVector.h"

namespace moe::host {

struct ObjectCodeOptions {
  bool timing = false; // print the steps' times to stderr
};

// Lowers and links `module`, which is left in the LLVM dialect and of no further use. Every function that is
// not private is exported. Errors are diagnostics at the module.
mlir::FailureOr<llvm::SmallVector<char, 0>> compileToObject(mlir::ModuleOp module, const CpuTarget &target,
                                                            const ObjectCodeOptions &options = {});

// The same for functions that are in the llvm dialect already. They call no functions and use no globals of
// the module.
mlir::FailureOr<llvm::SmallVector<char, 0>>
compileLlvmToObject(mlir::ModuleOp module, const CpuTarget &target, const ObjectCodeOptions &options = {});

// Something in the object that a code section must not have, such as "relocations" or "the undefined symbol
// 'expf'"; or nothing.
std::optional<std::string> findForeignNeeds(llvm::ArrayRef<char> sharedObject);

} // namespace moe::host
