// Reads and writes expressions, parameters and inputs. MLIR's lexer has no `1e-6` (it reads `1`, `e`, `-`,
// `6`), so numbers are cut out of the source text, and floats would print as `1.000000e-01`, so numbers keep
// their own shortest spelling. Heights are counted while trees are built: a tree that is too high is refused
// before anything recurses on it.
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/raw_ostream.h"
#include <charconv>
#include <limits>

using namespace mlir;
using namespace moe;

/// The index of the nearest of `words`; none where none is near.
static std::optional<size_t> nearestOf(StringRef word, ArrayRef<StringRef> words) {
  auto letters = [](StringRef text) {
    std::string sorted = text.str();
    llvm::sort(sorted);
    return sorted;
  };
  std::optional<size_t> best;
  // One slip in a short word, two in a longer one, a third of a long one; or the same letters in another
  // order.
  unsigned least = (word.size() < 4 ? 1 : std::max<unsigned>(2, word.size() / 3)) + 1;
  for (auto [index, other] : llvm::enumerate(words)) {
    unsigned distance = word.edit_distance(other);
    if (distance == 2 && letters(word) == letters(other))
      distance = 1;
    if (distance < least && distance < word.size())
      least = distance, best = index;
  }
  return best;
}

std::string moe::didYouMean(StringRef word, ArrayRef<StringRef> words) {
  std::optional<size_t> best = nearestOf(word, words);
  return best ? (" (did you mean '" + words[*best] + "'?)").str() : "";
}

std::string moe::didYouMeanOp(StringRef word, MLIRContext *context) {
  SmallVector<StringRef> names, written; // what is compared, and how an author writes it
  for (RegisteredOperationName op : context->getRegisteredOperations())
    if (op.getDialectNamespace() == "moe" || op.hasInterface<ExpandInterface>()) {
      names.push_back(op.stripDialect());
      written.push_back(op.getDialectNamespace() == "moe" ? op.stripDialect() : op.getStringRef());
    }
  std::optional<size_t> best = nearestOf(word.substr(word.rfind('.') + 1), names);
  return best ? (" (did you mean '" + written[*best] + "'?)").str() : "";
}

std::string moe::notOfTheLanguage(StringRef op, MLIRContext *context) {
  std::string message = ("expected an op of the model language, found '" + op + "'").str();
  auto known = RegisteredOperationName::lookup(op, context);
  if (known && (known->hasInterface<flow::ComputeInterface>() || known->hasTrait<flow::Boundary>()))
    message += ", an op of the graph";
  const StringRef last = op.substr(op.rfind('.') + 1), dialect = op.split('.').first;
  for (const std::string &word : {(dialect + "." + last).str(), ("moe." + last).str()})
    if (auto found = RegisteredOperationName::lookup(word, context);
        found && found->hasInterface<ExpandInterface>())
      return message + "; in a model, write '" +
             (found->getDialectNamespace() == "moe" ? last : StringRef(word)).str() + "'";
  return message + "; docs/ops.md lists all there are";
}

InFlightDiagnostic moe::reportAt(AsmParser &parser, SMLoc at) {
  return mlir::emitError(parser.getEncodedSourceLoc(at));
}

std::pair<StringRef, bool> moe::peekWord(const char *at) {
  const char *end = at;
  while (llvm::isAlnum(*end) || *end == '_')
    ++end;
  StringRef word(at, end - at);
  while (*end == ' ' || *end == '\t')
    ++end;
  return {word, *end == '=' && end[1] != '='};
}

StringRef moe::lineUpTo(AsmParser &p, const char *at) {
  auto place = p.getEncodedSourceLoc(SMLoc::getFromPointer(at))->findInstanceOf<FileLineColLoc>();
  size_t before = place ? place.getColumn() - 1 : 0;
  return StringRef(at - before, before);
}

