// Several files as one module.
#pragma once
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "passes/language/Elaborate.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"

namespace moe {

/// Moves the ops of all modules into the first one. A declaration gives way to its definition; two
/// definitions of a name are an error with both places.
mlir::OwningOpRef<mlir::ModuleOp> linkFiles(std::vector<mlir::OwningOpRef<mlir::ModuleOp>> modules);

/// Reads a model's text, or MLIR bytecode, from buffers that have been read: checks each (CheckText.h),
/// parses it, links them and verifies the whole. Diagnostics go to the context's handler; null after an error.
/// Behind an error reading goes on (Recovery.h), and what could be read is elaborated with `further`, so that
/// all errors of the texts are reported that do not follow from others.
mlir::OwningOpRef<mlir::ModuleOp> parseFiles(std::vector<std::unique_ptr<llvm::MemoryBuffer>> files,
                                             llvm::SourceMgr &sources, mlir::MLIRContext *context,
                                             const ElaborateOptions &further = {});

} // namespace moe
