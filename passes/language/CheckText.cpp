// One walk over the characters, which parts comments, strings, words and brackets as MLIR's lexer does: what
// it takes for code must not be taken for a comment here. Comments themselves are looked at for divisions of
// other languages.
#include "passes/language/CheckText.h"
#include "dialects/moe/MoeDialect.h"
#include "dialects/moe/Names.h"
#include "dialects/moe/Words.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace moe;

/// Each level costs MLIR's parser some hundred bytes of stack to some kilobytes, so this is safe by a factor
/// of ten.
static constexpr unsigned maxNesting = 256;

namespace {
struct Invisible {
  uint32_t first, last;
  const char *name;
};
} // namespace

static constexpr Invisible invisibles[] = {
    {0x00a0, 0x00a0, "no-break space"},
    {0x00ad, 0x00ad, "soft hyphen"},
    {0x034f, 0x034f, "combining grapheme joiner"},
    {0x061c, 0x061c, "Arabic letter mark"},
    {0x115f, 0x1160, "Hangul filler"},
    {0x1680, 0x1680, "Ogham space mark"},
    {0x180e, 0x180e, "Mongolian vowel separator"},
    {0x2000, 0x200a, "a space of another width"},
    {0x200b, 0x200b, "zero width space"},
    {0x200c, 0x200c, "zero width non-joiner"},
    {0x200d, 0x200d, "zero width joiner"},
    {0x200e, 0x200f, "mark of the direction of writing"},
    {0x2028, 0x2028, "line separator"},
    {0x2029, 0x2029, "paragraph separator"},
    {0x202a, 0x202e, "mark of the direction of writing"},
    {0x202f, 0x202f, "narrow no-break space"},
    {0x205f, 0x205f, "medium mathematical space"},
    {0x2060, 0x2060, "word joiner"},
    {0x2061, 0x2064, "invisible operator"},
    {0x2066, 0x2069, "mark of the direction of writing"},
    {0x206a, 0x206f, "control of formatting"},
    {0x2800, 0x2800, "blank Braille pattern"},
    {0x3000, 0x3000, "ideographic space"},
    {0x3164, 0x3164, "Hangul filler"},
    {0xfe00, 0xfe0f, "variation selector"},
    {0xfeff, 0xfeff, "byte order mark"},
    {0xffa0, 0xffa0, "halfwidth Hangul filler"},
    {0xfff9, 0xfffb, "interlinear annotation"},
    {0xe0000, 0xe0fff, "tag"},
};

/// The character of UTF-8 that a text begins with, and its bytes; 0 bytes where none is there.
static std::pair<uint32_t, unsigned> decoded(StringRef text) {
  if (text.empty())
    return {0, 0};
  const auto *begin = reinterpret_cast<const llvm::UTF8 *>(text.begin()), *at = begin;
  const auto *end = reinterpret_cast<const llvm::UTF8 *>(text.end());
  llvm::UTF32 code = 0;
  if (llvm::convertUTF8Sequence(&at, end, &code, llvm::strictConversion) != llvm::conversionOK)
    return {0, 0};
  return {code, unsigned(at - begin)};
}

static const Invisible *invisible(uint32_t code) {
  for (const Invisible &each : invisibles)
    if (code >= each.first && code <= each.last)
      return &each;
  return nullptr;
}

std::string moe::shownCharacter(StringRef text) {
  auto [code, bytes] = decoded(text);
  if (const Invisible *found = bytes ? invisible(code) : nullptr)
    return llvm::formatv("U+{0:X-4} ({1})", code, found->name).str();
  return ("'" + text.take_front(std::max(1u, bytes)) + "'").str();
}

static char closing(char bracket) {
  return bracket == '(' ? ')' : bracket == '[' ? ']' : bracket == '{' ? '}' : '>';
}

static bool inWord(char c) { return llvm::isAlnum(c) || c == '_' || c == '.' || c == '$'; }

/// What is wrong with the length of a number or name that begins at `word`, whose first character is the mark
/// of a name or one of the word.
static std::string wrongLength(StringRef word) {
  bool number = llvm::isDigit(word.front());
  if (number && word.size() > longestNumber)
    return llvm::formatv("expected a number of at most {0} characters, found {1}", longestNumber,
                         word.size());
  if (!number && StringRef("%@#!^").contains(word.front()))
    word = word.drop_front();
  if (!number && word.size() > longestName)
    return llvm::formatv("expected a name of 1 to {0} bytes, found one of {1}", longestName, word.size());
  return "";
}