StringRef moe::lineBefore(AsmParser &p, const char *start) {
  auto place = p.getEncodedSourceLoc(SMLoc::getFromPointer(start))->findInstanceOf<FileLineColLoc>();
  for (unsigned number = place ? place.getLine() : 1; number > 1; --number) {
    // Columns count from a '\r' too, and a text may begin with an empty line.
    bool returns = number > 2 && start[-2] == '\r';
    StringRef line = lineUpTo(p, start - (returns ? 2 : 1));
    if (StringRef text = line.take_front(line.find("//")).rtrim(); !text.empty())
      return text;
    start = line.begin();
  }
  return {};
}

StringRef moe::lineThatEnded(AsmParser &p) {
  StringRef line = lineUpTo(p, p.getCurrentLocation().getPointer());
  return line.trim().empty() ? lineBefore(p, line.begin()) : StringRef();
}

StringRef moe::lineCutShort(AsmParser &p) {
  StringRef line = lineThatEnded(p);
  bool open = !line.empty() && (llvm::isAlnum(line.back()) || line.back() == '_' || line.back() == '=');
  return open ? line : StringRef();
}

StringRef moe::opOfLine(StringRef line) {
  StringRef text = line.trim();
  if (size_t equal = text.find(" = "); text.starts_with("%") && equal != StringRef::npos)
    text = text.drop_front(equal + 3).ltrim();
  return text;
}

/// Nothing of an expression stands where a line ended: says so there.
static ParseResult reportLineEnd(AsmParser &p, StringRef line) {
  StringRef word = line.drop_front(line.find_last_of(" )") + 1);
  StringRef wanted = llvm::StringSwitch<StringRef>(word)
                         .Cases({"layer", "trunk", "for"}, "a layer such as '@Mlp<64>'")
                         .Case("init", "an initial value such as 'zeros'")
                         .Case("over", "axes such as 'pixels'")
                         .Default("a size, a number, a layer or a list");
  return reportAt(p, SMLoc::getFromPointer(line.end()))
         << "expected " << wanted << " after '" << opOfLine(line) << "', found the end of the line";
}

/// What a word or '=' takes stands on its line: the next one's first word belongs to another op, though line
/// breaks mean nothing to the parser.
static ParseResult verifyLineGoesOn(AsmParser &p) {
  StringRef line = lineCutShort(p);
  return line.empty() ? success() : reportLineEnd(p, line);
}

namespace {
struct Parsed {
  ExprAttr expr;
  unsigned height = 0;
  explicit operator bool() const { return bool(expr); }
};

/// Recursive descent over sums, products and primaries.
class ExprParser {
public:
  explicit ExprParser(AsmParser &parser) : p(parser) {}
  /// Of an op's expression: values whose sizes it takes are added to `sized`.
  ExprParser(OpAsmParser &parser, SmallVectorImpl<OpAsmParser::UnresolvedOperand> &sized)
      : p(parser), ofOp(&parser), sized(&sized) {}
  Parsed sum();
  /// `layer`: whose arguments they are, if a layer's.
  ParseResult list(AsmParser::Delimiter delimiter, SmallVectorImpl<Attribute> &args, unsigned &height,
                   StringRef layer = {});

private:
  Parsed reportRemainder(const char *at);
  Parsed product();
  Parsed primary();
  Parsed sizeOf(SMLoc loc);
  ParseResult number(std::string &text);
  Parsed node(SMLoc loc, ExprKind kind, StringRef text, ArrayRef<Attribute> args, unsigned height);
  bool tooDeep(SMLoc loc, unsigned height);

  AsmParser &p;
  OpAsmParser *ofOp = nullptr;
  SmallVectorImpl<OpAsmParser::UnresolvedOperand> *sized = nullptr;
  unsigned depth = 0;
};
} // namespace

/// The token of an editor's question begins with a blank, or is the end of the text, as no other does.
void moe::offer(AsmParser &p, ArrayRef<StringRef> words) {
  StringRef none;
  if (StringRef(" \n\t\r\0", 5).contains(*p.getCurrentLocation().getPointer()))
    (void)p.parseOptionalKeyword(&none, words);
}

