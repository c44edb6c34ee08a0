// The custom directives of the formats, but for those of options (Options.cpp). Positions are looked at in the source text
// where one token is not enough to tell an op's part from the next op: line breaks mean nothing in MLIR.
#include "dialects/moe/Directives.h"
#include "dialects/moe/Elsewhere.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moe;

ParseResult moe::parseClause(OpAsmParser &p, StringRef word) {
  if (succeeded(p.parseOptionalKeyword(word)))
    return success();
  StringRef text = writtenOf(p);
  return reportAt(p, behind(text)) << "expected '" << word << "': write '" << text << " " << word << " ...'";
}

ParseResult moe::parsePath(OpAsmParser &p, StringAttr &path, StringAttr &mode) {
  StringRef word;
  if (succeeded(p.parseOptionalKeyword(&word, {"shared", "frozen"})))
    mode = p.getBuilder().getStringAttr(word);
  SMLoc loc = p.getCurrentLocation();
  if (succeeded(p.parseOptionalSymbolName(path)))
    return success();
  if (*loc.getPointer() == '@') // what stands behind it is no name, which the lexer has reported
    return failure();
  StringRef op = peekWord(p.getNameLoc().getPointer()).first;
  op = op == "moe" ? "op" : op;
  return reportAt(p, loc) << "'" << op << "' owns parameters, so it needs a name: write '" << op
                          << " @name(...)'";
}

void moe::printPath(OpAsmPrinter &p, Operation *, StringAttr path, StringAttr mode) {
  if (mode)
    p << mode.getValue() << ' ';
  p.printSymbolName(path);
}

ParseResult moe::parseWord(OpAsmParser &p, StringAttr &word) {
  StringRef text;
  if (writtenOf(p) == "default")
    offerWordsOf(p, "op");
  // The next op is no word, though line breaks mean nothing: a word is not followed by `%` or `@`.
  const char *at = p.getCurrentLocation().getPointer();
  const char *after = at + peekWord(at).first.size();
  while (*after == ' ')
    ++after;
  bool other = *after == '%' || *after == '@';
  if (StringRef line = other ? lineThatEnded(p) : lineCutShort(p); !line.empty())
    return reportAt(p, behind(line)) << "expected a word after '" << opOfLine(line)
                                     << "', found the end of the line";
  if (other || failed(p.parseOptionalKeyword(&text)))
    return reportAt(p, behind(writtenOf(p))) << "expected a word after '" << writtenOf(p) << "'";
  if (writtenOf(p).starts_with("default "))
    offerWordsOf(p, "weight");
  word = p.getBuilder().getStringAttr(text);
  return success();
}

OptionalParseResult moe::parseOptionalWord(OpAsmParser &p, StringAttr &word) {
  StringRef text, line = lineCutShort(p);
  if (writtenOf(p).starts_with("aux "))
    offerWordsOf(p, "rule");
  if (failed(p.parseOptionalKeyword(&text)))
    return std::nullopt;
  if (!line.empty())
    return ParseResult(reportAt(p, behind(line))
                       << "expected a value after '" << opOfLine(line) << "', found the end of the line");
  word = p.getBuilder().getStringAttr(text);
  return success();
}

void moe::printWord(OpAsmPrinter &p, Operation *, StringAttr word) { p << word.getValue(); }
void moe::printOptionalWord(OpAsmPrinter &p, Operation *, StringAttr word) { p << word.getValue(); }

/// A ramp's word is the name of a parameter, which has just been read.
static ParseResult tellRamp(OpAsmParser &p, StringAttr ramp) {
  StringRef text(p.getNameLoc().getPointer(),
                 p.getCurrentLocation().getPointer() - p.getNameLoc().getPointer());
  if (size_t at = text.rfind(ramp.getValue()); at != StringRef::npos)
    tellName(p, Listener::Name::key, text.substr(at, ramp.size()));
  return success();
}

