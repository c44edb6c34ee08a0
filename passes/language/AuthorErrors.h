// What MLIR's parser reports of a text, said in the language's own words. The parser knows operations, SSA
// names and dialects; an author knows ops, values and layers. Reports of the language's own directives pass
// as they are, and so does what is not known here.
#pragma once
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Location.h"
#include "llvm/Support/MemoryBuffer.h"
#include <vector>

namespace moe {

/// The place of a text that a location names, or the text's end where it has no such place.
size_t placeOf(llvm::StringRef text, mlir::FileLineColLoc at);

/// Keeps the diagnostics from its beginning to `report`.
class AuthorErrors {
public:
  AuthorErrors(mlir::MLIRContext *context, const std::vector<llvm::MemoryBufferRef> &texts);
  /// Reports what was kept, put for authors of `texts`.
  void report();

private:
  mlir::MLIRContext *context;
  const std::vector<llvm::MemoryBufferRef> &texts;
  std::vector<mlir::Diagnostic> kept;
  std::optional<mlir::ScopedDiagnosticHandler> keep;
};

} // namespace moe