void moe::offerWordsOf(AsmParser &p, StringRef attribute) {
  Words words = wordsOf(attribute);
  std::vector<std::string> calls;
  for (StringRef call : words.calls)
    calls.push_back((call + "(").str());
  llvm::append_range(words.names, calls);
  offer(p, words.names);
}

void moe::tellName(AsmParser &p, Listener::Name kind, StringRef written, StringRef layer) {
  if (Listener *listener = languageOf(p.getContext()).listener)
    listener->name(kind, written, p.getEncodedSourceLoc(SMLoc::getFromPointer(written.data())), layer);
}

/// The name of a token that begins at `loc`, maybe with '@' or in quotes, as it is written.
static StringRef nameAt(SMLoc loc, StringRef name) {
  const char *at = loc.getPointer();
  at += *at == '@';
  at += *at == '"';
  return StringRef(at, name.size());
}

bool ExprParser::tooDeep(SMLoc loc, unsigned height) {
  if (height <= maxHeight)
    return false;
  reportAt(p, loc) << "expected an expression of at most " << maxHeight << " levels, found more; split it up";
  return true;
}

Parsed ExprParser::node(SMLoc loc, ExprKind kind, StringRef text, ArrayRef<Attribute> args, unsigned height) {
  if (tooDeep(loc, height + 1))
    return {};
  return {ExprAttr::get(p.getContext(), kind, text, args), height + 1};
}

/// The shortest exact spelling that reads back to the same value: 0.1, 1e-6, 10.0, 8.
ParseResult ExprParser::number(std::string &text) {
  SMLoc loc = p.getCurrentLocation();
  const char *begin = loc.getPointer(), *end = begin;
  auto digits = [&] {
    while (llvm::isDigit(*end))
      ++end;
  };
  bool whole = true;
  digits();
  if (*end == '.')
    ++end, digits(), whole = false;
  if ((*end == 'e' || *end == 'E') &&
      (llvm::isDigit(end[1]) || ((end[1] == '-' || end[1] == '+') && llvm::isDigit(end[2])))) {
    end += 2;
    digits();
    whole = false;
  }
  StringRef written(begin, end - begin);
  if (llvm::isAlpha(*end) || *end == '_')
    return reportAt(p, loc) << "expected a number or a name, found '" << written
                            << "' followed by a letter; a name cannot begin with a digit";
  // Skip the lexer's tokens of what was cut out.
  double skippedFloat;
  APInt skippedInteger;
  StringRef skippedWord;
  if (written.contains('.') ? p.parseFloat(skippedFloat).failed()
                            : failed(*p.parseOptionalInteger(skippedInteger)))
    return failure();
  while (p.getCurrentLocation().getPointer() < end)
    if (failed(p.parseOptionalMinus()) && failed(p.parseOptionalPlus()) &&
        failed(p.parseOptionalKeyword(&skippedWord)) && !p.parseOptionalInteger(skippedInteger).has_value())
      return reportAt(p, p.getCurrentLocation()) << "expected the rest of a number";
  if (whole) {
    int64_t integer;
    if (written.getAsInteger(10, integer))
      return reportAt(p, loc) << "expected a number of at most " << INT64_MAX << ", found " << written;
    text = std::to_string(integer);
    return success();
  }
  double value = 0;
  // Programs compute in 32 bits: what overflows them would be infinity there, and what is too small for them 0.
  if (std::from_chars(begin, end, value).ec != std::errc() || value > std::numeric_limits<float>::max() ||
      (value != 0 && float(value) == 0))
    return reportAt(p, loc) << "expected a number that fits into 32-bit floating point, found " << written;
  char buffer[40];
  text = std::string(buffer, std::to_chars(buffer, buffer + 40, value).ptr);
  if (size_t e = text.find('e'); e != std::string::npos) { // 1e-06 -> 1e-6
    while (text[e + 2] == '0' && e + 3 < text.size())
      text.erase(e + 2, 1);
    if (text[e + 1] == '+')
      text.erase(e + 1, 1);
  } else if (text.find('.') == std::string::npos)
    text += ".0";
  return success();
}