ParseResult moe::parseChainWords(OpAsmParser &p, SmallVectorImpl<Unresolved> &with, StringAttr &ramp,
                                 ExprAttr &first, ExprAttr &last, SmallVectorImpl<Unresolved> &sized) {
  while (true) {
    SMLoc loc = p.getCurrentLocation();
    StringRef word;
    if (failed(p.parseOptionalKeyword(&word, {"with", "ramp"})))
      return success();
    if (word == "with" ? !with.empty() : bool(ramp))
      return reportAt(p, loc) << "'" << word << "' is given twice";
    if (word == "with") {
      do {
        if (p.parseOperand(with.emplace_back()))
          return failure();
      } while (succeeded(p.parseOptionalComma()));
    } else if (parseWord(p, ramp) || tellRamp(p, ramp) || parseClause(p, "from") ||
               parseExpr(p, first, sized) || parseClause(p, "to") || parseExpr(p, last, sized)) {
      return failure();
    }
  }
}

void moe::printChainWords(OpAsmPrinter &p, Operation *op, OperandRange with, StringAttr ramp, ExprAttr first,
                          ExprAttr last, OperandRange sized) {
  if (!with.empty())
    p << " with " << with;
  if (!ramp)
    return;
  p << " ramp " << ramp.getValue() << " from ";
  printExpr(p, op, first, sized);
  p << " to ";
  printExpr(p, op, last, sized);
}

void moe::printExpr(OpAsmPrinter &p, Operation *, ExprAttr expr, OperandRange sized) {
  moe::printExpr(p.getStream(), expr, [&](raw_ostream &os, ExprAttr size) {
    if (uint64_t number = sizedNumber(size); number < sized.size())
      p.printOperand(sized[number], os);
    else
      os << number;
  });
}

/// Whether a number or an expression stands at the place, and not what is meant as a value. A word that is followed by '(', '%'
/// or '@' is an op.
static bool isNumberAt(const char *at) {
  if (llvm::isDigit(*at) || *at == '-')
    return true;
  StringRef word = peekWord(at).first;
  StringRef rest = StringRef(at + word.size()).ltrim(" \t");
  if (word.empty())
    return *at == '(' && !rest.drop_front(1).ltrim(" \t").starts_with("%");
  return (word == "size" && rest.starts_with("(")) ||
         (!rest.starts_with("(") && !rest.starts_with("%") && !rest.starts_with("@"));
}

ParseResult moe::parseOperands(OpAsmParser &p, SmallVectorImpl<Unresolved> &values, ArrayAttr &numbers,
                               SmallVectorImpl<Unresolved> &sized, StringRef names) {
  Builder &b = p.getBuilder();
  SmallVector<Attribute> places;
  bool any = false;
  for (size_t i = 0, count = names.count(',') + 1; i < count; ++i) {
    if (i && p.parseComma())
      return failure();
    if (!isNumberAt(p.getCurrentLocation().getPointer())) {
      if (p.parseOperand(values.emplace_back()))
        return failure();
      places.push_back(b.getUnitAttr());
      continue;
    }
    ExprAttr expr;
    if (parseExpr(p, expr, sized))
      return failure();
    places.push_back(expr);
    any = true;
  }
  numbers = any ? b.getArrayAttr(places) : ArrayAttr();
  return success();
}

void moe::printOperands(OpAsmPrinter &p, Operation *op, OperandRange values, ArrayAttr numbers,
                        OperandRange sized, StringRef) {
  if (!numbers)
    return p.printOperands(values);
  auto next = values.begin();
  llvm::interleaveComma(numbers, p, [&](Attribute place) {
    if (auto expr = dyn_cast<ExprAttr>(place))
      printExpr(p, op, expr, sized);
    else if (next != values.end())
      p.printOperand(*next++);
  });
}

