// Each rule knows one report of MLIR's parser by its wording and looks at the text around its place: what was
// written of the op, what was found there, which values the body has by then. Where the parser stopped at the
// next line's first token, the report belongs to the line before.
#include "passes/language/AuthorErrors.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Nearest.h"
#include "mlir/IR/OperationSupport.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ConvertUTF.h"

using namespace mlir;
using namespace moe;

namespace {

/// What stands outside of a body, and is written with the dialect's name.
constexpr StringRef topOps[] = {"model", "layer", "objective"};

bool inName(char c) { return llvm::isAlnum(c) || StringRef("_$.-").contains(c); }

/// The first character of a text, which may have several bytes.
StringRef characterOf(StringRef text) {
  return text.empty() ? text : text.take_front(llvm::getNumBytesForUTF8(llvm::UTF8(text.front())));
}

/// How many unknown values are compared with those there are: a text of more is no author's, and the work grows as its square.
constexpr size_t maxCompared = 200;

/// How many lines of an author's statement there are at most.
constexpr unsigned maxLines = 100;

/// One report and the text that it is about.
class Report {
public:
  /// `compared` counts the unknown values before, and this.
  Report(StringRef message, StringRef text, size_t at, ArrayRef<StringRef> ops, MLIRContext *context,
         size_t &compared)
      : message(message), text(text), at(at), ops(ops), context(context), compared(compared) {}
  /// The report for authors, or nothing where MLIR's own is to stay.
  std::string words(ArrayRef<Diagnostic *> notes);
  /// The op in a model or layer that is registered but no op of the language, as it is written, where the report
  /// is of it: of its line, or of the type that its value has. What the parser expects of such an op does not
  /// concern authors.
  StringRef foreignOp() const;

private:
  StringRef foreignOpOf(StringRef line) const;
  StringRef lineSoFar() const { return text.slice(text.rfind('\n', at) + 1, at).rtrim(); }
  StringRef written() const { return opOfLine(lineSoFar()); }
  StringRef opName() const;
  StringRef token() const;
  std::string found() const;
  bool inHeader() const { return written().starts_with("moe."); }
  SmallVector<StringRef> values() const;
  std::string unknownValue() const;
  std::string punctuation(char wanted) const;
  std::string operand() const;
  std::string noOp() const;
  std::string outside(StringRef word) const;
  std::string unexpected(StringRef odd) const;

  StringRef message, text;
  size_t at;
  ArrayRef<StringRef> ops;
  MLIRContext *context;
  size_t &compared;
};

} // namespace

/// What stands at the place or behind blanks, on the same line: a name with its mark, or a character.
StringRef Report::token() const {
  StringRef rest = text.drop_front(at).ltrim(" \t");
  if (rest.empty() || rest.front() == '\n' || rest.front() == '\r' || rest.starts_with("//"))
    return {};
  size_t end = StringRef("%@#!^").contains(rest.front()) ? 1 : 0;
  while (end < rest.size() && inName(rest[end]))
    ++end;
  return rest.take_front(std::max(end, rest.starts_with("/*") ? 2 : characterOf(rest).size()));
}

std::string Report::found() const {
  return token().empty() ? "found the end of the line" : ("found '" + token() + "'").str();
}

/// The op around the place, by its name, also on a further line of it; empty where none is found.
StringRef Report::opName() const {
  size_t end = at;
  for (unsigned lines = 0; lines < maxLines; ++lines) {
    const size_t begin = text.take_front(end).rfind('\n') + 1; // npos + 1 is 0
    const StringRef line = text.slice(begin, std::max(begin, end)).trim(),
                    name = opOfLine(line).take_while(inName);
    if (opOfLine(line) != line || name.starts_with("moe.") || llvm::is_contained(ops, name))
      return name;
    if (begin == 0)
      break;
    end = begin - 1;
  }
  return {};
}

/// The values that the layer or model around the place has made before it.
SmallVector<StringRef> Report::values() const {
  size_t begin = text.take_front(at).rfind("\nmoe.");
  begin = begin == StringRef::npos ? 0 : begin + 1;
  // The names on the place's own line are made by its op.
  StringRef body = text.slice(begin, inHeader() ? at : std::max(begin, text.rfind('\n', at) + 1));
  SmallVector<StringRef> names;
  bool header = true;
  while (!body.empty()) {
    auto [line, rest] = body.split('\n');
    body = rest;
    StringRef code = line.take_front(line.find("//")).trim();
    bool makes = code.starts_with("%") && code.contains('=');
    StringRef part = header ? code : makes ? code.take_front(code.find('=')) : StringRef();
    header &= !code.contains('{');
    for (size_t from = part.find('%'); from != StringRef::npos; from = part.find('%', from + 1)) {
      StringRef name = part.slice(from, from + 1 + part.drop_front(from + 1).take_while(inName).size());
      if (!llvm::is_contained(names, name))
        names.push_back(name);
    }
  }
  return names;
}