ParseResult ExprParser::list(AsmParser::Delimiter delimiter, SmallVectorImpl<Attribute> &args,
                             unsigned &height, StringRef layerName) {
  return p.parseCommaSeparatedList(delimiter, [&]() -> ParseResult {
    SMLoc loc = p.getCurrentLocation();
    Parsed arg = sum();
    if (!arg)
      return failure();
    // A layer is given by name as its parameter is declared: `@ffn = @Mlp<dim>`.
    ExprKind kind = arg.expr.getKind();
    bool layer = kind == ExprKind::Layer && arg.expr.getArgs().size() == 1;
    if (((kind == ExprKind::Name && peekWord(loc.getPointer()).second) || layer) &&
        succeeded(p.parseOptionalEqual())) {
      if (!layerName.empty())
        tellName(p, Listener::Name::key, nameAt(loc, arg.expr.getText()), layerName);
      SMLoc valueAt = p.getCurrentLocation();
      Parsed value = sum();
      if (!value)
        return failure();
      if (layer && value.expr.getKind() != ExprKind::Layer)
        return reportAt(p, valueAt) << "expected a layer for '@" << arg.expr.getText() << "', found '"
                                    << value.expr.str() << "'; a size or number is given as '"
                                    << arg.expr.getText() << " = ...'";
      arg = node(loc, ExprKind::Key, arg.expr.getText(), value.expr, value.height);
      if (!arg)
        return failure();
    }
    height = std::max(height, arg.height);
    args.push_back(arg.expr);
    return success();
  });
}

/// The sizes, numbers and layers of the layer or model around the current place, as its header has them: parameters, and names in
/// patterns.
static SmallVector<StringRef> namesInScope(AsmParser &p) {
  const char *at = p.getCurrentLocation().getPointer();
  StringRef line = lineUpTo(p, at);
  auto begins = [&] {
    StringRef text = line.ltrim();
    return text.starts_with("moe.layer") || text.starts_with("moe.model") ||
           text.starts_with("moe.objective");
  };
  for (StringRef before = line; !begins(); line = before)
    if (before = lineBefore(p, line.begin()); before.empty())
      return {};
    else
      before = lineUpTo(p, before.end());
  StringRef header = StringRef(line.begin(), at - line.begin()).take_until([](char c) { return c == '{'; });
  SmallVector<StringRef> names;
  unsigned angles = 0, squares = 0, round = 0;
  for (const char *c = header.begin(); c != header.end();) {
    StringRef word = peekWord(c).first;
    if (word.empty()) {
      angles += *c == '<';
      angles -= *c == '>' && angles;
      squares += *c == '[';
      squares -= *c == ']' && squares;
      round += *c == '(';
      round -= *c == ')' && round;
      ++c;
      continue;
    }
    StringRef before = StringRef(header.begin(), c - header.begin()).rtrim(" @\n\r\t");
    bool parameter = angles == 1 && !squares && !round && (before.ends_with("<") || before.ends_with(","));
    bool pattern = !angles && round == 1 && squares == 1 && !llvm::isDigit(word.front()) && word != "_" &&
                   header.ltrim().starts_with("moe.layer");
    if ((parameter || pattern) && word.end() <= header.end() && !llvm::is_contained(names, word))
      names.push_back(word);
    c = word.end();
  }
  return names;
}

Parsed ExprParser::reportRemainder(const char *at) {
  reportAt(p, SMLoc::getFromPointer(at))
      << "expected 'mod' for a remainder, found '%'; the operators are + - * / mod";
  return {};
}

