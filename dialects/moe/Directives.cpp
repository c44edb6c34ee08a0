// The custom directives of the formats. Positions are looked at in the source text where one token is not
// enough to tell an option from the next op: line breaks mean nothing in MLIR.
#include "dialects/moe/Directives.h"
#include "dialects/moe/Elsewhere.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moe;

/// The author's %name, as the location of what it names.
static Location named(OpAsmParser &p, StringRef name, Location loc) {
  return name.empty() || llvm::isDigit(name[0]) ? loc : NameLoc::get(p.getBuilder().getStringAttr(name), loc);
}

/// What the author has written of the op that is being parsed, on its first line: `linear @fc(%x)`.
static StringRef written(OpAsmParser &p) {
  const char *from = p.getNameLoc().getPointer();
  StringRef text(from, p.getCurrentLocation().getPointer() - from);
  text = text.take_until([](char c) { return c == '\n'; });
  return text.take_front(text.find("//")).rtrim();
}

static SMLoc behind(StringRef text) { return SMLoc::getFromPointer(text.end()); }

/// Where the token before the current one is a value's name and the first of its line: the line before it.
static StringRef lineThatNameFollows(OpAsmParser &p) {
  StringRef own = lineUpTo(p, p.getCurrentLocation().getPointer()), name = own.trim();
  bool alone = name.consume_front("%") && !name.empty() &&
               llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || StringRef("_$.-").contains(c); });
  return alone ? lineBefore(p, own.begin()) : StringRef();
}

/// An op with options ends with them, or goes on with a word: neither '=' nor ',' can follow.
static ParseResult verifyOptionsEnd(OpAsmParser &p, StringRef op, ArrayRef<StringRef> known) {
  SMLoc loc = p.getCurrentLocation();
  char next = *loc.getPointer();
  if (next != '=' && next != ',')
    return success();
  StringRef text = written(p);
  // `add %a,` and on the next line `%b = ...`: its name was read as the value that is missing.
  if (next == '=')
    if (StringRef line = lineThatNameFollows(p); !line.empty())
      return reportAt(p, behind(line))
             << "expected a value after '" << opOfLine(line) << "', found the end of the line";
  // `dropout %x, p = 0.1`: the option's name was read as the value.
  StringRef option = text.take_back(text.size() - 1 - text.find_last_of(" ,"));
  if (next == '=' && known.empty() && !option.empty() && peekWord(option.data()).first == option) {
    InFlightDiagnostic diag = reportAt(p, SMLoc::getFromPointer(option.data()))
                              << "'" << op << "' has no option '" << option << "'";
    std::string hint = optionElsewhere(op, option);
    diag << "; " << (hint.empty() ? "it has none, so write the value alone" : hint);
    if (p.getResultName(0).first.empty())
      diag << "; and name its value: '%name = " << op << " ...'";
    return diag;
  }
  auto [word, equal] = peekWord(StringRef(loc.getPointer() + 1).ltrim().data());
  if (next == ',' && llvm::is_contained(known, word))
    return reportAt(p, loc) << "expected no ',' before the options of '" << op << "': write '" << text << " "
                            << word << (equal ? " = ..." : "") << "'";
  InFlightDiagnostic diag = reportAt(p, loc) << "expected the end of '" << op << "' after '" << text
                                             << "', found '" << StringRef(&next, 1).str() << "'";
  if (std::string hint = optionElsewhere(op, word); next == ',' && equal && !hint.empty())
    diag << "; " << hint;
  if (next == '=' && known.empty())
    diag << "; '" << op << "' has no options, so write the value alone";
  else if (next == '=')
    diag << "; the options of '" << op << "' are: " << llvm::join(known, ", ");
  if (p.getResultName(0).first.empty())
    diag << "; and name its value: '%name = " << op << " ...'";
  return diag;
}

/// Whether several values stand at the place, as in `[2, 2]` or `(2, 2)`; in parentheses there may be
/// arithmetic.
static bool isSequence(const char *at) {
  if (*at == '[')
    return true;
  unsigned depth = 0;
  for (; *at && *at != '\n'; ++at) {
    depth += *at == '(';
    depth -= *at == ')';
    if (depth == 0)
      return false;
    if (*at == ',' && depth == 1)
      return true;
  }
  return false;
}

