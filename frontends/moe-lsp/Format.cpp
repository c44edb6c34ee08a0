#include "frontends/moe-lsp/Format.h"
#include "frontends/moe-lsp/Analysis.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ConvertUTF.h"
#include <map>

using namespace llvm;
using namespace moe;
using namespace moe::lsp;

/// A value whose name is longer than this is not lined up with the others.
static constexpr size_t longestLinedUp = 24;

namespace {

class Formatter {
public:
  explicit Formatter(StringRef text)
      : text(text), tokens(tokensOf(text)), statements(statementsOf(tokens, isOp)) {}
  std::string run();

private:
  size_t offsetOf(const Token &token) const { return size_t(token.text.begin() - text.begin()); }
  bool blankBetween(size_t left, size_t right) const;
  void measure();
  void line(size_t begin, size_t end);
  size_t indentOf(size_t token);
  void put(StringRef more);

  struct Open {
    char bracket;
    size_t column; // of what stands behind it
    size_t indent; // of the statement that a brace is of
  };

  StringRef text;
  std::vector<Token> tokens;
  std::vector<Statement> statements;
  std::map<size_t, const Statement *> begins; // statements, by their first tokens
  std::map<size_t, size_t> widths; // of the names in front of '=', by the first tokens of statements
  std::vector<Open> open;
  const Statement *statement = nullptr;
  size_t column = 0, statementAt = 0,
         goesOn = 0; // where the line ends, the statement begins, and its further lines begin
  std::string result;
};

} // namespace

/// Characters, not bytes, are what a column counts.
static size_t widthOf(StringRef text) {
  return size_t(count_if(text, [](char c) { return (uint8_t(c) & 0xc0) != 0x80; }));
}

void Formatter::put(StringRef more) {
  result += more;
  column += widthOf(more);
}

/// Whether the author has a blank between two tokens, which decides where both are right.
static bool apart(const Token &left, const Token &right) { return left.text.end() != right.text.begin(); }

bool Formatter::blankBetween(size_t l, size_t r) const {
  const Token &left = tokens[l], &right = tokens[r];
  auto isMark = [](const Token &token, StringRef marks) {
    return token.kind == TokenKind::mark && token.text.size() == 1 && marks.contains(token.text);
  };
  const bool operand = left.kind == TokenKind::word || left.kind == TokenKind::number ||
                       left.kind == TokenKind::value || left.kind == TokenKind::symbol || isMark(left, ")]>");
  if (right.kind == TokenKind::comment || left.kind == TokenKind::comment)
    return true;
  if (isMark(right, ",)]") || isMark(left, "(["))
    return false;
  if (isMark(right, ":") || isMark(left, "!#^"))
    return apart(left, right) && !(isMark(right, ":") && operand);
  if (isMark(left, ","))
    return true;
  if (isMark(left, ":"))
    return right.kind != TokenKind::number; // `%a:2`
  if (isMark(right, "<"))
    return !(left.kind == TokenKind::symbol || left.kind == TokenKind::word) && apart(left, right);
  if (isMark(left, "<") || isMark(right, ">"))
    return false;
  if (isMark(right, "{"))
    return true;
  if (isMark(left, "{") || isMark(right, "}") || isMark(left, "}"))
    return !(isMark(left, "{") && isMark(right, "}"));
  if (isMark(right, "(") || isMark(right, "["))
    // A call, a path with its values and an image are one word; what a keyword takes stands apart.
    return left.kind == TokenKind::symbol && isMark(right, "(") ? false
                                                                : apart(left, right) || isMark(left, "=*/+");
  // A sign belongs to its number unless something to subtract from stands before it.
  if (isMark(left, "-")) {
    const bool first = l == 0 || isMark(tokens[l - 1], "([,=<*/+-");
    const bool keyword = l > 0 && tokens[l - 1].kind == TokenKind::word && apart(tokens[l - 1], left);
    return first ? false : keyword ? apart(left, right) : true;
  }
  if (isMark(right, "-"))
    return true;
  if (isMark(left, "%") || isMark(right, "%") || isMark(left, "@") || isMark(left, "?") || isMark(right, "?"))
    return apart(left, right);
  // Tokens that were written as one stay so, where both are not known to stand apart.
  const bool known = isMark(left, "=*/+") || isMark(right, "=*/+") || left.is("==") || right.is("==");
  const bool names = left.kind != TokenKind::mark && right.kind != TokenKind::mark;
  const bool closed = isMark(left, ")]>") && right.kind != TokenKind::mark;
  return known || names || closed || apart(left, right);
}

