// `moec disassemble` and `moec assemble`: a program file as the text of its plan, and back to the same bytes.
#include "frontends/driver/Context.h"
#include "frontends/driver/Diagnostics.h"
#include "frontends/driver/Files.h"
#include "frontends/moec/Tool.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "passes/emit/EmitProgram.h"
#include "passes/language/CheckText.h"
#include "runtime/program/Program.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace moe {

moert::Status disassembleFile(const std::string &input, const std::string &output) {
  MOERT_ASSIGN(std::shared_ptr<const moert::Program> program, moert::Program::load(input));
  std::unique_ptr<MLIRContext> context = makeContext();
  OwningOpRef<ModuleOp> module = readProgram(*program, context.get());
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, OpPrintingFlags().elideLargeResourceString(INT64_MAX));
  os << "\n";
  return writeWhole(output, ArrayRef<char>(text.data(), text.size()), /*text=*/true);
}

moert::Status assembleFile(const std::string &input, const std::string &output) {
  MOERT_ASSIGN(std::unique_ptr<llvm::MemoryBuffer> text, readText(input));
  std::unique_ptr<MLIRContext> context = makeContext();
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(text), {});
  ToolDiagnostics diagnostics(sources, context.get());
  const llvm::MemoryBuffer *buffer = sources.getMemoryBuffer(sources.getMainFileID());
  if (!buffer->getBuffer().starts_with("ML\xefR") &&
      failed(checkText(buffer->getBuffer(), buffer->getBufferIdentifier(), context.get())))
    return {moert::Code::invalid_input, ""};
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, context.get());
  if (!module)
    return {moert::Code::invalid_input, ""};
  auto programs = module->getOps<plan::ProgramOp>();
  if (programs.empty() || std::next(programs.begin()) != programs.end())
    return moert::invalidInput(input, ": expected one plan.program, found ",
                               std::distance(programs.begin(), programs.end()));
  FailureOr<std::vector<uint8_t>> bytes = emitProgram(*programs.begin());
  if (failed(bytes))
    return {moert::Code::invalid_input, ""};
  // What a person wrote must pass the loader before it becomes a file.
  auto verified = moert::Program::verify(*bytes, input);
  if (!verified)
    return std::move(verified).status();
  return writeWhole(output, ArrayRef<char>(reinterpret_cast<const char *>(bytes->data()), bytes->size()),
                    /*text=*/false);
}

} // namespace moe
