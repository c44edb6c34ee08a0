#include "runtime/train/TomlCheck.h"

#include "runtime/base/Printable.h"
#include "runtime/base/Status.h"

#include <algorithm>
#include <cctype>

namespace moert {
namespace {

bool isBlank(char c) { return c == ' ' || c == '\t'; }
bool isBare(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }
bool isQuote(char c) { return c == '"' || c == '\''; }
bool isDigit(char c) { return c >= '0' && c <= '9'; }

// Every function leaves `at_` behind what it has taken and returns false once there is a fault.
class Checker {
public:
  explicit Checker(std::string_view text) : text_(text) {}

  std::optional<TomlFault> check() {
    if (text_.size() > kLargestToml)
      fault(0, concat("expected at most ", kLargestToml, " bytes, found ", text_.size()));
    else if (utf8())
      document();
    return std::move(fault_);
  }

private:
  bool end() const { return at_ == text_.size(); }
  char now() const { return end() ? '\0' : text_[at_]; }
  bool has(std::string_view token) const { return text_.substr(at_).starts_with(token); }
  bool atBreak() const { return has("\n") || has("\r\n"); }
  void blanks() {
    while (!end() && isBlank(now()))
      ++at_;
  }
  bool lineBreak() {
    if (!atBreak())
      return false;
    at_ += now() == '\r' ? 2 : 1;
    return true;
  }
  void comment() {
    if (now() == '#')
      at_ = std::min(text_.find('\n', at_), text_.size());
  }

  bool fault(size_t at, std::string message) {
    fault_ = tomlFaultAt(text_, at, std::move(message));
    return false;
  }
  bool expected(std::string_view what, std::string_view hint = "") {
    return fault(at_, concat("expected ", what, ", found ", found(), hint));
  }
  std::string found() const {
    if (end())
      return "the end of the text";
    if (atBreak())
      return "the end of the line";
    uint32_t code = 0;
    std::string_view character = text_.substr(at_, std::max<size_t>(utf8Length(text_.substr(at_), &code), 1));
    if (code < 0x80)
      return concat("'", character, "'");
    char number[16];
    snprintf(number, sizeof number, "U+%04X", unsigned(code));
    return concat("'", character, "' (", number, ")");
  }

  // A byte order mark is none of the text's characters.
  bool utf8() {
    if (has("\xef\xbb\xbf"))
      at_ = 3;
    size_t begin = at_;
    for (size_t at = at_, length; at < text_.size(); at += length)
      if (length = utf8Length(text_.substr(at)); !length)
        return fault(at, concat("expected UTF-8, found the byte ", printable(text_.substr(at, 1), true)));
    at_ = begin;
    return true;
  }

  bool document() {
    while (!end()) {
      blanks();
      comment();
      if (end() || lineBreak())
        continue;
      if (!(now() == '[' ? header() : keyAndValue("a key or a [table]")))
        return false;
      blanks();
      comment();
      if (!end() && !lineBreak())
        return expected("the end of the line or a comment");
    }
    return true;
  }

  bool header() {
    ++at_;
    bool list = now() == '[';
    at_ += list;
    blanks();
    if (!key("a key in the brackets of a table") || !take("]", "']' behind the table's key"))
      return false;
    return !list || take("]", "a second ']'");
  }

  bool take(std::string_view token, std::string_view what) {
    if (!has(token))
      return expected(what);
    at_ += token.size();
    return true;
  }

  // One with blanks behind it.
  bool key(std::string_view what) {
    size_t begin = at_, parts = 0;
    for (;;) {
      if (++parts > kMostTomlKeyParts)
        return fault(begin, concat("expected a key of at most ", kMostTomlKeyParts, " parts, found more"));
      if (isQuote(now())) {
        if (has("\"\"\"") || has("'''"))
          return expected("a key on one line", ", with three quotes");
        if (!quoted())
          return false;
      } else if (isBare(now())) {
        while (!end() && isBare(now()))
          ++at_;
      } else {
        return expected(parts == 1 ? what : "the next part of the key");
      }
      if (at_ - begin > kLongestTomlKey)
        return fault(begin,
                     concat("expected a key of at most ", kLongestTomlKey, " bytes, found a longer one"));
      blanks();
      if (now() != '.')
        return true;
      ++at_;
      blanks();
    }
  }

  bool keyAndValue(std::string_view what) {
    if (!key(what) || !take("=", "'=' behind the key"))
      return false;
    blanks();
    return value(0);
  }