StringRef Report::foreignOpOf(StringRef line) const {
  StringRef name = opOfLine(line);
  name.consume_front("\"");
  name = name.take_while([](char c) { return inName(c) && c != '-'; });
  auto op = RegisteredOperationName::lookup(name, context);
  if (!op || op->hasInterface<ExpandInterface>() || op->getDialectNamespace() == "moe" ||
      op->getDialectNamespace() == "builtin")
    return {};
  return name;
}

StringRef Report::foreignOp() const {
  // The language's own ops at the top of a text are the only ones that begin a line so.
  const StringRef before = text.take_front(at);
  if (!before.starts_with("moe.") && !before.contains("\nmoe."))
    return {};
  if (StringRef op = foreignOpOf(lineSoFar()); !op.empty() || !message.starts_with("use of value '"))
    return op;
  const StringRef value = message.split('\'').second.split('\'').first;
  const size_t made = before.rfind((value + " = ").str());
  return made == StringRef::npos ? StringRef() : foreignOpOf(before.drop_front(made).split('\n').first);
}

std::string Report::unknownValue() const {
  if (++compared > maxCompared)
    return ("unknown value '" + token() + "'").str();
  SmallVector<StringRef> known = values();
  llvm::erase(known, token()); // the statement that makes it has an error of its own
  std::string words = ("unknown value '" + token() + "'").str() + didYouMean(token(), known);
  if (!known.empty() && known.size() <= 12)
    words += "; there are: " + llvm::join(known, ", ");
  return words;
}

std::string Report::punctuation(char wanted) const {
  StringRef next = token(), op = opName();
  StringRef further = text.drop_front(at).ltrim();
  // What stands on the list's next line is one more of its items.
  const bool item =
      wanted == ']' && next.empty() && (further.starts_with("@") || further.take_while(llvm::isDigit).size());
  if (item)
    return "expected ',' or ']' after '" + written().str() + "', " + found();
  std::string words =
      ("expected '" + Twine(std::string(1, wanted)) + "' after '" + written() + "', " + found()).str();
  StringRef after = text.drop_front(at).ltrim(" \t").drop_front(next.size()).ltrim(" \t");
  if (wanted == '(' && next.starts_with("%"))
    return words + ("; write '" + written() + "(" + next + ")'").str();
  if (wanted == ')' && next == ":" && inHeader())
    return words + "; a layer's values have no types";
  if (wanted == ')' && next == "," && !inHeader())
    return words + (peekWord(after.data()).second ? std::string("; options stand behind the parentheses")
                                                  : ("; '" + op + "' takes one value").str());
  if (wanted == ']' && next.starts_with("@"))
    return words + "; a count and its layer are joined by '*'";
  if (wanted == ']' && next == "<")
    return words + "; a layer is written '@Name'";
  return words + (inHeader() || op.empty() || op.starts_with("moe.")
                      ? ""
                      : ("; docs/ops.md shows how '" + op + "' is written").str());
}

/// A value's name was wanted.
std::string Report::operand() const {
  StringRef next = token(), op = written().take_while(inName);
  StringRef after = text.drop_front(at).ltrim(" \t").drop_front(next.size()).ltrim(" \t");
  if (inHeader() && !next.starts_with("%"))
    return "expected a value such as '%" + (llvm::isAlpha(next.empty() ? ' ' : next[0]) ? next.str() : "x") +
           "', " + found() +
           (after.starts_with("=") ? "; sizes stand in '<...>' before the values"
                                   : "; a value's name begins with '%'");
  if (next == "(") {
    StringRef inside = after.take_until([](char c) { return c == ')' || c == '\n'; });
    SmallVector<StringRef> parts;
    inside.split(parts, ',');
    bool names = llvm::all_of(parts, [](StringRef part) {
      part = part.trim();
      return part.consume_front("%") && llvm::all_of(part, inName);
    });
    return ("'" + op + "' takes its values without parentheses: write '" + written() + " " +
            (names ? inside : StringRef("%x ...")) + "'")
        .str();
  }
  std::string words = ("expected a value after '" + written() + "', " + found()).str();
  if (llvm::is_contained(values(), ("%" + next).str()))
    return words + ("; write '%" + next + "'").str();
  if (llvm::is_contained(ops, next))
    return words +
           ("; ops do not nest: make the value before, '%a = " + next + " ...', and write '%a'").str();
  if (!next.empty() && (llvm::isDigit(next.front()) || next == "-"))
    return words + "; a number may stand beside a value in add, sub, mul, div and where";
  return words + (next.empty() ? "" : "; a value's name begins with '%'");
}

