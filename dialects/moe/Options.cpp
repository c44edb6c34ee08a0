// Reads the list of an op's options and keywords in any order, and answers what is wrong with the right form at its place.
// Positions are looked at in the source text where one token is not enough to tell an option from the next op: line breaks
// mean nothing in MLIR.
#include "dialects/moe/Options.h"
#include "dialects/moe/Directives.h"
#include "dialects/moe/Elsewhere.h"
#include "dialects/moe/Nearest.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace moe;

Location moe::namedLocation(OpAsmParser &p, StringRef name, Location loc) {
  return name.empty() || llvm::isDigit(name[0]) ? loc : NameLoc::get(p.getBuilder().getStringAttr(name), loc);
}

StringRef moe::writtenOf(OpAsmParser &p) {
  const char *from = p.getNameLoc().getPointer();
  StringRef text(from, p.getCurrentLocation().getPointer() - from);
  text = text.take_until([](char c) { return c == '\n'; });
  return text.take_front(text.find("//")).rtrim();
}

/// Where the token before the current one is a value's name and the first of its line: the line before it.
static StringRef lineThatNameFollows(OpAsmParser &p) {
  StringRef own = lineUpTo(p, p.getCurrentLocation().getPointer()), name = own.trim();
  bool alone = name.consume_front("%") && !name.empty() &&
               llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || StringRef("_$.-").contains(c); });
  return alone ? lineBefore(p, own.begin()) : StringRef();
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

namespace {

/// One option or keyword of an op's list.
struct Item {
  enum Kind { option, flag, bare, word } kind = option;
  StringRef name, attribute, second;
  StringRef phrase = {}; // the words that an option begins with
  int value = -1;        // which of the op's values it takes
  bool needed = false;
};

SmallVector<Item> itemsOf(StringRef keys) {
  SmallVector<StringRef> texts;
  keys.split(texts, ", ", -1, false);
  SmallVector<Item> items;
  int values = 0;
  for (StringRef text : texts) {
    Item &item = items.emplace_back();
    item.needed = text.consume_back("!");
    if (text.consume_back("%"))
      item.value = values++;
    std::tie(text, item.phrase) = text.split('^');
    auto [name, attribute] = text.split(':');
    if (text.contains(':')) {
      item.kind = Item::word;
      std::tie(item.attribute, item.second) = attribute.split('+');
    } else if (name.consume_back("?")) {
      item.kind = Item::flag;
    } else if (name.consume_back("*")) {
      item.kind = Item::bare;
    }
    item.name = name;
    if (item.kind != Item::word)
      item.attribute = name;
  }
  return items;
}

class OptionsParser {
public:
  OptionsParser(OpAsmParser &p, ArrayRef<std::optional<Unresolved> *> values,
                SmallVectorImpl<Unresolved> &sized, OperationState &state, StringRef keys)
      : p(p), values(values), sized(sized), state(state), op(state.name.stripDialect()),
        items(itemsOf(keys)) {
    for (const Item &item : items)
      if (item.kind == Item::option || item.kind == Item::flag)
        known.push_back(item.name);
  }
  ParseResult run();

private:
  const Item *find(StringRef name) const {
    for (const Item &item : items)
      if (item.kind != Item::bare && item.name == name)
        return &item;
    return nullptr;
  }
  bool isGiven(const Item &item) const {
    return item.value >= 0 ? values[item.value]->has_value() : bool(state.attributes.get(item.attribute));
  }
  /// The item that stands behind the comma at the current place.
  std::pair<const Item *, bool> behindComma() const {
    auto [name, equal] = peekWord(StringRef(p.getCurrentLocation().getPointer() + 1).ltrim().data());
    return {find(name), equal};
  }
  ParseResult refuseComma(const Item &item, bool equal) const;
  InFlightDiagnostic refuseOrder(const Item &first, SMLoc loc) const;
  ParseResult option();
  ParseResult phrase(const Item &item, SMLoc at);
  ParseResult word(const Item &item);
  ParseResult verifyEnd();
  ParseResult end(bool afterOption);