static ParseResult options(OpAsmParser &p, OperationState &state, StringRef keys, bool comma,
                           std::optional<Unresolved> *operand) {
  state.location = named(p, p.getResultName(0).first, state.location);
  SmallVector<StringRef> known, flags, needed;
  keys.split(known, ", ", -1, false);
  if (operand)
    known.push_back("keys");
  for (StringRef &key : known)
    if (key.consume_back("?"))
      flags.push_back(key);
    else if (key.consume_back("!"))
      needed.push_back(key);
  StringRef op = state.name.stripDialect();
  auto end = [&](bool any) -> ParseResult {
    SMLoc loc = p.getCurrentLocation();
    auto [next, given] = peekWord(loc.getPointer());
    StringRef rest = StringRef(next.end()).ltrim(" \t");
    if (llvm::is_contained(known, next) && rest.starts_with(":"))
      return reportAt(p, SMLoc::getFromPointer(rest.data()))
             << "expected '=' after option '" << next << "', found ':'";
    if (llvm::is_contained(flags, next) || ((any || given) && llvm::is_contained(known, next)))
      return reportAt(p, loc) << "expected ',' before option '" << next << "'";
    if (failed(verifyOptionsEnd(p, op, known)))
      return failure();
    for (StringRef key : needed)
      if (!state.attributes.get(key))
        return reportAt(p, behind(written(p))) << "'" << op << "' needs option '" << key << "': write '"
                                               << written(p) << (any ? ", " : " ") << key << " = ...'";
    return success();
  };
  auto [word, equal] = peekWord(p.getCurrentLocation().getPointer());
  bool begins =
      comma ? succeeded(p.parseOptionalComma()) : (equal && !word.empty()) || llvm::is_contained(flags, word);
  if (!begins)
    return end(false);
  do {
    SMLoc loc = p.getCurrentLocation();
    StringRef key;
    if (failed(p.parseOptionalKeyword(&key)))
      return reportAt(p, loc) << "expected an option of '" << op << "': " << llvm::join(known, ", ");
    if (!llvm::is_contained(known, key)) {
      std::string hint = optionElsewhere(op, key);
      InFlightDiagnostic diag = reportAt(p, loc) << "'" << op << "' has no option '" << key << "'"
                                                 << (hint.empty() ? didYouMean(key, known) : "; " + hint);
      if (!known.empty())
        diag << "; it has: " << llvm::join(known, ", ");
      return diag;
    }
    if (state.attributes.get(key) || (operand && key == "keys" && *operand))
      return reportAt(p, loc) << "option '" << key << "' is given twice";
    bool flag = llvm::is_contained(flags, key), value = succeeded(p.parseOptionalEqual());
    if (flag == value)
      return reportAt(p, loc) << "option '" << key << (flag ? "' takes no value" : "' needs a value");
    if (operand && key == "keys") {
      if (p.parseOperand(operand->emplace()))
        return failure();
      continue;
    }
    SMLoc at = p.getCurrentLocation();
    if (!flag && isSequence(at.getPointer()))
      return reportAt(p, at) << "option '" << key << "' takes one number, found a list";
    if (char quote = *at.getPointer(); !flag && (quote == '"' || quote == '\'')) {
      StringRef value =
          StringRef(at.getPointer() + 1).take_until([&](char c) { return c == quote || c == '\n'; });
      std::string hint = valueElsewhere(op, key, value);
      return reportAt(p, at) << "option '" << key << "' takes a number, found '" << StringRef(&quote, 1).str()
                             << value << StringRef(&quote, 1).str() << "'"
                             << (hint.empty() ? hint : "; " + hint);
    }
    Attribute given = flag ? Attribute(p.getBuilder().getUnitAttr()) : parseExpr(p);
    if (!given)
      return failure();
    state.addAttribute(key, given);
  } while (succeeded(p.parseOptionalComma()));
  return end(true);
}

ParseResult moe::parseOptions(OpAsmParser &p, OperationState &state, StringRef keys) {
  return options(p, state, keys, false, nullptr);
}