/// Behind `size`: a value, or its number where no op is parsed, and an axis.
Parsed ExprParser::sizeOf(SMLoc loc) {
  if (p.parseLParen())
    return {};
  Builder &b = p.getBuilder();
  std::string name;
  uint64_t number = 0;
  SMLoc at = p.getCurrentLocation();
  if (ofOp) {
    OpAsmParser::UnresolvedOperand value;
    if (ofOp->parseOperand(value))
      return {};
    auto same = [&](auto &other) { return other.name == value.name && other.number == value.number; };
    auto *found = llvm::find_if(*sized, same);
    number = found - sized->begin();
    if (found == sized->end())
      sized->push_back(value);
    name = value.name.str() + (value.number ? "#" + std::to_string(value.number) : "");
  } else if (*at.getPointer() == '%') {
    return reportAt(p, at)
               << "expected an expression without sizes of values, found 'size(%...'; they stand in the "
                  "expressions of ops, and a layer's header binds sizes by a pattern: (%x: [tokens, dim])",
           Parsed();
  } else if (p.parseInteger(number)) {
    return {};
  }
  if (p.parseComma())
    return {};
  SMLoc axisAt = p.getCurrentLocation();
  StringRef word;
  std::string axis;
  if (succeeded(p.parseOptionalKeyword(&word))) {
    axis = word.str();
  } else {
    axis = succeeded(p.parseOptionalMinus()) ? "-" : "";
    APInt integer;
    if (OptionalParseResult found = p.parseOptionalInteger(integer); found.has_value() && succeeded(*found))
      axis += llvm::toString(integer, 10, /*Signed=*/false);
    else
      axis.clear();
  }
  const SmallVector<StringRef> words = {"tokens", "features", "experts"};
  int64_t ignored;
  if (!llvm::is_contained(words, axis) && StringRef(axis).getAsInteger(10, ignored))
    return reportAt(p, axisAt) << "expected an axis, found '"
                               << StringRef(axisAt.getPointer()).take_until([](char c) {
                                    return StringRef(",)\n").contains(c);
                                  })
                               << "'" << didYouMean(axis, words)
                               << "; write tokens (the first), features (the last), experts, "
                                  "or a number such as 0 or -1",
           Parsed();
  if (p.parseRParen())
    return {};
  return node(loc, ExprKind::Size, name, {b.getIndexAttr(int64_t(number)), b.getStringAttr(axis)}, 0);
}

Parsed ExprParser::primary() {
  SMLoc loc = p.getCurrentLocation();
  SmallVector<Attribute> args;
  unsigned height = 0;
  std::string text = succeeded(p.parseOptionalMinus()) ? "-" : "";
  if (llvm::isDigit(*p.getCurrentLocation().getPointer())) {
    std::string digits;
    if (number(digits))
      return {};
    return node(loc, ExprKind::Number, text + digits, {}, 0);
  }
  if (!text.empty())
    return reportAt(p, loc) << "expected a number after '-'", Parsed();
  if (tooDeep(loc, ++depth))
    return {};
  llvm::scope_exit leave([&] { --depth; });
  if (succeeded(p.parseOptionalLParen())) {
    Parsed inner = sum();
    if (!inner || succeeded(p.parseOptionalRParen()))
      return inner;
    SMLoc end = p.getCurrentLocation();
    bool list = *end.getPointer() == ',';
    return reportAt(p, end) << "expected ')' after '(" << inner.expr.str() << "'"
                            << (list ? ", found ','; a list stands in brackets: [2, 3]" : ""),
           Parsed();
  }
  if (*loc.getPointer() == '[') {
    if (list(AsmParser::Delimiter::Square, args, height))
      return {};
    return node(loc, ExprKind::List, "", args, height);
  }
  SymbolRefAttr symbol; // parsed as an attribute, so that editors find the definition
  if (OptionalParseResult found = p.parseOptionalAttribute(symbol); found.has_value()) {
    if (failed(*found))
      return {};
    args.push_back(symbol);
    tellName(p, Listener::Name::layer, nameAt(loc, symbol.getRootReference()));
    if (list(AsmParser::Delimiter::OptionalLessGreater, args, height, symbol.getRootReference()))
      return {};
    return node(loc, ExprKind::Layer, symbol.getRootReference(), args, height);
  }
  // Operators of other languages.
  bool twice = *loc.getPointer() == '*' && StringRef(lineUpTo(p, loc.getPointer())).rtrim().ends_with("*");
  if (twice)
    return reportAt(p, loc)
               << "expected a size, a number or a name after '*', found '*'; there is no power, the "
                  "operators are + - * / mod",
           Parsed();
  // After `to` and a line break the next op is no size: a name is not followed by `%` or `@` on its line.
  const char *after = loc.getPointer() + peekWord(loc.getPointer()).first.size();
  while (*after == ' ')
    ++after;
  StringRef name;
  // `classes % 2`: a value's name begins with a letter, so it is meant as an operator.
  if (after != loc.getPointer() && *after == '%' && StringRef(" \t(0123456789").contains(after[1]) &&
      !StringRef(after + 1).take_until([](char c) { return c == '\n'; }).contains('='))
    return reportRemainder(after);
  if (*after == '%' || *after == '@' || failed(p.parseOptionalKeyword(&name))) {
    // An editor that asks what may stand here is told the names of the header.
    if (*after != '%' && *after != '@')
      (void)p.parseOptionalKeyword(&name, namesInScope(p));
    if (StringRef line = lineThatEnded(p); !line.empty())
      return void(reportLineEnd(p, line)), Parsed();
    InFlightDiagnostic diag = reportAt(p, loc) << "expected a size, a number, a layer or a list";
    if (*loc.getPointer() == '?')
      diag << ", found '?'; any size is written '_'";
    if (*loc.getPointer() == '%' && peekWord(loc.getPointer() + 1).first.size())
      diag << ", found '%" << peekWord(loc.getPointer() + 1).first
           << "'; ops compute with values, and expressions with numbers and sizes such as size(%x, 0)";
    return diag, Parsed();
  }
  // A token that begins with a blank is the place where an editor asks what the name may become.
  if (const char *next = p.getCurrentLocation().getPointer();
      next == name.end() && (*next == '\0' || StringRef(" \t\r\n").contains(*next))) {
    StringRef rest;
    (void)p.parseOptionalKeyword(&rest, namesInScope(p));
  }
  if (*p.getCurrentLocation().getPointer() != '(') {
    tellName(p, Listener::Name::size, name);
    return node(loc, ExprKind::Name, name, {}, 0);
  }
  if (name == "size")
    return sizeOf(loc);
  if (list(AsmParser::Delimiter::Paren, args, height))
    return {};
  return node(loc, ExprKind::Call, name, args, height);
}