/// An op was wanted, or the end of one.
std::string Report::noOp() const {
  StringRef line = lineSoFar().ltrim(), next = token();
  if (line.empty() || line == "}" || line.ends_with("{"))
    // Between ops the parser reports at the end of what it read last.
    return (text.drop_front(at).ltrim().starts_with("}") ? "expected an op, found '}', which closes nothing"
                                                         : "expected an op, " + found());
  if (line.ends_with("="))
    return ("expected an op after '" + line + "', ").str() + found() +
           (next.empty() ? "" : "; a value is what an op makes: '%y = add %a, %b'");
  if (inHeader())
    return ("expected '{' after '" + line + "', ").str() + found();
  return ("expected the end of the op after '" + written() + "', ").str() + found() +
         (next == ":"    ? "; values have no types"
          : next == "/*" ? "; a comment begins with '//'"
                         : "");
}

/// An op of no dialect: at the top of a file only layers and models stand.
std::string Report::outside(StringRef word) const {
  if (llvm::is_contained(topOps, word))
    return ("expected 'moe." + word + "', found '" + word + "'").str();
  if (llvm::is_contained(ops, word))
    return ("expected op '" + word +
            "' inside of a layer or model; a '{' is missing before it, or its body " + "has ended")
        .str();
  return ("expected 'moe.layer @Name(%x) { ... }' or 'moe.model', found '" + word + "'").str();
}

/// A character that begins nothing here.
std::string Report::unexpected(StringRef odd) const {
  StringRef before = written();
  if (odd == "\"" && before.contains('"') && !before.ends_with("\""))
    return ("expected a '\"' that closes '" + before.drop_front(before.rfind('"')) +
            "', found the end of the line")
        .str();
  while (before.consume_back(odd))
    ;
  return before.empty() ? ("expected an op, found '" + odd + "'").str()
                        : ("expected no '" + odd + "' after '" + before.rtrim() + "'").str() +
                              (odd == "^" && text.substr(at + 1).starts_with(" ")
                                   ? "; there is no power, the operators are + - * / mod"
                                   : "");
}

/// The text between the first `open` and the `close` behind it.
static StringRef between(StringRef message, StringRef open, StringRef close) {
  return message.split(open).second.split(close).first;
}