  bool quoted() {
    char quote = now();
    size_t begin = at_;
    std::string three(3, quote);
    bool lines = has(three);
    at_ += lines ? 3 : 1;
    while (!end() && (lines || !atBreak())) {
      if (lines ? has(three) : now() == quote) {
        at_ += lines ? 3 : 1;
        for (int more = 0; lines && more < 2 && now() == quote; ++more) // they belong to the text
          ++at_;
        return true;
      }
      at_ += quote == '"' && now() == '\\' && at_ + 1 < text_.size() ? 2 : 1;
    }
    return fault(begin, concat("expected a closing quote, found ", found(), " before it"));
  }

  bool value(size_t depth) {
    if (isQuote(now()))
      return quoted();
    if (now() != '[' && now() != '{')
      return scalar();
    if (depth == kDeepestTomlValue)
      return fault(at_, concat("expected lists and tables at most ", kDeepestTomlValue,
                               " within each other, found more"));
    return now() == '[' ? list(depth) : table(depth);
  }

  // Blanks, comments and line breaks, as they may stand in a list.
  void space() {
    do {
      blanks();
      comment();
    } while (lineBreak());
  }

  bool list(size_t depth) {
    ++at_;
    for (bool first = true;; first = false) {
      space();
      if (now() == ']')
        break;
      if (!first && now() != ',')
        return expected("',' or ']'");
      if (!first) {
        ++at_;
        space();
        if (now() == ']')
          break;
      }
      if (end() || now() == ',' || now() == '}')
        return expected("a value or ']'");
      if (!value(depth + 1))
        return false;
    }
    ++at_;
    return true;
  }

  bool table(size_t depth) {
    ++at_;
    blanks();
    for (bool first = true; first || now() != '}'; first = false) {
      if (first && now() == '}')
        break;
      if (!first) {
        if (!take(",", "',' or '}'"))
          return false;
        blanks();
      }
      if (!key(first ? "a key or '}'" : "a key") || !take("=", "'=' behind the key"))
        return false;
      blanks();
      if (!value(depth + 1))
        return false;
      blanks();
    }
    ++at_;
    return true;
  }

  // A number, a boolean or a date: what stands up to the next blank, comma or bracket.
  bool scalar() {
    auto ends = [&] {
      return end() || isBlank(now()) || atBreak() ||
             std::string_view(",]}#").find(now()) != std::string_view::npos;
    };
    size_t begin = at_;
    for (; !ends(); ++at_)
      if (static_cast<unsigned char>(now()) >= 0x80)
        return expected("a value of ASCII characters outside of quotes", curlyHint());
    std::string word(text_.substr(begin, at_ - begin));
    if (word.empty())
      return expected("a value");
    if (isDigit(word[0]) || word[0] == '+' || word[0] == '-') {
      // A date and a time may have a blank between them.
      if (word.size() == 10 && word[4] == '-' && now() == ' ' && at_ + 1 < text_.size() &&
          isDigit(text_[at_ + 1]))
        for (++at_; !ends(); ++at_)
          if (static_cast<unsigned char>(now()) >= 0x80)
            return expected("a time", "");
      return true;
    }
    if (word == "true" || word == "false" || word == "inf" || word == "nan")
      return true;
    std::string lower = word;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    std::string hint = word[0] == '.' && word.size() > 1 && isDigit(word[1]) ? concat("0", brief(word))
                       : lower == "true" || lower == "false" ? lower
                                                             : concat("\"", brief(word), "\", in quotes");
    return fault(begin, concat("expected a value, found '", brief(word), "'; did you mean ", hint, "?"));
  }
  // A text editor's quotes are not TOML's.
  std::string_view curlyHint() const {
    for (std::string_view quote : {"\u201c", "\u201d", "\u2018", "\u2019", "\u00ab", "\u201e"})
      if (has(quote))
        return "; did you mean the plain quote '\"'?";
    return "";
  }

  std::string_view text_;
  size_t at_ = 0;
  std::optional<TomlFault> fault_;
};

} // namespace

std::optional<TomlFault> checkToml(std::string_view text) { return Checker(text).check(); }

TomlFault tomlFaultAt(std::string_view text, size_t at, std::string message) {
  std::string_view before = text.substr(0, at);
  size_t line = size_t(std::count(before.begin(), before.end(), '\n'));
  std::string_view rest = before.substr(line ? before.rfind('\n') + 1 : 0);
  if (!line && rest.starts_with("\xef\xbb\xbf")) // a byte order mark
    rest.remove_prefix(3);
  size_t column = size_t(std::count_if(rest.begin(), rest.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  return {line + 1, column + 1, std::move(message)};
}

} // namespace moert
