// Reads several files as one text. Each is parsed without verification, since a layer that one names may be
// another's; the linked module is verified as a whole.
#include "passes/language/LinkFiles.h"
#include "dialects/flow/Flow.h"
#include "dialects/moe/Listener.h"
#include "dialects/moe/MoeDialect.h"
#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "passes/language/AuthorErrors.h"
#include "passes/language/CheckText.h"
#include "passes/language/Recovery.h"

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

namespace {
/// One file's text.
struct Parsed {
  OwningOpRef<ModuleOp> module; // null where nothing can be made of it
  bool wrong = false;           // errors were reported
  bool broken = false;          // and what is left of the text cannot be checked
};
} // namespace

/// How much is read again and again behind errors, in bytes; and how many errors of one kind of report are worth it.
static constexpr size_t maxReread = size_t(8) << 20, maxRounds = 20, maxErrors = 1000;

/// Reads a text once. Its errors are held, until it is known what they are of. A second one at the place of another follows from it:
/// the lexer knows no token there, and then an op's own parser finds none.
static OwningOpRef<ModuleOp> parseOnce(StringRef text, StringRef name, MLIRContext *context,
                                       std::vector<Diagnostic> &errors) {
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &d) -> LogicalResult {
    if (d.getSeverity() != DiagnosticSeverity::Error)
      return failure(); // on to who reports it
    if (llvm::none_of(errors, [&](Diagnostic &each) { return each.getLocation() == d.getLocation(); }))
      errors.push_back(std::move(d));
    return success();
  });
  if (failed(checkText(text, name, context)))
    return {};
  auto own = std::make_shared<llvm::SourceMgr>();
  own->AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(text, name), llvm::SMLoc());
  return parseSourceFile<ModuleOp>(own, ParserConfig(context, /*verifyAfterParse=*/false));
}

/// The place of an error in a file's text; none where it is of another.
static std::optional<size_t> placeIn(StringRef text, StringRef name, Diagnostic &error) {
  auto at = error.getLocation()->findInstanceOf<FileLineColLoc>();
  return at && at.getFilename() == name ? std::optional(placeOf(text, at)) : std::nullopt;
}

/// The parser takes what is behind a half-written line for its rest, and stops there. Such an error becomes the one that the line has
/// by itself, at its end.
static void blameHalfLine(std::vector<Diagnostic> &errors, Recovery &recovery, StringRef text, StringRef name,
                          MLIRContext *context) {
  std::optional<size_t> place = errors.empty() ? std::nullopt : placeIn(text, name, errors.front());
  std::optional<Recovery::Beginning> line = place ? recovery.before(*place) : std::nullopt;
  if (!line)
    return;
  std::vector<Diagnostic> own;
  if (!line->text.empty()) {
    (void)parseOnce(line->text, name, context, own);
    llvm::erase_if(own, [&](Diagnostic &error) {
      std::optional<size_t> at = placeIn(text, name, error);
      return !at || *at < line->begin || *at > line->limit || llvm::any_of(errors, [&](Diagnostic &each) {
        return each.getLocation() == error.getLocation();
      });
    });
    if (own.empty())
      return;
  } else {
    own = std::move(errors);
  }
  errors.clear();
  const StringRef before = text.take_front(line->end);
  auto end =
      FileLineColLoc::get(context, name, 1 + before.count('\n'), 1 + line->end - (before.rfind('\n') + 1));
  for (Diagnostic &error : own) {
    if (placeIn(text, name, error).value_or(0) <= line->end) {
      errors.push_back(std::move(error));
      continue;
    }
    Diagnostic &moved = errors.emplace_back(end, DiagnosticSeverity::Error);
    moved << error.str();
    for (Diagnostic &note : error.getNotes())
      moved.attachNote(note.getLocation()) << note.str();
  }
}

/// Whether a value has its name twice.
static bool isRedefinition(StringRef message) {
  return message.starts_with("redefinition of SSA value") || message.ends_with("is already in use");
}