std::string Report::words(ArrayRef<Diagnostic *> notes) {
  StringRef line = lineSoFar();
  if (message == "use of undeclared SSA value name")
    return unknownValue();
  if (message.starts_with("operand #") && message.ends_with("does not dominate this use")) {
    auto name = notes.empty() ? NameLoc() : dyn_cast<NameLoc>(notes.front()->getLocation());
    return ("expected a value that is made before this op, found '%" +
            (name ? name.getName().getValue() : StringRef("...")) + "', which is made behind it")
        .str();
  }
  if (message == "expected SSA operand")
    return operand();
  if (message.size() == 12 && message.starts_with("expected '") && message.back() == '\'')
    return punctuation(message[10]);
  if (message == "expected operation name in quotes")
    return noOp();
  if (message.starts_with("custom op '") && message.contains("is unknown (tried '"))
    return outside(between(message, "custom op '", "'"));
  if (message.starts_with("custom op '") &&
      message.ends_with("expected valid '@'-identifier for symbol name"))
    return ("expected a name such as '@" +
            (token().empty() || !inName(token()[0]) ? StringRef("name") : token()) + "' after '" + written() +
            "', ")
               .str() +
           found();
  if (message.starts_with("Dialect `")) {
    StringRef name = between(message, "custom op '", "'"), last = name.rsplit('.').second;
    return ("unknown op '" + name + "'").str() + didYouMeanOp(last, context) +
           (llvm::is_contained(topOps, last) ? ("; write 'moe." + last + "'").str()
            : llvm::is_contained(ops, last)
                ? ("; write '" + last + "'").str()
                : "; docs/ops.md lists all there are, and --load adds a plugin's");
  }
  // Of a dialect that a plugin has.
  if (message.starts_with("custom op '") && message.ends_with("' is unknown")) {
    StringRef name = between(message, "custom op '", "'");
    std::string near = didYouMeanOp(name, context), words = ("unknown op '" + name + "'").str() + near;
    if (!near.empty())
      return words;
    SmallVector<StringRef> has;
    for (RegisteredOperationName op : context->getRegisteredOperations())
      if (op.hasInterface<ExpandInterface>() && op.getDialectNamespace() == name.split('.').first)
        has.push_back(op.getStringRef());
    llvm::sort(has);
    return words + (has.empty() ? "" : "; there are: " + llvm::join(has, ", "));
  }
  if (message == "unexpected character" && token() == ";")
    return ("expected the end of the op after '" + written() + "', found ';'; nothing stands at an op's end")
        .str();
  // A value's name follows no number and no closed bracket: what stands there is meant as an operator.
  StringRef last = line.drop_front(line.find_last_not_of("0123456789.") + 1);
  StringRef beforeLast = line.drop_back(last.size());
  if (message == "invalid SSA name" &&
      (line.ends_with(")") || (!last.empty() && (beforeLast.empty() || !inName(beforeLast.back())))))
    return "expected 'mod' for a remainder, found '%'; the operators are + - * / mod";
  if (message == "invalid SSA name")
    return "expected a value's name such as '%x', found '%' alone";
  if (message.starts_with("@ identifier expected"))
    return "expected a name that begins with a letter after '@', " + found() +
           (!token().empty() && llvm::all_of(token(), inName)
                ? ("; any other stands in quotes: '@\"" + token() + "\"'").str()
                : "");
  // What MLIR's lexer says of a character that begins no token of the language.
  StringRef odd = message == "unexpected character"      ? characterOf(text.drop_front(at))
                  : message == "invalid type identifier" ? "!"
                  : message == "expected three consecutive dots for an ellipsis" ? "."
                  : message == "expected '\"' in string literal"                 ? "\""
                  : message == "invalid block name"                              ? "^"
                  : message == "invalid SSA value result number"                 ? "#"
                                                                                 : "";
  if (!odd.empty())
    return unexpected(odd);
  if (message.starts_with("invalid block name in "))
    return unexpected(token());
  if (message == "reference to invalid result number") {
    StringRef number =
        text.drop_front(at + token().size()).take_while([](char c) { return inName(c) || c == '#'; });
    return ("expected the name of a value, found '" + token() + number + "'").str();
  }
  if (message.ends_with("symbol's parent must have the SymbolTable trait"))
    return ("expected '" + between(message, "'", "'") +
            "' outside of layers and models; a '}' is missing before it, or is too late")
        .str();
  if (message.starts_with("expected '") && message.drop_front(11).starts_with("' or '"))
    return (message + " after '" + written() + "', ").str() + found();
  if (message == "cannot name an operation with no results") {
    StringRef names = text.drop_front(at).take_until([](char c) { return c == '=' || c == '\n'; }).rtrim();
    StringRef op = text.drop_front(at + names.size()).ltrim(" =").take_while(inName);
    return ("expected no name for '" + op + "', which makes no value, found '" + names + " ='").str();
  }
  if (message.starts_with("operation defines ")) {
    StringRef makes = between(message, "defines ", " results"), given = between(message, "provided ", " to");
    return ("expected " + makes + (makes == "1" ? " name" : " names") + " for what this op makes, found " +
            given)
        .str();
  }
  if (message == "expected '=' after SSA name" || message == "expected integer number of results")
    return ("expected '=' after '" + line.ltrim().rtrim(": ") + "', ").str() +
           (text.drop_front(at).starts_with(":") || line.ends_with(":") ? "found ':'" : found()) +
           (line.ltrim(" %").empty() || !llvm::isDigit(line.ltrim(" %")[0])
                ? ""
                : "; a value's name begins with a letter");
  if (message.starts_with("redefinition of SSA value '") ||
      (message.starts_with("region entry argument '") && message.ends_with("is already in use")))
    return ("expected a new name, found '" + between(message, "'", "'") + "', which a value has already")
        .str();
  return "";
}

AuthorErrors::AuthorErrors(MLIRContext *context, const std::vector<llvm::MemoryBufferRef> &texts)
    : context(context), texts(texts) {
  keep.emplace(context, [this](Diagnostic &d) {
    kept.push_back(std::move(d));
    return success();
  });
}

