// Between a plan and a program file: the writer and its inverse. Writing is a function of the plan's text
// alone, so the same input gives the same bytes, and reading back what was written and writing it again gives
// them too.
#pragma once
#include "dialects/plan/Plan.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <cstdint>
#include <vector>

namespace moert {
class Program;
}

namespace moe {

/// The bytes of the program file, sealed. Reports at the op that the file cannot express.
llvm::FailureOr<std::vector<uint8_t>> emitProgram(plan::ProgramOp program);

/// The plan of a verified program, in a module of its own.
mlir::OwningOpRef<mlir::ModuleOp> readProgram(const moert::Program &program, mlir::MLIRContext *context);

/// Bytes as an attribute that prints as hexadecimal after the module, and back.
mlir::Attribute bytesAttr(mlir::MLIRContext *context, llvm::StringRef name, llvm::ArrayRef<char> bytes);
std::optional<llvm::ArrayRef<char>> bytesOf(mlir::Attribute attribute);

} // namespace moe
