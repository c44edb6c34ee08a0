// Reads and writes expressions, parameters and inputs. MLIR's lexer has no `1e-6` (it reads `1`, `e`, `-`,
// `6`), so numbers are cut out of the source text, and floats would print as `1.000000e-01`, so numbers keep
// their own shortest spelling. Heights are counted while trees are built: a tree that is too high is refused
// before anything recurses on it.
#include "dialects/flow/Flow.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Nearest.h"
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
  Parsed sum();
  ParseResult list(AsmParser::Delimiter delimiter, SmallVectorImpl<Attribute> &args, unsigned &height);

private:
  Parsed reportRemainder(const char *at);
  Parsed product();
  Parsed primary();
  ParseResult number(std::string &text);
  Parsed node(SMLoc loc, ExprKind kind, StringRef text, ArrayRef<Attribute> args, unsigned height);
  bool tooDeep(SMLoc loc, unsigned height);

  AsmParser &p;
  unsigned depth = 0;
};
} // namespace

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
  // Programs compute in 32 bits: what overflows them would be infinity there.
  if (std::from_chars(begin, end, value).ec != std::errc() || value > std::numeric_limits<float>::max())
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
                             unsigned &height) {
  return p.parseCommaSeparatedList(delimiter, [&]() -> ParseResult {
    SMLoc loc = p.getCurrentLocation();
    Parsed arg = sum();
    if (!arg)
      return failure();
    if (arg.expr.getKind() == ExprKind::Name && peekWord(loc.getPointer()).second &&
        succeeded(p.parseOptionalEqual())) {
      Parsed value = sum();
      if (!value)
        return failure();
      arg = node(loc, ExprKind::Key, arg.expr.getText(), value.expr, value.height);
      if (!arg)
        return failure();
    }
    height = std::max(height, arg.height);
    args.push_back(arg.expr);
    return success();
  });
}

Parsed ExprParser::reportRemainder(const char *at) {
  reportAt(p, SMLoc::getFromPointer(at))
      << "expected 'mod' for a remainder, found '%'; the operators are + - * / mod";
  return {};
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
    if (list(AsmParser::Delimiter::OptionalLessGreater, args, height))
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
  StringRef name, behind = after;
  // `classes % 2`: a value's name begins with a letter, so it is meant as an operator.
  if (after != loc.getPointer() && *after == '%' && StringRef(" \t(0123456789").contains(after[1]) &&
      behind.drop_front(1).take_until([](char c) { return c == '\n'; }).find('=') == StringRef::npos)
    return reportRemainder(after);
  if (*after == '%' || *after == '@' || failed(p.parseOptionalKeyword(&name))) {
    if (StringRef line = lineThatEnded(p); !line.empty())
      return void(reportLineEnd(p, line)), Parsed();
    return reportAt(p, loc) << "expected a size, a number, a layer or a list", Parsed();
  }
  if (*p.getCurrentLocation().getPointer() != '(')
    return node(loc, ExprKind::Name, name, {}, 0);
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

ParseResult moe::parseExprList(AsmParser &parser, AsmParser::Delimiter delimiter,
                               SmallVectorImpl<Attribute> &args) {
  unsigned height = 0;
  return ExprParser(parser).list(delimiter, args, height);
}

ParamAttr moe::parseParam(AsmParser &p) {
  StringAttr symbol;
  StringRef name, kind = "layer";
  LocationAttr at = p.getEncodedSourceLoc(p.getCurrentLocation());
  if (succeeded(p.parseOptionalSymbolName(symbol))) {
    name = symbol.getValue();
  } else {
    kind = "size";
    SMLoc loc = p.getCurrentLocation();
    if (failed(p.parseOptionalKeyword(&name)))
      return reportAt(p, loc) << "expected the name of a parameter: 'size', 'rate: number' or '@layer'",
             ParamAttr();
    loc = p.getCurrentLocation();
    if (succeeded(p.parseOptionalColon()) && (failed(p.parseOptionalKeyword(&kind)) || kind != "number"))
      return reportAt(p, loc)
                 << "expected ': number'; a parameter without it is a size, and a layer is written '@" << name
                 << "'",
             ParamAttr();
  }
  Attribute fallback;
  if (succeeded(p.parseOptionalEqual()) && !(fallback = parseExpr(p)))
    return {};
  return ParamAttr::get(p.getContext(), kind, name, fallback, at);
}

InputAttr moe::parseInput(AsmParser &p) {
  SMLoc loc = p.getCurrentLocation();
  StringRef kind;
  SmallVector<Attribute> dims;
  bool named = succeeded(p.parseOptionalKeyword(&kind));
  if (named && parseExprList(p, AsmParser::Delimiter::OptionalSquare, dims))
    return {};
  size_t rank = kind == "image" ? 3 : kind == "vector" ? 1 : kind == "index" ? 0 : ~size_t(0);
  if (dims.size() != rank)
    return reportAt(p, loc) << "expected image[channels, height, width], vector[length] or index",
           InputAttr();
  return InputAttr::get(p.getContext(), kind, dims);
}

static int binding(ExprKind kind) { return kind < ExprKind::Add ? 3 : kind < ExprKind::Mod ? 1 : 2; }

static void printExprs(raw_ostream &os, StringRef open, ArrayRef<Attribute> args, StringRef close) {
  os << open;
  llvm::interleaveComma(args, os, [&](Attribute a) { printExpr(os, cast<ExprAttr>(a)); });
  os << close;
}

void moe::printExpr(raw_ostream &os, ExprAttr e) {
  // A quotient inside a product keeps its parentheses: (a / b) * c is exact, a / b * c reads otherwise.
  auto side = [&](ExprAttr operand, bool right) {
    int mine = binding(e.getKind()), its = binding(operand.getKind());
    bool wrap = its < mine || (its == mine && (right || (operand.getKind() != e.getKind() && mine == 2)));
    if (wrap)
      os << '(';
    printExpr(os, operand);
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
      printExprs(os, "<", e.getArgs().drop_front(), ">");
    return;
  case ExprKind::List:
    return printExprs(os, "[", e.getArgs(), "]");
  case ExprKind::Call:
    os << e.getText();
    return printExprs(os, "(", e.getArgs(), ")");
  case ExprKind::Key:
    os << e.getText() << " = ";
    return printExpr(os, e.arg(0));
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
  printExpr(os, *this);
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
void ExprAttr::print(AsmPrinter &p) const { printExpr(p.getStream(), *this); }

Attribute ParamAttr::parse(AsmParser &p, Type) { return parseParam(p); }
void ParamAttr::print(AsmPrinter &p) const {
  p << (getKind() == "layer" ? "@" : "") << getName() << (getKind() == "number" ? ": number" : "");
  if (getFallback()) {
    p << " = ";
    cast<ExprAttr>(getFallback()).print(p);
  }
}

Attribute InputAttr::parse(AsmParser &p, Type) { return parseInput(p); }
void InputAttr::print(AsmPrinter &p) const {
  p << getKind();
  if (!getDims().empty())
    printExprs(p.getStream(), "[", getDims(), "]");
}