ParseResult moe::parseExprs(OpAsmParser &p, ArrayAttr &list, SmallVectorImpl<Unresolved> &sized) {
  SmallVector<Attribute> args;
  SMLoc loc = p.getCurrentLocation();
  offerWordsOf(p, "args");
  if (parseExprList(p, args, sized))
    return failure();
  for (Attribute arg : args)
    if (auto expr = cast<ExprAttr>(arg); expr.getKind() == ExprKind::Key)
      return reportAt(p, loc) << "expected values alone, found '" << expr.getText()
                              << " = '; here they are told apart by their order: write '" << expr.arg(0).str()
                              << "'";
  list = p.getBuilder().getArrayAttr(args);
  return success();
}

ParseResult moe::parseAxes(OpAsmParser &p, ExprAttr &axes) {
  SMLoc loc = p.getCurrentLocation();
  axes = parseExpr(p);
  if (!axes)
    return failure();
  ExprAttr odd;
  std::string wrong = wrongAxes(axes, odd);
  if (wrong.empty())
    return success();
  // The expression has no place of its own: its first word that reads so is it.
  StringRef text(loc.getPointer(), p.getCurrentLocation().getPointer() - loc.getPointer());
  size_t at = text.find(odd.getText());
  return reportAt(p, SMLoc::getFromPointer(text.begin() + (at == StringRef::npos ? 0 : at))) << wrong;
}

void moe::printExprs(OpAsmPrinter &p, Operation *op, ArrayAttr list, OperandRange sized) {
  llvm::interleaveComma(list, p, [&](Attribute a) { printExpr(p, op, cast<ExprAttr>(a), sized); });
}

ParseResult moe::parseNamed(OpAsmParser &p, SmallVectorImpl<Unresolved> &values, ArrayAttr &names) {
  SmallVector<Attribute> words;
  auto one = [&]() -> ParseResult {
    SMLoc loc = p.getCurrentLocation();
    StringRef word;
    if (failed(p.parseOptionalKeyword(&word)) || failed(p.parseOptionalEqual()))
      return reportAt(p, loc) << "expected a named result: write 'return logits = %value'";
    if (p.parseOperand(values.emplace_back()))
      return failure();
    words.push_back(p.getBuilder().getStringAttr(word));
    return success();
  };
  if (p.parseCommaSeparatedList(one))
    return failure();
  names = p.getBuilder().getArrayAttr(words);
  return success();
}

void moe::printNamed(OpAsmPrinter &p, Operation *, OperandRange values, ArrayAttr names) {
  llvm::interleaveComma(llvm::zip(names.getAsRange<StringAttr>(), values), p,
                        [&](auto it) { p << std::get<0>(it).getValue() << " = " << std::get<1>(it); });
}

ParseResult moe::parseCondition(OpAsmParser &p, ExprAttr &when, ExprAttr &is) {
  when = parseExpr(p);
  if (!when || p.parseEqual() || p.parseEqual())
    return failure();
  is = parseExpr(p);
  return success(bool(is));
}

void moe::printCondition(OpAsmPrinter &p, Operation *, ExprAttr when, ExprAttr is) {
  when.print(p);
  p << " == ";
  is.print(p);
}

ParseResult moe::parseResults(OpAsmParser &p, SmallVectorImpl<Type> &types) {
  types.assign(p.getNumResults(), ValueType::get(p.getContext()));
  return success();
}

ParseResult moe::parseParams(OpAsmParser &p, ArrayAttr &params) {
  SmallVector<Attribute> list;
  auto one = [&] { return success(bool(list.emplace_back(parseParam(p)))); };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::OptionalLessGreater, one))
    return failure();
  params = p.getBuilder().getArrayAttr(list);
  return success();
}

void moe::printParams(OpAsmPrinter &p, Operation *, ArrayAttr params) {
  if (params.empty())
    return;
  p << '<';
  llvm::interleaveComma(params, p, [&](Attribute a) { cast<ParamAttr>(a).print(p); });
  p << '>';
}

/// A pattern `[tokens, dim]` behind a value's ':'.
static ParseResult pattern(OpAsmParser &p, Attribute &made) {
  SMLoc loc = p.getCurrentLocation();
  if (*loc.getPointer() != '[')
    return reportAt(p, loc) << "expected a pattern of sizes behind ':', such as '[tokens, dim]'; a layer's "
                               "values have no types";
  ExprAttr list = parseExpr(p);
  made = list;
  return success(bool(list));
}

