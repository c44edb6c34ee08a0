// Reads several files as one text. Each is parsed without verification, since a layer that one names may be
// another's; the linked module is verified as a whole.
#include "passes/language/LinkFiles.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "passes/language/AuthorErrors.h"
#include "passes/language/CheckText.h"

using namespace mlir;
using namespace moe;

static bool isDeclaration(Operation *op) {
  auto layer = dyn_cast<LayerOp>(op);
  return layer && layer.getBody().front().empty();
}

/// A declaration and its definition may both have a pattern for a value, of as many sizes.
static LogicalResult comparePatterns(LayerOp layer, LayerOp other) {
  ArrayAttr mine = layer.getPatternsAttr(), its = other.getPatternsAttr();
  for (unsigned i = 0; mine && its && i < std::min(mine.size(), its.size()); ++i) {
    auto pattern = dyn_cast<ExprAttr>(mine[i]), first = dyn_cast<ExprAttr>(its[i]);
    if (!pattern || !first || pattern.getArgs().size() == first.getArgs().size())
      continue;
    InFlightDiagnostic diag = layer.emitError()
                              << "expected layer '@" << layer.getSymName() << "' to take " << first.str()
                              << " as value " << i << ", found " << pattern.str();
    diag.attachNote(other.getLoc()) << "the other one is here";
    return diag;
  }
  return success();
}

OwningOpRef<ModuleOp> moe::linkFiles(std::vector<OwningOpRef<ModuleOp>> modules) {
  OwningOpRef<ModuleOp> linked = std::move(modules.front());
  llvm::StringMap<Operation *> named;
  auto enter = [&](Operation *op) -> LogicalResult {
    auto symbol = op->getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
    if (!symbol)
      return success();
    auto [it, fresh] = named.try_emplace(symbol.getValue(), op);
    if (fresh)
      return success();
    Operation *first = it->second;
    auto layer = dyn_cast<LayerOp>(op), other = dyn_cast<LayerOp>(first);
    if (layer && other && (isDeclaration(op) || isDeclaration(first))) {
      if (layer.getParams().size() != other.getParams().size() ||
          layer.getBody().getNumArguments() != other.getBody().getNumArguments()) {
        InFlightDiagnostic diag = op->emitError()
                                  << "expected layer '@" << symbol.getValue() << "' with "
                                  << other.getParams().size() << " parameters and "
                                  << other.getBody().getNumArguments() << " values, found "
                                  << layer.getParams().size() << " and " << layer.getBody().getNumArguments();
        diag.attachNote(first->getLoc()) << "the other one is here";
        return diag;
      }
      if (failed(comparePatterns(layer, other)))
        return failure();
      if (isDeclaration(first))
        it->second = op, first->erase();
      else
        op->erase();
      return success();
    }
    InFlightDiagnostic diag = op->emitError() << "expected one definition of '@" << symbol.getValue()
                                              << "' in all files, found another";
    diag.attachNote(first->getLoc()) << "the first is here";
    return diag;
  };
  for (Operation &op : llvm::make_early_inc_range(*linked->getBody()))
    if (failed(enter(&op)))
      return {};
  for (auto &module : llvm::drop_begin(modules)) {
    for (Operation &op : llvm::make_early_inc_range(*module->getBody())) {
      op.moveBefore(linked->getBody(), linked->getBody()->end());
      if (failed(enter(&op)))
        return {};
    }
  }
  return linked;
}

static OwningOpRef<ModuleOp> parseTexts(ArrayRef<llvm::MemoryBufferRef> texts, MLIRContext *context) {
  std::vector<OwningOpRef<ModuleOp>> modules;
  for (llvm::MemoryBufferRef text : texts) {
    if (!isBytecode(text) && failed(checkText(text.getBuffer(), text.getBufferIdentifier(), context)))
      return {};
    auto own = std::make_shared<llvm::SourceMgr>();
    own->AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(text), llvm::SMLoc());
    ParserConfig config(context, /*verifyAfterParse=*/false);
    OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(own, config);
    if (!module)
      return {};
    if (!isBytecode(text))
      warnOfDivisions(text.getBuffer(), text.getBufferIdentifier(), *module);
    modules.push_back(std::move(module));
  }
  if (modules.empty()) {
    emitError(UnknownLoc::get(context)) << "expected at least one file with a model";
    return {};
  }
  OwningOpRef<ModuleOp> linked = linkFiles(std::move(modules));
  if (!linked || failed(verify(*linked)))
    return {};
  return linked;
}

OwningOpRef<ModuleOp> moe::parseFiles(std::vector<std::unique_ptr<llvm::MemoryBuffer>> files,
                                      llvm::SourceMgr &sources, MLIRContext *context) {
  // All of the buffers stay with `sources`, whose handler shows their lines; each is parsed by a manager of
  // its own.
  std::vector<llvm::MemoryBufferRef> texts;
  for (auto &file : files) {
    texts.push_back(file->getMemBufferRef());
    sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  }
  AuthorErrors errors(context, texts);
  OwningOpRef<ModuleOp> linked = parseTexts(texts, context);
  errors.report();
  return linked;
}
