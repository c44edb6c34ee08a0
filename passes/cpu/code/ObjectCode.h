// From kernels in MLIR to the code section of a program. A module of functions in the vector, scf, arith,
// math and llvm dialects becomes one ELF shared object, in process. The object needs nothing: no
// relocation, no undefined symbol, no DT_NEEDED, no thread-local storage, no initialiser; that is checked
// after linking. The same module gives the same bytes.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "passes/cpu/CpuTarget.h"
#include "llvm/ADT/SmallVector.h"

namespace moe::cpu {

struct ObjectCodeOptions {
  bool timing = false; // print the phases' times to stderr
};

// Lowers `module` (which is consumed: it holds LLVM dialect afterwards) and links it. Every function of the
// module that is not private is exported. Errors are diagnostics at the module.
mlir::FailureOr<llvm::SmallVector<char, 0>> compileToObject(mlir::ModuleOp module, const CpuTarget &target,
                                                            const ObjectCodeOptions &options = {});

// Names what a code section must not have, or nothing: "relocations", "undefined symbol 'expf'", ...
std::optional<std::string> findForeignNeeds(llvm::ArrayRef<char> sharedObject);

} // namespace moe::cpu