/// The values of a model have types, which are added to `inputs`; those of a layer may have patterns.
static ParseResult signature(OpAsmParser &p, SmallVectorImpl<Attribute> *inputs,
                             SmallVectorImpl<Attribute> *patterns, Region &body) {
  SmallVector<OpAsmParser::Argument> args;
  auto one = [&]() -> ParseResult {
    OpAsmParser::Argument &arg = args.emplace_back();
    if (p.parseArgument(arg))
      return failure();
    arg.type = ValueType::get(p.getContext());
    arg.sourceLoc =
        namedLocation(p, arg.ssaName.name.drop_front(), p.getEncodedSourceLoc(arg.ssaName.location));
    if (patterns) {
      Attribute &place = patterns->emplace_back(p.getBuilder().getUnitAttr());
      return succeeded(p.parseOptionalColon()) ? pattern(p, place) : success();
    }
    if (!inputs)
      return success();
    SMLoc loc = p.getCurrentLocation();
    if (failed(p.parseOptionalColon()))
      return reportAt(p, loc)
             << "expected ': image[channels, height, width]', ': vector[length]' or ': index'";
    return success(bool(inputs->emplace_back(parseInput(p))));
  };
  if (p.parseCommaSeparatedList(AsmParser::Delimiter::Paren, one))
    return failure();
  if (OptionalParseResult found = p.parseOptionalRegion(body, args, /*enableNameShadowing=*/true);
      found.has_value()) {
    if (succeeded(*found) && body.empty())
      body.emplaceBlock();
    return *found;
  }
  Block &block = body.emplaceBlock();
  for (auto &arg : args)
    block.addArgument(arg.type, *arg.sourceLoc);
  return success();
}

ParseResult moe::parseBody(OpAsmParser &p, Region &body) { return signature(p, nullptr, nullptr, body); }

ParseResult moe::parseHeader(OpAsmParser &p, ArrayAttr &patterns, Region &body) {
  SmallVector<Attribute> list;
  if (signature(p, nullptr, &list, body))
    return failure();
  bool any = llvm::any_of(list, [](Attribute each) { return isa<ExprAttr>(each); });
  patterns = any ? p.getBuilder().getArrayAttr(list) : ArrayAttr();
  return success();
}

ParseResult moe::parseSignature(OpAsmParser &p, ArrayAttr &inputs, Region &body) {
  SmallVector<Attribute> list;
  if (signature(p, &list, nullptr, body))
    return failure();
  inputs = p.getBuilder().getArrayAttr(list);
  return success();
}

/// `printed` prints what stands behind a value.
static void printValues(OpAsmPrinter &p, Region &body, llvm::function_ref<void(unsigned)> printed) {
  p << '(';
  llvm::interleaveComma(body.getArguments(), p, [&](BlockArgument arg) {
    p << arg;
    printed(arg.getArgNumber());
  });
  p << ')';
  if (body.front().empty())
    return;
  p << ' ';
  p.printRegion(body, /*printEntryBlockArgs=*/false);
}

void moe::printSignature(OpAsmPrinter &p, Operation *, ArrayAttr inputs, Region &body) {
  printValues(p, body, [&](unsigned i) {
    p << ": ";
    cast<InputAttr>(inputs[i]).print(p);
  });
}

void moe::printBody(OpAsmPrinter &p, Operation *, Region &body) {
  printValues(p, body, [](unsigned) {});
}

void moe::printHeader(OpAsmPrinter &p, Operation *, ArrayAttr patterns, Region &body) {
  printValues(p, body, [&](unsigned i) {
    if (auto expr = patterns && i < patterns.size() ? dyn_cast<ExprAttr>(patterns[i]) : ExprAttr()) {
      p << ": ";
      expr.print(p);
    }
  });
}
