// How moec prints diagnostics: one in a text with its line, as compilers do; one without a place, such as a
// wrong option of the command line, like every other message of the tool.
#pragma once
#include "frontends/driver/Printable.h"
#include "mlir/IR/Diagnostics.h"

namespace moe {

class ToolDiagnostics {
public:
  ToolDiagnostics(llvm::SourceMgr &sources, mlir::MLIRContext *context)
      : texts(sources, context, out), placeless(context, [this](mlir::Diagnostic &d) { return print(d); }) {}

  /// Whether an error had no place: an option names what the model or the compiler does not have.
  bool wrongOption() const { return wrong; }

private:
  mlir::LogicalResult print(mlir::Diagnostic &d) {
    if (!llvm::isa<mlir::UnknownLoc>(d.getLocation()))
      return mlir::failure(); // on to `texts`
    wrong |= d.getSeverity() == mlir::DiagnosticSeverity::Error;
    out << "moec: " << word(d.getSeverity()) << ": " << d << "\n";
    for (mlir::Diagnostic &note : d.getNotes())
      texts.emitDiagnostic(note.getLocation(), note.str(), note.getSeverity());
    return mlir::success();
  }

  static llvm::StringRef word(mlir::DiagnosticSeverity severity) {
    switch (severity) {
    case mlir::DiagnosticSeverity::Error:
      return "error";
    case mlir::DiagnosticSeverity::Warning:
      return "warning";
    default:
      return "note";
    }
  }

  bool wrong = false;
  PrintableStream out{llvm::errs()};
  mlir::SourceMgrDiagnosticHandler texts;
  mlir::ScopedDiagnosticHandler placeless;
};

} // namespace moe