  OpAsmParser &p;
  ArrayRef<std::optional<Unresolved> *> values;
  SmallVectorImpl<Unresolved> &sized;
  OperationState &state;
  StringRef op;
  SmallVector<Item> items;
  SmallVector<StringRef> known; // options and flags
};

} // namespace

/// A comma stands before a keyword, or between an op's values or keywords and its options.
ParseResult OptionsParser::refuseComma(const Item &item, bool equal) const {
  InFlightDiagnostic diag = reportAt(p, p.getCurrentLocation()) << "expected no ',' before ";
  if (item.kind == Item::word)
    diag << "'" << item.name << "'";
  else
    diag << "the options of '" << op << "'";
  return diag << ": write '" << writtenOf(p) << " " << item.name
              << (item.kind == Item::word ? " ..."
                  : equal                 ? " = ..."
                                          : "")
              << "'";
}

/// A word without a key stands before all options. The diagnostic ends in what was to be written, up to that word.
InFlightDiagnostic OptionsParser::refuseOrder(const Item &first, SMLoc loc) const {
  InFlightDiagnostic diag = reportAt(p, loc);
  diag << "expected the " << first.name << " of '" << op << "' before its options: write '" << op << " ...";
  return diag;
}

ParseResult OptionsParser::option() {
  offer(p, known);
  SMLoc loc = p.getCurrentLocation();
  StringRef key;
  if (failed(p.parseOptionalKeyword(&key)))
    return reportAt(p, loc) << "expected an option of '" << op << "': " << llvm::join(known, ", ");
  const Item *item = find(key);
  if (!item) {
    for (const Item &first : items)
      if (first.kind == Item::bare && llvm::is_contained(wordsOf(first.attribute).names, key))
        return refuseOrder(first, loc) << " " << key << ", ...'";
    std::string hint = optionElsewhere(op, key);
    InFlightDiagnostic diag = reportAt(p, loc) << "'" << op << "' has no option '" << key << "'"
                                               << (hint.empty() ? didYouMean(key, known) : "; " + hint);
    if (!known.empty())
      diag << "; it has: " << llvm::join(known, ", ");
    return diag;
  }
  if (item->kind == Item::word) {
    StringRef rest = StringRef(key.end()).take_until([](char c) { return c == '\n'; }).ltrim(" \t=");
    StringRef given =
        rest.take_while([](char c) { return llvm::isAlnum(c) || StringRef("_.@").contains(c); });
    return reportAt(p, loc) << "expected no '=' after '" << key << "': write '" << key << " "
                            << (given.empty() ? "..." : given) << "'";
  }
  if (isGiven(*item))
    return reportAt(p, loc) << "option '" << key << "' is given twice";
  bool flag = item->kind == Item::flag, takes = succeeded(p.parseOptionalEqual());
  if (flag == takes)
    return reportAt(p, loc) << "option '" << key << (flag ? "' takes no value" : "' needs a value");
  if (item->value >= 0)
    return p.parseOperand(values[item->value]->emplace());
  SMLoc at = p.getCurrentLocation();
  if (!item->phrase.empty())
    return phrase(*item, at);
  if (!flag && isSequence(at.getPointer()))
    return reportAt(p, at) << "option '" << key << "' takes one number, found a list";
  if (char quote = *at.getPointer(); !flag && (quote == '"' || quote == '\'')) {
    StringRef text =
        StringRef(at.getPointer() + 1).take_until([&](char c) { return c == quote || c == '\n'; });
    std::string hint = valueElsewhere(op, key, text);
    return reportAt(p, at) << "option '" << key << "' takes a number, found '" << StringRef(&quote, 1).str()
                           << text << StringRef(&quote, 1).str() << "'"
                           << (hint.empty() ? hint : "; " + hint);
  }
  if (flag)
    return state.addAttribute(key, p.getBuilder().getUnitAttr()), success();
  ExprAttr given;
  if (parseExpr(p, given, sized))
    return failure();
  state.addAttribute(key, given);
  return success();
}