size_t moe::placeOf(StringRef text, FileLineColLoc at) {
  size_t start = 0;
  for (unsigned line = 1; line < at.getLine() && start != StringRef::npos; ++line)
    start = text.find('\n', start) == StringRef::npos ? text.size() : text.find('\n', start) + 1;
  return std::min<size_t>(start + (at.getColumn() ? at.getColumn() - 1 : 0), text.size());
}

/// Where '//' stands within an open bracket, on the place's line or on the last one before it that has any code: there it begins a
/// comment that hides the bracket's end, and is meant as a division. Nothing where there is none.
static std::optional<std::pair<size_t, std::string>> divisionBefore(StringRef text, size_t at) {
  size_t end = std::min(text.find('\n', at), text.size());
  for (unsigned lines = 0; lines < 2; ++lines) {
    const size_t start = text.take_front(end).rfind('\n') + 1; // npos + 1 is 0
    StringRef line = text.slice(start, end), code = line.take_front(line.find("//")).rtrim();
    StringRef divided = code.drop_front(
        code.find_last_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") + 1);
    StringRef by = line.drop_front(std::min(line.size(), line.find("//"))).ltrim("/ ").take_while(inName);
    const bool open = code.count('[') > code.count(']') || code.count('(') > code.count(')') ||
                      code.count('<') > code.count('>');
    if (line.contains("//") && open && !divided.empty() && !by.empty() && !code.contains('"'))
      return std::pair(start + line.find("//"), (divided + " / " + by).str());
    if (!code.empty() && start + code.size() < at)
      return std::nullopt;
    if (start == 0)
      break;
    end = start - 1;
  }
  return std::nullopt;
}

void AuthorErrors::report() {
  keep.reset();
  if (kept.empty())
    return;
  context->getOrLoadDialect<MoeDialect>(); // no op of it was met where the first word is wrong
  SmallVector<StringRef> ops;
  for (RegisteredOperationName op : context->getRegisteredOperations())
    if (op.getDialectNamespace() == "moe")
      ops.push_back(op.stripDialect());
  size_t compared = 0;
  llvm::DenseSet<std::pair<Location, StringAttr>> said; // the parser may look at one place twice
  for (Diagnostic &d : kept) {
    if (!said.insert({d.getLocation(), StringAttr::get(context, d.str())}).second)
      continue;
    auto place = d.getLocation()->findInstanceOf<FileLineColLoc>();
    auto text = llvm::find_if(texts, [&](auto &each) {
      return place && each.getBufferIdentifier() == place.getFilename().getValue();
    });
    std::string message = d.str(), words;
    std::optional<std::pair<Location, std::string>> division;
    SmallVector<Diagnostic *> notes;
    for (Diagnostic &note : d.getNotes())
      notes.push_back(&note);
    if (text != texts.end() && d.getSeverity() == DiagnosticSeverity::Error) {
      const StringRef all = text->getBuffer();
      const size_t at = placeOf(all, place);
      Report report(message, all, at, ops, context, compared);
      if (StringRef op = report.foreignOp(); !op.empty()) {
        const StringRef before = all.take_front(op.data() - all.data());
        const size_t line = before.count('\n') + 1, column = before.size() - (before.rfind('\n') + 1) + 1;
        // Its own parser may have several complaints about one op.
        auto there = FileLineColLoc::get(place.getFilename(), line, column);
        const std::string told = notOfTheLanguage(op, context);
        if (said.insert({there, StringAttr::get(context, told)}).second)
          emitError(there) << told;
        continue;
      }
      words = report.words(notes);
      if (auto found = divisionBefore(all, at)) {
        const StringRef before = all.take_front(found->first);
        division = {FileLineColLoc::get(place.getFilename(), before.count('\n') + 1,
                                        before.size() - (before.rfind('\n') + 1) + 1),
                    "'//' begins a comment; a size is divided as in '" + found->second + "'"};
      }
    }
    if (words.empty()) {
      if (division)
        d.attachNote(division->first) << division->second;
      context->getDiagEngine().emit(std::move(d));
      continue;
    }
    // What the parser says of a place in two readings may be one thing to an author.
    if (!said.insert({d.getLocation(), StringAttr::get(context, words)}).second)
      continue;
    InFlightDiagnostic diag = emitError(d.getLocation()) << words;
    if (!StringRef(message).starts_with("Dialect `"))
      for (Diagnostic *note : notes)
        diag.attachNote(note->getLocation()) << "made here";
    if (division)
      diag.attachNote(division->first) << division->second;
  }
}