std::optional<TextFault> moe::findFault(StringRef text) {
  std::vector<std::pair<char, size_t>> open; // brackets and their places
  bool matched = true;                       // else the parser says at once what is wrong
  bool begins = true;                        // nothing but blanks stands before this place of its line
  for (size_t at = 0, size = text.size(); at < size; ++at) {
    char c = text[at], next = at + 1 < size ? text[at + 1] : '\0';
    bool first = begins;
    begins = c == '\n' || (begins && (c == ' ' || c == '\t'));
    if (inWord(c) || (StringRef("%@#!^").contains(c) && inWord(next))) {
      size_t end = at + 1;
      bool marked = !inWord(c) && c != '@';
      while (end < size && (inWord(text[end]) || (marked && text[end] == '-')))
        ++end;
      if (std::string wrong = wrongLength(text.slice(at, end)); !wrong.empty())
        return TextFault{at, wrong};
    }
    if (text.substr(at).starts_with("@\"\""))
      return TextFault{at, "expected a name behind '@', found none between the quotes"};
    // MLIR's lexer takes the dot for the first of three. In a name that begins with a mark it may stand.
    if (c == '.' && llvm::isDigit(next)) {
      StringRef before = text.take_front(at);
      bool minus = before.consume_back("-");
      if (before.empty() || !(inWord(before.back()) || StringRef("%@#!^-").contains(before.back()))) {
        size_t end = at + 1;
        while (end < size && (inWord(text[end]) || (text[end] == '-' && text[end - 1] == 'e')))
          ++end;
        std::string number = text.slice(at, end).str(), sign = minus ? "-" : "";
        return TextFault{at - minus, "expected a number that begins with a digit, found '" + sign + number +
                                         "'; write '" + sign + "0" + number + "'"};
      }
    }
    if (inWord(c)) {
      while (at + 1 < size && inWord(text[at + 1]))
        ++at;
      continue;
    }
    if (uint8_t(c) >= 0x80) {
      auto [code, bytes] = decoded(text.drop_front(at));
      if (bytes && invisible(code))
        return TextFault{at, "expected a character that is seen, found " +
                                 shownCharacter(text.drop_front(at)) + "; take it out, or write a blank"};
      at += std::max(1u, bytes) - 1;
      continue;
    }
    switch (c) {
    case '#': { // an attribute, its alias '#name = ...', or a mark of resources, '{-#' and '#-}'
      if ((at && text[at - 1] == '-') || next == '-')
        break;
      size_t end = at + 1;
      while (end < size && inWord(text[end]))
        ++end;
      bool named = end > at + 1;
      while (end < size && (text[end] == ' ' || text[end] == '\t'))
        ++end;
      char behind = end < size ? text[end] : '\n';
      bool alias = open.empty() ? behind == '=' : !llvm::isAlpha(behind);
      if (!named || (first && !alias))
        return TextFault{at, "expected an op, found '#'; a comment begins with '//'"};
      break;
    }
    case '/': // a comment to the end of its line
      if (next == '/')
        while (at + 1 < size && text[at + 1] != '\n' && text[at + 1] != '\r')
          ++at;
      break;
    case '"': // a string ends on its line, or the parser reports it
      while (at + 1 < size && text[at + 1] != '"' && text[at + 1] != '\n')
        at += text[at + 1] == '\\' && at + 2 < size ? 2 : 1;
      if (at + 1 < size && text[at + 1] == '"')
        ++at;
      break;
    case '(':
    case '[':
    case '{':
    case '<':
      open.push_back({c, at});
      if (open.size() > maxNesting)
        return TextFault{at,
                         llvm::formatv("expected brackets to nest at most {0} deep, found more", maxNesting)};
      break;
    case '>':
      if (at && text[at - 1] == '-')
        break; // an arrow
      [[fallthrough]];
    case ')':
    case ']':
    case '}':
      matched &= !open.empty() && closing(open.back().first) == c;
      if (!open.empty())
        open.pop_back();
      break;
    default:
      break;
    }
  }
  if (!matched || open.empty())
    return std::nullopt;
  auto [bracket, at] = open.back();
  return TextFault{at, std::string("expected '") + closing(bracket) + "' that closes '" + bracket +
                           "', found the end of the file"};
}

LogicalResult moe::checkText(StringRef text, StringRef name, MLIRContext *context) {
  std::optional<TextFault> fault = findFault(text);
  if (!fault)
    return success();
  StringRef before = text.take_front(fault->at);
  unsigned line = 1 + before.count('\n');
  unsigned column = 1 + unsigned(before.size() - (before.rfind('\n') + 1));
  return emitError(FileLineColLoc::get(context, name, line, column)) << fault->message;
}

/// What a line of code ends with, where that is an expression's last part: a number, a name, or brackets with sizes.
static StringRef lastOperand(StringRef code) {
  size_t begin = code.size();
  if (code.ends_with(")")) {
    begin = code.rfind('(');
    if (begin == StringRef::npos || code.drop_front(begin).contains('%'))
      return {};
  } else {
    while (begin > 0 && inWord(code[begin - 1]))
      --begin;
  }
  bool alone = begin > 0 && StringRef(" \t(,=*+-/").contains(code[begin - 1]);
  return alone ? code.drop_front(begin) : StringRef();
}

void moe::warnOfDivisions(StringRef text, StringRef name, ModuleOp module) {
  ArrayAttr params, patterns; // of the layer or model that begins last before the line
  auto next = module.getBody()->begin();
  auto enter = [&](unsigned line) {
    for (; next != module.getBody()->end(); ++next) {
      if (auto at = next->getLoc()->findInstanceOf<FileLineColLoc>(); at && at.getLine() > line)
        return;
      params = next->getAttrOfType<ArrayAttr>("params");
      patterns = next->getAttrOfType<ArrayAttr>("patterns");
    }
  };
  auto isParameter = [&](StringRef word) {
    bool bound = false;
    if (patterns)
      walkExpressions(patterns, [&](ExprAttr e, bool) { bound |= e.isName(word); });
    return bound || (params && llvm::any_of(params, [&](Attribute each) {
                       auto param = dyn_cast<ParamAttr>(each);
                       return param && param.getName() == word;
                     }));
  };
  for (unsigned number = 1; !text.empty(); ++number) {
    auto [line, rest] = text.split('\n');
    text = rest;
    size_t mark = line.find("//");
    if (mark == StringRef::npos || line.take_front(mark).contains('"'))
      continue;
    StringRef left = lastOperand(line.take_front(mark).rtrim()), right = line.drop_front(mark + 2).trim();
    auto operand = [&](StringRef word) {
      return !word.empty() && (llvm::all_of(word, llvm::isDigit) || isParameter(word));
    };
    enter(number);
    if (operand(right) && (left.starts_with("(") || operand(left)))
      emitWarning(FileLineColLoc::get(module.getContext(), name, number, unsigned(mark) + 1))
          << "'// " << right << "' is a comment, not a division; a size is divided as in '" << left << " / "
          << right << "'";
  }
}
