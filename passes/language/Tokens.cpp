#include "passes/language/Tokens.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace moe;

static bool endsLine(char c) { return c == '\n' || c == '\r'; }

static bool inWord(char c) { return isAlnum(c) || c == '_' || c == '$' || c == '.'; }

StringRef Token::name() const {
  StringRef name = text;
  if (kind == TokenKind::value || kind == TokenKind::symbol)
    name = name.drop_front();
  if (name.consume_front("\""))
    name.consume_back("\"");
  return name;
}

/// The length of the string that a text begins with: to its closing quote, or to the end of the line.
static size_t lengthOfString(StringRef text) {
  size_t at = 1;
  while (at < text.size() && text[at] != '"' && !endsLine(text[at]))
    at += text[at] == '\\' && at + 1 < text.size() && !endsLine(text[at + 1]) ? 2 : 1;
  return std::min(text.size(), at + (at < text.size() && text[at] == '"'));
}

/// The length of the number that a text begins with, with its fraction and exponent.
static size_t lengthOfNumber(StringRef text) {
  size_t at = 0;
  auto digits = [&] {
    while (at < text.size() && isDigit(text[at]))
      ++at;
  };
  digits();
  if (at + 1 < text.size() && text[at] == '.' && isDigit(text[at + 1])) {
    ++at;
    digits();
  }
  if (size_t exponent = at; at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++exponent;
    exponent += exponent < text.size() && (text[exponent] == '-' || text[exponent] == '+');
    if (exponent < text.size() && isDigit(text[exponent])) {
      at = exponent;
      digits();
    }
  }
  // What follows without a blank belongs to it, though no number may have it.
  while (at < text.size() && inWord(text[at]))
    ++at;
  return at;
}

std::string moe::withLineFeeds(StringRef text) {
  std::string made = text.str();
  for (size_t at = made.find('\r'); at != std::string::npos; at = made.find('\r', at + 1))
    if (at + 1 == made.size() || made[at + 1] != '\n')
      made[at] = '\n';
  return made;
}

std::vector<Token> moe::tokensOf(StringRef text) {
  std::vector<Token> tokens;
  bool first = true;
  for (size_t at = text.starts_with(byteOrderMark) ? byteOrderMark.size() : 0; at < text.size();) {
    StringRef rest = text.drop_front(at);
    const char c = rest.front();
    if (c == '\n' || c == ' ' || c == '\t' || c == '\r' || c == '\0') {
      first |= endsLine(c);
      ++at;
      continue;
    }
    TokenKind kind = TokenKind::mark;
    size_t length = 1;
    if (rest.starts_with("//")) {
      kind = TokenKind::comment;
      length = rest.take_until(endsLine).rtrim().size();
    } else if (c == '"') {
      kind = TokenKind::string;
      length = lengthOfString(rest);
    } else if (c == '%' && rest.size() > 1 && (inWord(rest[1]) || rest[1] == '-')) {
      kind = TokenKind::value;
      while (length < rest.size() && (inWord(rest[length]) || rest[length] == '-'))
        ++length;
      if (length + 1 < rest.size() && rest[length] == '#' && isDigit(rest[length + 1])) // of several results
        for (++length; length < rest.size() && isDigit(rest[length]);)
          ++length;
    } else if (c == '@' && rest.size() > 1 && (inWord(rest[1]) || rest[1] == '"')) {
      kind = TokenKind::symbol;
      length +=
          rest[1] == '"' ? lengthOfString(rest.drop_front()) : rest.drop_front().take_while(inWord).size();
    } else if (isDigit(c)) {
      kind = TokenKind::number;
      length = lengthOfNumber(rest);
    } else if (inWord(c)) {
      kind = TokenKind::word;
      length = rest.take_while(inWord).size();
    } else if (rest.starts_with("==") || rest.starts_with("->")) {
      length = 2;
    } else {
      while (length < rest.size() && (uint8_t(rest[length]) & 0xc0) == 0x80) // the rest of a character
        ++length;
    }
    tokens.push_back({kind, rest.take_front(length), first});
    first = false;
    at += length;
  }
  return tokens;
}

StringRef Statement::text(const std::vector<Token> &tokens) const {
  size_t last = end;
  while (last > begin + 1 && tokens[last - 1].kind == TokenKind::comment)
    --last;
  const char *from = tokens[begin].text.begin();
  return StringRef(from, tokens[last - 1].text.end() - from);
}

/// Where the names of values that an op makes end: behind '='; `at` where none begin there.
static size_t behindResults(const std::vector<Token> &tokens, size_t at,
                            SmallVectorImpl<StringRef> &results) {
  size_t next = at;
  while (next < tokens.size() && tokens[next].kind == TokenKind::value) {
    results.push_back(tokens[next++].text);
    if (next + 1 < tokens.size() && tokens[next].is(":")) // `%a:2`, several results of one name
      next += 2;
    if (next < tokens.size() && tokens[next].is(",")) {
      ++next;
      continue;
    }
    if (next < tokens.size() && tokens[next].is("="))
      return next + 1;
    if (next == tokens.size() || tokens[next].kind != TokenKind::value || tokens[next].first)
      break; // and where a comma is missing, the names go on
  }
  results.clear();
  return at;
}

std::vector<Statement> moe::statementsOf(const std::vector<Token> &tokens,
                                         function_ref<bool(StringRef)> isOp) {
  std::vector<Statement> list;
  for (size_t at = 0; at < tokens.size(); ++at) {
    const Token &token = tokens[at];
    const bool inHeader = !list.empty() && list.back().kind == Statement::header;
    if (token.is("{") && inHeader && list.back().end == 0) {
      list.back().end = at + 1;
      continue;
    }
    if (token.kind == TokenKind::comment)
      continue;
    // An op may follow the '{' of its body, or the '=' in front of it, on one line.
    const bool behindBrace = at > 0 && tokens[at - 1].is("{");
    if (!token.first && !behindBrace && !token.is("}"))
      continue;
    Statement next{Statement::op, at, 0, 0, {}};
    const bool before = at + 1 < tokens.size(); // another token follows
    // In a header that lacks its '{' an op may begin, but not where a parameter has its name, or an image its mean.
    const bool inOpenHeader = inHeader && list.back().end == 0;
    const bool ofHeader =
        inOpenHeader && (token.is("mean") || (before && is_contained({">", ")", "]"}, tokens[at + 1].text)));
    if (size_t behind = behindResults(tokens, at, next.results); behind != at) {
      next.word = behind;
    } else if (token.is("}")) {
      next.kind = Statement::close;
    } else if (token.is("moe.layer") || token.is("moe.model") || token.is("moe.objective")) {
      next.kind = Statement::header;
      next.word = at;
    } else if (token.kind == TokenKind::word && !ofHeader && isOp(token.text) &&
               !(before && llvm::is_contained({"=", ",", "*", ":"}, tokens[at + 1].text))) {
      next.kind = token.is("entry") ? Statement::entry : Statement::op;
      next.word = at;
    } else {
      continue;
    }
    if (!list.empty() && list.back().end == 0)
      list.back().end = at;
    list.push_back(next);
  }
  for (Statement &each : list) {
    if (each.end == 0)
      each.end = tokens.size();
    // Comments behind it on lines of their own are those of what follows.
    while (each.end > each.begin + 1 && tokens[each.end - 1].kind == TokenKind::comment &&
           tokens[each.end - 1].first)
      --each.end;
    if (each.word == 0 && each.begin != 0)
      each.word = each.end;
    each.word = std::min(each.word, each.end);
  }
  return list;
}
