#include "test/fuzz/text/TextCheck.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/Verifier.h"
#include "passes/language/CheckUnused.h"
#include "passes/language/Elaborate.h"
#include "passes/language/LinkFiles.h"
#include "passes/language/Tokens.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ConvertUTF.h"

using namespace mlir;

namespace moe::test {
namespace {

constexpr char fileName[] = "fuzz.mlir";

/// Every report that is made while it lives, with what is wrong with the reports themselves.
class Reports {
public:
  Reports(llvm::StringRef text, MLIRContext *context)
      : text(withLineFeeds(text)), handler(context, [this](Diagnostic &d) {
          note(d);
          return success();
        }) {}

  unsigned errors = 0;
  std::string fault;

private:
  void note(Diagnostic &d) {
    std::string words;
    llvm::raw_string_ostream os(words);
    auto place = d.getLocation()->findInstanceOf<FileLineColLoc>();
    if (place)
      os << place.getLine() << ":" << place.getColumn() << ": ";
    os << d.str();
    if (!seen.insert(words).second && fault.empty())
      fault = "the same report twice: " + words;
    if (d.getSeverity() != DiagnosticSeverity::Error)
      return;
    ++errors;
    if (d.str().empty() && fault.empty())
      fault = "an error without words";
    if (fault.empty() && !isInside(place))
      fault = "an error outside of the text: " + words;
  }

  bool isInside(FileLineColLoc place) {
    if (llvm::StringRef(text).contains("loc(")) // the text says of itself where it is from
      return true;
    if (!place || place.getFilename() != fileName || !place.getLine() || !place.getColumn())
      return false;
    llvm::StringRef rest = text;
    for (unsigned line = 1; line < place.getLine(); ++line) {
      size_t end = rest.find('\n');
      if (end == llvm::StringRef::npos)
        return false;
      rest = rest.drop_front(end + 1);
    }
    return place.getColumn() <= rest.take_until([](char c) { return c == '\n'; }).size() + 1;
  }

  std::string text; // its lines are those that reports count
  llvm::StringSet<> seen;
  ScopedDiagnosticHandler handler;
};

std::string printed(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, OpPrintingFlags().printNameLocAsPrefix());
  return text;
}

OwningOpRef<ModuleOp> parsed(llvm::StringRef text, MLIRContext &context) {
  llvm::SourceMgr sources;
  std::vector<std::unique_ptr<llvm::MemoryBuffer>> files;
  files.push_back(llvm::MemoryBuffer::getMemBufferCopy(text, fileName));
  return parseFiles(std::move(files), sources, &context);
}

/// What is written is read back: as text, and as bytecode.
std::string wrongWayBack(ModuleOp module, MLIRContext &context) {
  std::string text = printed(module);
  std::string report;
  ScopedDiagnosticHandler keep(&context, [&](Diagnostic &d) {
    report = report.empty() ? d.str() : report;
    return success();
  });
  OwningOpRef<ModuleOp> again = parsed(text, context);
  if (!again)
    return "what was printed is not read: " + report + "\n" + text;
  if (std::string other = printed(*again); other != text)
    return "what was printed is read as something else:\n" + text + "\nagain:\n" + other;
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  if (failed(writeBytecodeToFile(module, os)))
    return "no bytecode is written: " + report;
  OwningOpRef<ModuleOp> back = parsed(bytes, context);
  if (!back)
    return "the bytecode is not read: " + report + "\n" + text;
  if (std::string other = printed(*back); other != text)
    return "the bytecode is read as something else:\n" + text + "\nagain:\n" + other;
  return "";
}

DictionaryAttr recordsOf(ModuleOp module) {
  for (auto program : module.getOps<flow::ProgramOp>())
    return program->getAttrOfType<DictionaryAttr>("config");
  return {};
}

/// What a program records of its model's parameters, given as by -D, makes the same records again.
std::string wrongRecords(ModuleOp model, DictionaryAttr records, MLIRContext &context) {
  ElaborateOptions options;
  for (auto op : model.getOps<ModelOp>())
    for (auto param : op.getParams().getAsRange<ParamAttr>())
      if (auto value = records.getAs<StringAttr>(param.getName()))
        options.defines.emplace_back(param.getName(), value.getValue());
  std::string report;
  ScopedDiagnosticHandler keep(&context, [&](Diagnostic &d) {
    report = report.empty() ? d.str() : report;
    return success();
  });
  std::string text;
  llvm::raw_string_ostream os(text);
  os << records;
  if (failed(elaborate(model, options)))
    return "what is recorded is not taken back: " + report + "\n" + text;
  if (DictionaryAttr again = recordsOf(model); again != records) {
    os << "\nagain:\n" << again;
    return "what is recorded makes other records:\n" + text;
  }
  return "";
}

} // namespace

TextResult checkText(std::string_view bytes, MLIRContext &context) {
  llvm::StringRef text(bytes.data(), bytes.size());
  const auto *begin = reinterpret_cast<const llvm::UTF8 *>(text.begin());
  const auto *end = reinterpret_cast<const llvm::UTF8 *>(text.end());
  // The files' reader lets no others through.
  if (text.trim().empty() || text.contains('\0') || text.starts_with("ML\xefR") ||
      !llvm::isLegalUTF8String(&begin, end))
    return {};
  context.loadDialect<MoeDialect, flow::FlowDialect>();
  TextResult result;
  Reports reports(text, &context);
  OwningOpRef<ModuleOp> module = parsed(text, context);
  result.parsed = bool(module);
  if (!module) {
    result.fault = !reports.fault.empty() ? reports.fault
                   : reports.errors       ? ""
                                          : "it is refused without an error";
    return result;
  }
  if (result.fault = reports.fault; result.fault.empty() && reports.errors)
    result.fault = "it is read in spite of an error";
  if (result.fault.empty())
    result.fault = wrongWayBack(*module, context);
  if (!result.fault.empty())
    return result;
  checkUnused(*module);
  OwningOpRef<ModuleOp> model = module->clone();
  result.elaborated = succeeded(elaborate(*module, {}));
  result.fault = reports.fault;
  if (result.fault.empty() && result.elaborated == (reports.errors != 0))
    result.fault =
        result.elaborated ? "it elaborates in spite of an error" : "it does not elaborate, without an error";
  if (result.fault.empty() && result.elaborated && failed(verify(*module)))
    result.fault = "what it elaborates to does not verify: " + reports.fault;
  if (result.fault.empty() && result.elaborated)
    result.fault = wrongRecords(*model, recordsOf(*module), context);
  return result;
}

} // namespace moe::test
