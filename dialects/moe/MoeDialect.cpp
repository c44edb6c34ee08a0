// The dialect itself: registration, the bracketed form of its attributes, and the report on misspelt ops.
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Directives.h"
#include "dialects/moe/Elsewhere.h"
#include "dialects/moe/Nearest.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moe;

#include "dialects/moe/MoeDialect.cpp.inc"
#include "dialects/moe/MoeInterfaces.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/moe/MoeTypes.cpp.inc"
// The dialect reads and writes its attributes itself, so the generated dispatchers stay unused.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"
#define GET_ATTRDEF_CLASSES
#include "dialects/moe/MoeAttrs.cpp.inc"
#pragma clang diagnostic pop
#define GET_OP_CLASSES
#include "dialects/moe/MoeOps.cpp.inc"

MoeDialect &moe::languageOf(MLIRContext *context) { return *context->getOrLoadDialect<MoeDialect>(); }

void MoeDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/moe/MoeTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/moe/MoeAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/moe/MoeOps.cpp.inc"
      >();
}

/// The closing '>' is demanded here: a parser that stops early would lose the rest of an attribute silently.
Attribute MoeDialect::parseAttribute(DialectAsmParser &p, Type type) const {
  StringRef word;
  SMLoc loc = p.getCurrentLocation();
  if (p.parseKeyword(&word) || p.parseLess())
    return {};
  Attribute attribute;
  if (word == "expr")
    attribute = parseExpr(p);
  else if (word == "param")
    attribute = parseParam(p);
  else if (word == "input")
    attribute = parseInput(p);
  else
    reportAt(p, loc) << "unknown attribute '" << word << "'" << didYouMean(word, {"expr", "param", "input"});
  if (!attribute || succeeded(p.parseOptionalGreater()))
    return attribute;
  SMLoc end = p.getCurrentLocation();
  StringRef found =
      StringRef(end.getPointer()).take_until([](char c) { return StringRef(" >\n").contains(c); });
  reportAt(p, end) << "expected the end of the expression, found "
                   << (found.empty() ? "the end" : ("'" + found + "'").str());
  return {};
}

void MoeDialect::printAttribute(Attribute attribute, DialectAsmPrinter &p) const {
  llvm::TypeSwitch<Attribute>(attribute).Case<ExprAttr, ParamAttr, InputAttr>([&](auto it) {
    p << it.getMnemonic() << '<';
    it.print(p);
    p << '>';
  });
}

/// A ParseOpHook does not own what it refers to, so this is a function, not a lambda with captures.
static ParseResult reportUnknown(OpAsmParser &p, OperationState &state) {
  StringRef word = state.name.stripDialect();
  // Line breaks mean nothing, so an option at a place where none is read looks like the next op.
  if (peekWord(p.getNameLoc().getPointer()).second)
    return reportAt(p, p.getNameLoc())
           << "expected an op, found '" << word
           << " = ...'; a value's name begins with '%', and options stand right behind an op's values";
  // An op begins a line, a body, or what a name stands for.
  StringRef before = lineUpTo(p, p.getNameLoc().getPointer()).rtrim();
  if (!before.empty() && !StringRef("={}").contains(before.back()))
    return reportAt(p, p.getNameLoc())
           << "expected the end of the op after '" << opOfLine(before) << "', found '" << word << "'";
  std::string near = didYouMeanOp(word, p.getContext());
  if (StringRef other = opElsewhere(word); !other.empty())
    near = (" (did you mean '" + other + "'?)").str();
  return reportAt(p, p.getNameLoc()) << "unknown op '" << word << "'" << near
                                     << "; docs/ops.md lists all there are";
}

std::optional<Dialect::ParseOpHook> MoeDialect::getParseOperationHook(StringRef) const {
  return reportUnknown;
}
