// Writes a plan as a program file, and reads a program file as a plan. The bytes depend on the plan's text
// alone, and writing a plan that was read gives the same bytes again.
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

/// The bytes of the program file, with its digests. Reports an error at an op that the file format cannot
/// express.
llvm::FailureOr<std::vector<uint8_t>> emitProgram(plan::ProgramOp program);

/// The plan of a verified program, in a module of its own.
mlir::OwningOpRef<mlir::ModuleOp> readProgram(const moert::Program &program, mlir::MLIRContext *context);

/// Converts bytes to an attribute that is printed as hexadecimal after the module, and back.
mlir::Attribute bytesAttr(mlir::MLIRContext *context, llvm::StringRef name, llvm::ArrayRef<char> bytes);
std::optional<llvm::ArrayRef<char>> bytesOf(mlir::Attribute attribute);

} // namespace moe