/// `choose = rows by image`: all words but the last are always the same.
ParseResult OptionsParser::phrase(const Item &item, SMLoc at) {
  SmallVector<StringRef> words;
  item.phrase.split(words, ' ');
  StringRef last;
  for (StringRef word : words)
    if (failed(p.parseOptionalKeyword(word)))
      return reportAt(p, at) << "option '" << item.name << "' takes '" << item.phrase << " ...'";
  if (failed(p.parseOptionalKeyword(&last)))
    return reportAt(p, at) << "option '" << item.name << "' takes '" << item.phrase
                           << " ...', found no word behind it";
  state.addAttribute(item.attribute, p.getBuilder().getStringAttr(last));
  return success();
}

/// One of the attribute's words is no name of a size, whatever sizes are called.
static void tellWord(AsmParser &p, StringRef attribute, ExprAttr e, SMLoc at) {
  if (isWord(attribute, e, /*whole=*/true))
    tellName(p, Listener::Name::word, StringRef(at.getPointer(), e.getText().size()));
}

ParseResult OptionsParser::word(const Item &item) {
  SMLoc loc = p.getCurrentLocation();
  if (isGiven(item))
    return reportAt(p, loc) << "'" << item.name << "' is given twice";
  if (p.parseKeyword(item.name))
    return failure();
  if (item.value >= 0)
    return p.parseOperand(values[item.value]->emplace());
  ExprAttr first, second;
  SMLoc firstAt = p.getCurrentLocation();
  offerWordsOf(p, item.attribute);
  if (item.attribute == "axes" ? parseAxes(p, first) : parseExpr(p, first, sized))
    return failure();
  tellWord(p, item.attribute, first, firstAt);
  state.addAttribute(item.attribute, first);
  if (item.second.empty() || *p.getCurrentLocation().getPointer() != ',')
    return success();
  if (auto [next, equal] = behindComma(); next)
    return refuseComma(*next, equal);
  if (p.parseComma())
    return failure();
  SMLoc secondAt = p.getCurrentLocation();
  offerWordsOf(p, item.second);
  if (parseExpr(p, second, sized))
    return failure();
  tellWord(p, item.second, second, secondAt);
  state.addAttribute(item.second, second);
  return success();
}

ParseResult OptionsParser::run() {
  state.location = namedLocation(p, p.getResultName(0).first, state.location);
  bool afterOption = false;
  for (const Item &item : items)
    if (item.kind == Item::bare) {
      if (SMLoc loc = p.getCurrentLocation(); find(peekWord(loc.getPointer()).first))
        return refuseOrder(item, loc)
               << " " << llvm::join(wordsOf(item.attribute).names, "', or '" + op.str() + " ... ") << "'";
      StringAttr text;
      offerWordsOf(p, item.attribute);
      if (parseWord(p, text))
        return failure();
      state.addAttribute(item.attribute, text);
      afterOption = true;
    }
  while (true) {
    SMLoc loc = p.getCurrentLocation();
    if (afterOption && *loc.getPointer() == ',') {
      if (auto [next, equal] = behindComma(); next && next->kind == Item::word && !equal)
        return refuseComma(*next, equal);
      if (p.parseComma() || option())
        return failure();
      continue;
    }
    auto [name, equal] = peekWord(loc.getPointer());
    const Item *item = find(name);
    if (item && item->kind == Item::word && !equal) {
      if (word(*item))
        return failure();
      afterOption = false;
      continue;
    }
    // An unknown word before '=' on a line of its own is more likely a value's name without its '%'.
    bool begins =
        (equal && !name.empty() && (item || lineThatEnded(p).empty())) || (item && item->kind == Item::flag);
    if (!begins || afterOption)
      return end(afterOption);
    if (option())
      return failure();
    afterOption = true;
  }
}

/// An op with options ends with them, or goes on with a word: neither '=' nor ',' can follow.
ParseResult OptionsParser::verifyEnd() {
  SMLoc loc = p.getCurrentLocation();
  char next = *loc.getPointer();
  if (next != '=' && next != ',')
    return success();
  StringRef text = writtenOf(p);
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
  if (const Item *item = next == ',' ? find(word) : nullptr)
    return refuseComma(*item, equal);
  InFlightDiagnostic diag = reportAt(p, loc) << "expected the end of '" << op << "' after '" << text
                                             << "', found '" << StringRef(&next, 1).str() << "'";
  if (std::string hint = optionElsewhere(op, word); next == ',' && equal && !hint.empty())
    diag << "; " << hint;
  else if (next == ',' && !known.empty())
    diag << "; the options of '" << op << "' are: " << llvm::join(known, ", ");
  if (next == '=' && known.empty())
    diag << "; '" << op << "' has no options, so write the value alone";
  else if (next == '=')
    diag << "; the options of '" << op << "' are: " << llvm::join(known, ", ");
  if (p.getResultName(0).first.empty())
    diag << "; and name its value: '%name = " << op << " ...'";
  return diag;
}