static Parsed parseText(llvm::MemoryBufferRef file, MLIRContext *context) {
  const StringRef text = file.getBuffer(), name = file.getBufferIdentifier();
  Parsed result;
  if (isBytecode(file)) {
    auto own = std::make_shared<llvm::SourceMgr>();
    own->AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(file), llvm::SMLoc());
    result.module = parseSourceFile<ModuleOp>(own, ParserConfig(context, /*verifyAfterParse=*/false));
    result.wrong = !result.module;
    return result;
  }
  std::optional<Recovery> recovery;
  std::string rest; // of the text, without what is wrong
  for (size_t round = 0; round < maxRounds; ++round) {
    std::vector<Diagnostic> errors;
    result.module = parseOnce(recovery ? rest : text, name, context, errors);
    if (result.module && errors.empty())
      break;
    result.module = {};
    result.wrong = true;
    const bool last = text.size() * (round + 1) > maxReread || errors.size() > maxErrors;
    if (!last && !recovery)
      recovery.emplace(text, context);
    if (!last)
      blameHalfLine(errors, *recovery, text, name, context);
    SmallVector<Recovery::Fault> faults;
    for (Diagnostic &error : errors) {
      if (std::optional<size_t> place = placeIn(text, name, error))
        faults.push_back({*place, isRedefinition(error.str())});
      // Where another op stands for what was taken out, an error has no place of the text's.
      auto at = error.getLocation()->findInstanceOf<FileLineColLoc>();
      if (!recovery || !at || !recovery->isReplaced(at.getLine()))
        context->getDiagEngine().emit(std::move(error));
    }
    if (last)
      break;
    recovery->takeOut(faults);
    if (!recovery->changed())
      break;
    rest = recovery->text();
  }
  result.broken = recovery && recovery->broken();
  if (Listener *listener = recovery ? languageOf(context).listener : nullptr)
    for (auto [begin, end] : recovery->unread(/*all=*/!result.module))
      listener->unread(name, begin, end);
  if (result.module && recovery)
    recovery->enter(*result.module);
  else if (result.module)
    warnOfDivisions(text, name, *result.module);
  return result;
}

/// Verifies one layer or model after the other, where the module's own verification ends at the first one that is wrong. The ops that
/// errors are reported of become faults.
static LogicalResult verifyEach(ModuleOp module) {
  Faults &faults = languageOf(module.getContext()).faults;
  bool right = true;
  for (Operation &item : *module.getBody()) {
    std::vector<Location> places; // of errors
    ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &d) {
      if (d.getSeverity() == DiagnosticSeverity::Error)
        places.push_back(d.getLocation());
      return failure(); // on to who reports it
    });
    if (succeeded(verify(&item)))
      continue;
    right = false;
    llvm::DenseMap<Attribute, Operation *> ops; // by their places
    item.walk([&](Operation *op) {
      if (auto at = op->getLoc()->findInstanceOf<FileLineColLoc>())
        ops.try_emplace(at, op);
    });
    if (places.empty() || !faults.checked.contains(&item))
      faults.ops.insert(&item);
    for (Location place : places) {
      auto at = place->findInstanceOf<FileLineColLoc>();
      auto found = at ? ops.find(at) : ops.end();
      faults.ops.insert(found == ops.end() ? &item : found->second);
    }
  }
  return success(right);
}

/// Null where nothing can be made of the texts. `wrong` is set where errors were reported.
static OwningOpRef<ModuleOp> parseTexts(ArrayRef<llvm::MemoryBufferRef> texts, MLIRContext *context,
                                        bool &wrong) {
  std::vector<OwningOpRef<ModuleOp>> modules;
  languageOf(context).faults.clear();
  bool whole = true;
  for (llvm::MemoryBufferRef text : texts) {
    Parsed parsed = parseText(text, context);
    wrong |= parsed.wrong;
    whole &= parsed.module && !parsed.broken;
    modules.push_back(std::move(parsed.module));
  }
  if (!whole)
    return {};
  if (modules.empty()) {
    emitError(UnknownLoc::get(context)) << "expected at least one file with a model";
    return {};
  }
  OwningOpRef<ModuleOp> linked = linkFiles(std::move(modules));
  if (!linked)
    return {};
  wrong |= failed(verifyEach(*linked));
  if (!wrong && failed(verify(*linked)))
    return {};
  return linked;
}

OwningOpRef<ModuleOp> moe::parseFiles(std::vector<std::unique_ptr<llvm::MemoryBuffer>> files,
                                      llvm::SourceMgr &sources, MLIRContext *context,
                                      const ElaborateOptions &further) {
  // All of the buffers stay with `sources`, whose handler shows their lines; each is parsed by a manager of
  // its own.
  std::vector<llvm::MemoryBufferRef> texts;
  for (auto &file : files) {
    if (!isBytecode(*file) && file->getBuffer().contains('\r'))
      file =
          llvm::MemoryBuffer::getMemBufferCopy(withLineFeeds(file->getBuffer()), file->getBufferIdentifier());
    texts.push_back(file->getMemBufferRef());
    sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  }
  AuthorErrors errors(context, texts);
  bool wrong = false;
  OwningOpRef<ModuleOp> linked = parseTexts(texts, context, wrong);
  errors.report();
  if (!wrong)
    return linked;
  // What is right of the texts may have errors that only elaboration finds.
  if (linked && llvm::hasSingleElement(linked->getOps<ModelOp>()) &&
      !languageOf(context).faults.ops.contains(*linked->getOps<ModelOp>().begin())) {
    context->loadDialect<flow::FlowDialect>();
    (void)elaborate(*linked, further);
  }
  return {};
}
