// Writes the cases of the walk over ops as files, so that a machine with a GPU and without a compiler can run
// them: `moec check-ops --write FOLDER --target T`, and `gpu-cases FOLDER` there (test/gpu). Of each case there
// are two files:
//   OP-SEED.moe          the program, with its one entry `main`
//   OP-SEED.safetensors  what it is given and what it has to give, as tensors by name: `batch` (domains, rows), `seed`
//                        and `step` (i64), `progress` (f64); `input.NAME`, in the input's type; `state.PATH` and
//                        `scalar.KEY` (f64) where the case gives them; `value.NAME` and `bound.NAME` (f64) of each output
#pragma once
#include "frontends/check/CheckOps.h"

namespace moe {

/// Fails where the folder cannot be made, a target is unknown, or a case cannot be compiled, which is named. Prints
/// a line an op.
moert::Status writeCases(llvm::ArrayRef<mlir::RegisteredOperationName> ops, const CheckOpsOptions &options);

} // namespace moe
