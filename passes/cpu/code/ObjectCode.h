// Compiles kernels in MLIR to the code section of a program: a module of functions in the vector, scf, arith,
// math and llvm dialects becomes one ELF shared object, within this process. The object depends on nothing
// else: it has no relocations, undefined symbols, DT_NEEDED entries, thread-local storage or initialisers,
// which is checked after linking. The same module always gives the same bytes.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "passes/cpu/CpuTarget.h"
#include "llvm/ADT/SmallVector.h"

namespace moe::cpu {

struct ObjectCodeOptions {
  bool timing = false; // print the steps' times to stderr
};

// Lowers and links `module`, which is left in the LLVM dialect and of no further use. Every function that is
// not private is exported. Errors are diagnostics at the module.
mlir::FailureOr<llvm::SmallVector<char, 0>> compileToObject(mlir::ModuleOp module, const CpuTarget &target,
                                                            const ObjectCodeOptions &options = {});

// Something in the object that a code section must not have, such as "relocations" or "the undefined symbol
// 'expf'"; or nothing.
std::optional<std::string> findForeignNeeds(llvm::ArrayRef<char> sharedObject);

} // namespace moe::cpu