Parsed ExprParser::product() {
  SMLoc loc = p.getCurrentLocation();
  Parsed left = primary();
  while (left) {
    ExprKind kind;
    if (succeeded(p.parseOptionalStar()))
      kind = ExprKind::Mul;
    else if (succeeded(p.parseOptionalSlash()))
      kind = ExprKind::Div;
    else if (succeeded(p.parseOptionalKeyword("mod")))
      kind = ExprKind::Mod;
    else
      break;
    Parsed right = primary();
    left =
        right ? node(loc, kind, "", {left.expr, right.expr}, std::max(left.height, right.height)) : Parsed();
  }
  return left;
}

Parsed ExprParser::sum() {
  SMLoc loc = p.getCurrentLocation();
  Parsed left = product();
  while (left) {
    ExprKind kind;
    if (succeeded(p.parseOptionalPlus()))
      kind = ExprKind::Add;
    else if (succeeded(p.parseOptionalMinus()))
      kind = ExprKind::Sub;
    else
      break;
    Parsed right = product();
    left =
        right ? node(loc, kind, "", {left.expr, right.expr}, std::max(left.height, right.height)) : Parsed();
  }
  return left;
}

ExprAttr moe::parseExpr(AsmParser &parser) {
  return failed(verifyLineGoesOn(parser)) ? ExprAttr() : ExprParser(parser).sum().expr;
}

ParseResult moe::parseExpr(OpAsmParser &parser, ExprAttr &expr,
                           SmallVectorImpl<OpAsmParser::UnresolvedOperand> &sized) {
  expr = failed(verifyLineGoesOn(parser)) ? ExprAttr() : ExprParser(parser, sized).sum().expr;
  return success(bool(expr));
}

ParseResult moe::parseExprList(OpAsmParser &parser, SmallVectorImpl<Attribute> &args,
                               SmallVectorImpl<OpAsmParser::UnresolvedOperand> &sized) {
  unsigned height = 0;
  return ExprParser(parser, sized).list(AsmParser::Delimiter::None, args, height);
}