ParseResult moe::parseKeysOptions(OpAsmParser &p, std::optional<Unresolved> &keys, OperationState &state,
                                  StringRef names) {
  return options(p, state, names, true, &keys);
}

void moe::printOptionList(OpAsmPrinter &p, Operation *op, StringRef keys, bool comma) {
  SmallVector<StringRef> known;
  keys.split(known, ", ", -1, false);
  for (StringRef key : known)
    if (Attribute value = op->getAttr(key.rtrim("?!"))) {
      p << (comma ? ", " : " ") << key.rtrim("?!");
      comma = true;
      if (auto expr = dyn_cast<ExprAttr>(value)) {
        p << " = ";
        expr.print(p);
      }
    }
}

ParseResult moe::parseClause(OpAsmParser &p, StringRef word) {
  if (succeeded(p.parseOptionalKeyword(word)))
    return success();
  StringRef text = written(p);
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
  // The next op is no word, though line breaks mean nothing: a word is not followed by `%` or `@`.
  const char *at = p.getCurrentLocation().getPointer();
  char after = *StringRef(at + peekWord(at).first.size()).ltrim(' ').data();
  bool other = after == '%' || after == '@';
  if (StringRef line = other ? lineThatEnded(p) : lineCutShort(p); !line.empty())
    return reportAt(p, behind(line)) << "expected a word after '" << opOfLine(line)
                                     << "', found the end of the line";
  if (other || failed(p.parseOptionalKeyword(&text)))
    return reportAt(p, behind(written(p))) << "expected a word after '" << written(p) << "'";
  word = p.getBuilder().getStringAttr(text);
  return success();
}

OptionalParseResult moe::parseOptionalWord(OpAsmParser &p, StringAttr &word) {
  StringRef text, line = lineCutShort(p);
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

ParseResult moe::parseExprs(OpAsmParser &p, ArrayAttr &list) {
  SmallVector<Attribute> args;
  SMLoc loc = p.getCurrentLocation();
  if (parseExprList(p, AsmParser::Delimiter::None, args))
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

void moe::printAxes(OpAsmPrinter &p, Operation *, ExprAttr axes) { axes.print(p); }

void moe::printExprs(OpAsmPrinter &p, Operation *, ArrayAttr list) {
  llvm::interleaveComma(list, p, [&](Attribute a) { cast<ExprAttr>(a).print(p); });
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

static ParseResult signature(OpAsmParser &p, SmallVectorImpl<Attribute> *inputs, Region &body) {
  SmallVector<OpAsmParser::Argument> args;
  auto one = [&]() -> ParseResult {
    OpAsmParser::Argument &arg = args.emplace_back();
    if (p.parseArgument(arg))
      return failure();
    arg.type = ValueType::get(p.getContext());
    arg.sourceLoc = named(p, arg.ssaName.name.drop_front(), p.getEncodedSourceLoc(arg.ssaName.location));
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
  if (OptionalParseResult found = p.parseOptionalRegion(body, args); found.has_value()) {
    if (succeeded(*found) && body.empty())
      body.emplaceBlock();
    return *found;
  }
  Block &block = body.emplaceBlock();
  for (auto &arg : args)
    block.addArgument(arg.type, *arg.sourceLoc);
  return success();
}

ParseResult moe::parseBody(OpAsmParser &p, Region &body) { return signature(p, nullptr, body); }

ParseResult moe::parseSignature(OpAsmParser &p, ArrayAttr &inputs, Region &body) {
  SmallVector<Attribute> list;
  if (signature(p, &list, body))
    return failure();
  inputs = p.getBuilder().getArrayAttr(list);
  return success();
}

void moe::printSignature(OpAsmPrinter &p, Operation *, ArrayAttr inputs, Region &body) {
  p << '(';
  llvm::interleaveComma(body.getArguments(), p, [&](BlockArgument arg) {
    p << arg;
    if (inputs) {
      p << ": ";
      cast<InputAttr>(inputs[arg.getArgNumber()]).print(p);
    }
  });
  p << ')';
  if (body.front().empty())
    return;
  p << ' ';
  p.printRegion(body, /*printEntryBlockArgs=*/false);
}

void moe::printBody(OpAsmPrinter &p, Operation *op, Region &body) {
  printSignature(p, op, ArrayAttr(), body);
}
