// moe-lsp: the language server. Diagnostics, definitions, hovers and completion come from the dialects
// themselves; where MLIR's parser knows no op of a name, the server says what moec does.
#include "dialects/moe/MoeDialect.h"
#include "frontends/driver/Context.h"
#include "frontends/driver/Dialects.h"
#include "frontends/driver/LoadOptions.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "passes/language/AuthorErrors.h"
#include <vector>

using namespace mlir;

/// Whether it is the parser's report of an op's name. What moec says of it depends on the name alone, and not on
/// the text around it, which only MLIR's server has.
static bool isUnknownOp(StringRef message) {
  return message.starts_with("Dialect `") ||
         (message.starts_with("custom op '") && message.ends_with("' is unknown"));
}

/// What moec says in the place of such a report; found in a context of its own, since that of the text is in the
/// middle of reporting.
static std::string forAuthors(StringRef message, FileLineColLoc place) {
  std::unique_ptr<MLIRContext> context = moe::makeContext();
  std::string words;
  ScopedDiagnosticHandler take(context.get(), [&](Diagnostic &said) {
    words = said.str();
    return success();
  });
  auto text = llvm::MemoryBuffer::getMemBuffer("", place.getFilename().getValue());
  const std::vector<llvm::MemoryBufferRef> texts = {text->getMemBufferRef()};
  moe::AuthorErrors errors(context.get(), texts);
  emitError(
      FileLineColLoc::get(context.get(), place.getFilename().getValue(), place.getLine(), place.getColumn()))
      << message;
  errors.report();
  return words;
}

// A text's context loads the language while the text is parsed, when the server's handler is registered already:
// one that is registered then is asked before it, and may put the report in other words.
static void sayAsMoec(MLIRContext *context, moe::MoeDialect *) {
  context->getDiagEngine().registerHandler([](Diagnostic &d) -> LogicalResult {
    auto place = d.getLocation()->findInstanceOf<FileLineColLoc>();
    if (const std::string message = d.str(); place && isUnknownOp(message)) {
      Diagnostic said(d.getLocation(), d.getSeverity());
      said << forAuthors(message, place);
      d = std::move(said);
    }
    return failure();
  });
}

int main(int argc, char **argv) {
  std::vector<char *> arguments(argv, argv + argc);
  if (int wrong = moe::loadFromCommandLine("moe-lsp", arguments))
    return wrong;
  argc = int(arguments.size());
  arguments.push_back(nullptr);
  argv = arguments.data();
  DialectRegistry registry;
  moe::registerDialects(registry);
  registry.addExtension(+sayAsMoec);
  return failed(MlirLspServerMain(argc, argv, registry));
}