ParseResult moe::parseExprList(AsmParser &parser, AsmParser::Delimiter delimiter,
                               SmallVectorImpl<Attribute> &args) {
  unsigned height = 0;
  return ExprParser(parser).list(delimiter, args, height);
}

ParamAttr moe::parseParam(AsmParser &p) {
  StringAttr symbol;
  StringRef name, kind = "layer";
  const SMLoc start = p.getCurrentLocation();
  LocationAttr at = p.getEncodedSourceLoc(start);
  if (succeeded(p.parseOptionalSymbolName(symbol))) {
    name = symbol.getValue();
  } else {
    kind = "size";
    SMLoc loc = p.getCurrentLocation();
    if (failed(p.parseOptionalKeyword(&name)))
      return reportAt(p, loc)
                 << "expected the name of a parameter: 'size', 'rate: number', 'mean: numbers' or "
                    "'@layer'",
             ParamAttr();
    loc = p.getCurrentLocation();
    const bool colon = succeeded(p.parseOptionalColon());
    if (colon)
      offer(p, {"number", "numbers"});
    if (colon && (failed(p.parseOptionalKeyword(&kind)) || (kind != "number" && kind != "numbers")))
      return reportAt(p, loc) << "expected ': number' or, for a list, ': numbers'; a parameter without it is "
                                 "a size, and a "
                                 "layer is written '@"
                              << name << "'",
             ParamAttr();
  }
  tellName(p, Listener::Name::parameter, nameAt(start, name));
  Attribute fallback;
  if (succeeded(p.parseOptionalEqual()) && !(fallback = parseExpr(p)))
    return {};
  return ParamAttr::get(p.getContext(), kind, name, fallback, at);
}

InputAttr moe::parseInput(AsmParser &p) {
  SMLoc loc = p.getCurrentLocation();
  StringRef kind;
  SmallVector<Attribute> dims;
  offer(p, {"image[", "vector["});
  bool named = succeeded(p.parseOptionalKeyword(&kind));
  if (named && parseExprList(p, AsmParser::Delimiter::OptionalSquare, dims))
    return {};
  size_t rank = kind == "image" ? 3 : kind == "vector" ? 1 : kind == "index" ? 0 : ~size_t(0);
  if (dims.size() != rank)
    return reportAt(p, loc) << "expected image[channels, height, width], vector[length] or index",
           InputAttr();
  Attribute mean, deviation;
  StringRef word;
  for (SMLoc at = p.getCurrentLocation(); succeeded(p.parseOptionalKeyword(&word));
       at = p.getCurrentLocation()) {
    if (kind != "image" || (word != "mean" && word != "deviation"))
      return reportAt(p, at)
                 << "expected "
                 << (kind == "image" ? "'mean [...]' or 'deviation [...]', or the end of the input"
                                     : "the end of the input; only images have a mean and a deviation")
                 << ", found '" << word << "'"
                 << (kind == "image" && (word == "std" || word == "stddev") ? "; write 'deviation'" : ""),
             InputAttr();
    Attribute &place = word == "mean" ? mean : deviation;
    if (place)
      return reportAt(p, at) << "'" << word << "' is given twice", InputAttr();
    if (!(place = parseExpr(p)))
      return {};
    SMLoc end = p.getCurrentLocation();
    StringRef next = peekWord(StringRef(end.getPointer()).drop_front().ltrim(" \t").data()).first;
    if (*end.getPointer() == ',' && (next == "mean" || next == "deviation" || next == "std"))
      return reportAt(p, end) << "expected no ',' before '" << next << "': write 'mean ... deviation ...'",
             InputAttr();
  }
  return InputAttr::get(p.getContext(), kind, dims, mean, deviation);
}

static int binding(ExprKind kind) { return kind < ExprKind::Add ? 3 : kind < ExprKind::Mod ? 1 : 2; }