ParseResult OptionsParser::end(bool afterOption) {
  SMLoc loc = p.getCurrentLocation();
  auto [next, equal] = peekWord(loc.getPointer());
  const char *rest = next.end();
  while (*rest == ' ' || *rest == '\t')
    ++rest;
  const Item *item = find(next);
  if (item && *rest == ':')
    return reportAt(p, SMLoc::getFromPointer(rest))
           << "expected '=' after option '" << next << "', found ':'";
  if (item && afterOption)
    return reportAt(p, loc) << "expected ',' before option '" << next << "'";
  if (item && item->kind == Item::option && lineThatEnded(p).empty())
    return reportAt(p, loc) << "option '" << next << "' needs a value: write '" << next << " = ...'";
  // An editor that asks what may stand here is told; none of these is the word at the place.
  SmallVector<StringRef> open;
  for (const Item &each : items)
    if (each.kind != Item::bare && !isGiven(each))
      open.push_back(each.name);
  StringRef none;
  if (!item)
    (void)p.parseOptionalKeyword(&none, open);
  if (failed(verifyEnd()))
    return failure();
  for (const Item &each : items)
    if (each.needed && each.kind == Item::option && !isGiven(each))
      return reportAt(p, behind(writtenOf(p)))
             << "'" << op << "' needs option '" << each.name << "': write '" << writtenOf(p)
             << (afterOption ? ", " : " ") << each.name << " = ...'";
  for (const Item &each : items)
    if (each.needed && each.kind == Item::word && !isGiven(each))
      return reportAt(p, behind(writtenOf(p)))
             << "expected '" << each.name << "': write '" << writtenOf(p) << " " << each.name << " ...'";
  return success();
}

ParseResult moe::parseOptionList(OpAsmParser &p, ArrayRef<std::optional<Unresolved> *> values,
                                 SmallVectorImpl<Unresolved> &sized, OperationState &state, StringRef keys) {
  return OptionsParser(p, values, sized, state, keys).run();
}

void moe::printOptionList(OpAsmPrinter &p, Operation *op, ArrayRef<Value> values, OperandRange sized,
                          StringRef keys) {
  bool comma = false;
  SmallVector<Item> items = itemsOf(keys);
  for (const Item &item : items) {
    Value value = item.value >= 0 ? values[item.value] : Value();
    Attribute given = item.value >= 0 ? Attribute() : op->getAttr(item.attribute);
    if (item.kind == Item::word || !(value || given))
      continue;
    p << (comma ? ", " : " ");
    comma = true;
    if (item.kind == Item::bare)
      p << cast<StringAttr>(given).getValue();
    else
      p << item.name;
    if (value)
      p << " = " << value;
    else if (!item.phrase.empty())
      p << " = " << item.phrase << ' ' << cast<StringAttr>(given).getValue();
    else if (auto expr = dyn_cast<ExprAttr>(given)) {
      p << " = ";
      printExpr(p, op, expr, sized);
    }
  }
  for (const Item &item : items) {
    Value value = item.value >= 0 ? values[item.value] : Value();
    if (item.kind != Item::word || !(value || (item.value < 0 && op->hasAttr(item.attribute))))
      continue;
    p << ' ' << item.name << ' ';
    if (value) {
      p << value;
      continue;
    }
    printExpr(p, op, op->getAttrOfType<ExprAttr>(item.attribute), sized);
    if (auto second = item.second.empty() ? ExprAttr() : op->getAttrOfType<ExprAttr>(item.second)) {
      p << ", ";
      printExpr(p, op, second, sized);
    }
  }
}