/// The widths of the names that stand in front of '=', for each body.
void Formatter::measure() {
  std::vector<std::vector<std::pair<size_t, size_t>>> bodies(1); // statements with their own widths
  auto close = [&] {
    size_t most = 0;
    for (auto &[first, width] : bodies.back())
      if (width <= longestLinedUp)
        most = std::max(most, width);
    for (auto &[first, width] : bodies.back())
      widths[first] = std::max(width, most);
    bodies.back().clear();
  };
  for (const Statement &each : statements) {
    begins[each.begin] = &each;
    if (each.kind == Statement::header || each.kind == Statement::close || each.kind == Statement::entry)
      close();
    if (each.results.empty() || each.word <= each.begin)
      continue;
    size_t width = 0;
    for (size_t i = each.begin; i + 1 < each.word; ++i)
      width += widthOf(tokens[i].text) + (i > each.begin && blankBetween(i - 1, i));
    bodies.back().push_back({each.begin, width});
  }
  close();
}

/// Where the line that begins with a token begins.
size_t Formatter::indentOf(size_t token) {
  const bool closes = tokens[token].is("}");
  if (begins.count(token) || tokens[token].kind == TokenKind::comment || closes) {
    // What stands in an open bracket of another kind goes on, a comment among it.
    if (!begins.count(token) && !closes && !open.empty() && open.back().bracket != '{')
      return open.back().column;
    while (!open.empty() && open.back().bracket != '{')
      open.pop_back(); // a bracket that was left open ends with its statement
    if (open.empty())
      return 0;
    return open.back().indent + (closes ? 0 : 2);
  }
  if (!open.empty() && open.back().bracket != '{')
    return open.back().column;
  return statement ? goesOn : (open.empty() ? 0 : open.back().indent + 2);
}

/// One line of the author's, with the tokens from `begin` to `end`.
void Formatter::line(size_t begin, size_t end) {
  const size_t indent = indentOf(begin);
  column = 0;
  put(std::string(indent, ' '));
  for (size_t i = begin; i < end; ++i) {
    const Token &token = tokens[i];
    if (auto found = begins.find(i); found != begins.end()) {
      statement = found->second;
      statementAt = column;
      goesOn = column + 2;
    }
    if (i > begin && token.kind == TokenKind::comment) {
      // Its own column, where the code leaves room.
      const size_t offset = offsetOf(token),
                   own = widthOf(text.slice(text.take_front(offset).rfind('\n') + 1, offset));
      put(std::string(own > column ? own - column : 1, ' '));
    } else if (i > begin) {
      const bool equals = statement && i + 1 == statement->word && widths.count(statement->begin);
      if (equals)
        put(std::string(
            indent + widths[statement->begin] - std::min(column, indent + widths[statement->begin]), ' '));
      if (blankBetween(i - 1, i))
        put(" ");
    }
    if (statement && i == statement->word && !statement->results.empty())
      goesOn = column;
    put(token.text);
    if (token.kind != TokenKind::mark)
      continue;
    const char mark = token.text.front();
    if (token.text.size() == 1 && StringRef("([{<").contains(mark)) {
      if (statement && statement->kind == Statement::header && goesOn == statementAt + 2 && mark != '{')
        goesOn = column - 1; // values stand below the parameters
      open.push_back({mark, column, statement ? statementAt : indent});
    } else if (token.text.size() == 1 && StringRef(")]}>").contains(mark)) {
      const char wanted = mark == ')' ? '(' : mark == ']' ? '[' : mark == '}' ? '{' : '<';
      if (any_of(open, [&](const Open &each) { return each.bracket == wanted; }) &&
          (mark == '}' || open.back().bracket == wanted)) {
        while (open.back().bracket != wanted)
          open.pop_back();
        open.pop_back();
      }
      if (mark == '}')
        statement = nullptr;
    }
  }
  result.erase(StringRef(result).rtrim(' ').size());
  result += '\n';
}

std::string Formatter::run() {
  measure();
  size_t begin = 0;
  while (begin < tokens.size()) {
    size_t end = begin + 1;
    while (end < tokens.size() && !tokens[end].first)
      ++end;
    if (begin > 0) {
      const Token &last = tokens[begin - 1];
      StringRef between = text.slice(offsetOf(last) + last.text.size(), offsetOf(tokens[begin]));
      if (between.count('\n') > 1)
        result += '\n';
    }
    line(begin, end);
    begin = end;
  }
  return std::move(result);
}

std::string moe::lsp::formatted(StringRef text) {
  std::string made = Formatter(text).run();
  if (text.take_until([](char c) { return c == '\n'; }).ends_with("\r")) {
    std::string lines;
    for (char c : made)
      lines += c == '\n' ? std::string("\r\n") : std::string(1, c);
    made = std::move(lines);
  }
  return text.starts_with(byteOrderMark) ? byteOrderMark.str() + made : made;
}