static void printExprs(raw_ostream &os, StringRef open, ArrayRef<Attribute> args, StringRef close,
                       SizedName name) {
  os << open;
  llvm::interleaveComma(args, os, [&](Attribute a) { printExpr(os, cast<ExprAttr>(a), name); });
  os << close;
}

uint64_t moe::sizedNumber(ExprAttr size) {
  return cast<IntegerAttr>(size.getArgs()[0]).getValue().getZExtValue();
}

static void numberOfSized(raw_ostream &os, ExprAttr size) { os << sizedNumber(size); }

void moe::printExpr(raw_ostream &os, ExprAttr e, SizedName name) {
  // A quotient inside a product keeps its parentheses: (a / b) * c is exact, a / b * c reads otherwise.
  auto side = [&](ExprAttr operand, bool right) {
    int mine = binding(e.getKind()), its = binding(operand.getKind());
    bool wrap = its < mine || (its == mine && (right || (operand.getKind() != e.getKind() && mine == 2)));
    if (wrap)
      os << '(';
    printExpr(os, operand, name);
    if (wrap)
      os << ')';
  };
  switch (e.getKind()) {
  case ExprKind::Number:
  case ExprKind::Name:
    os << e.getText();
    return;
  case ExprKind::Layer:
    os << e.getArgs().front();
    if (e.getArgs().size() > 1)
      printExprs(os, "<", e.getArgs().drop_front(), ">", name);
    return;
  case ExprKind::List:
    return printExprs(os, "[", e.getArgs(), "]", name);
  case ExprKind::Call:
    os << e.getText();
    return printExprs(os, "(", e.getArgs(), ")", name);
  case ExprKind::Size:
    os << "size(";
    name(os, e);
    os << ", " << cast<StringAttr>(e.getArgs()[1]).getValue() << ')';
    return;
  case ExprKind::Key:
    os << (e.arg(0).getKind() == ExprKind::Layer ? "@" : "") << e.getText() << " = ";
    return printExpr(os, e.arg(0), name);
  default:
    break;
  }
  const char *sign[] = {" + ", " - ", " mod ", " * ", " / "};
  side(e.arg(0), false);
  os << sign[int(e.getKind()) - int(ExprKind::Add)];
  side(e.arg(1), true);
}

std::string ExprAttr::str() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  printExpr(os, *this, [](raw_ostream &os, ExprAttr size) {
    if (size.getText().empty())
      numberOfSized(os, size);
    else
      os << size.getText();
  });
  return text;
}

ExprAttr ExprAttr::key(StringRef name) const {
  for (Attribute a : getArgs())
    if (auto e = dyn_cast<ExprAttr>(a); e && e.getKind() == ExprKind::Key && e.getText() == name)
      return e.arg(0);
  return {};
}

std::vector<ExprAttr> ExprAttr::positional() const {
  std::vector<ExprAttr> list;
  for (Attribute a : getArgs())
    if (auto e = dyn_cast<ExprAttr>(a); e && e.getKind() != ExprKind::Key)
      list.push_back(e);
  return list;
}

Attribute ExprAttr::parse(AsmParser &p, Type) { return parseExpr(p); }
void ExprAttr::print(AsmPrinter &p) const { printExpr(p.getStream(), *this, numberOfSized); }

Attribute ParamAttr::parse(AsmParser &p, Type) { return parseParam(p); }
void ParamAttr::print(AsmPrinter &p) const {
  p << (getKind() == "layer" ? "@" : "") << getName();
  if (getKind() == "number" || getKind() == "numbers")
    p << ": " << getKind();
  if (getFallback()) {
    p << " = ";
    cast<ExprAttr>(getFallback()).print(p);
  }
}

Attribute InputAttr::parse(AsmParser &p, Type) { return parseInput(p); }
void InputAttr::print(AsmPrinter &p) const {
  p << getKind();
  if (!getDims().empty())
    printExprs(p.getStream(), "[", getDims(), "]", numberOfSized);
  for (auto [word, each] : {std::pair(" mean ", getMean()), std::pair(" deviation ", getDeviation())})
    if (each) {
      p << word;
      cast<ExprAttr>(each).print(p);
    }
}
