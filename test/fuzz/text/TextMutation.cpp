#include "test/fuzz/text/TextMutation.h"
#include <algorithm>
#include <cctype>

namespace moe::test {
namespace {

bool inWord(char c) {
  return std::isalnum(uint8_t(c)) || c == '_' || c == '.' || c == '$' || uint8_t(c) >= 0x80;
}
bool isBlank(const std::string &token) { return std::isspace(uint8_t(token[0])); }

/// The places of tokens that are no blanks.
std::vector<size_t> solid(const std::vector<std::string> &tokens) {
  std::vector<size_t> places;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (!isBlank(tokens[i]))
      places.push_back(i);
  return places;
}

/// What a token is, for others to take its place: a number, a value, a layer or path, a word, or itself.
char kindOf(const std::string &token) {
  char c = token[0];
  return std::isdigit(uint8_t(c)) ? '0' : std::isalpha(uint8_t(c)) ? 'a' : c;
}

/// Numbers at limits, and characters that are not seen or belong to no token.
std::string oddity(Random &random) {
  static const char *const odd[] = {"0",
                                    "1",
                                    "-1",
                                    "2",
                                    "4096",
                                    "4097",
                                    "2147483647",
                                    "2147483648",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "0.0",
                                    "1e-45",
                                    "1e-46",
                                    "3.4e38",
                                    "3.5e38",
                                    "1e308",
                                    "1e309",
                                    "1e",
                                    "1e+",
                                    "0x10",
                                    ".5",
                                    "5.",
                                    "00",
                                    "-0",
                                    "-0.0",
                                    "\xc2\xa0",
                                    "\xe2\x80\x8b",
                                    "\xef\xbb\xbf",
                                    "\xe2\x80\xae",
                                    "\xc3\xa9",
                                    "\xf0\x9f\x98\x80",
                                    "\r",
                                    "\t",
                                    "\v",
                                    "\f",
                                    "\x1b",
                                    "\x7f",
                                    "\"",
                                    "\"0\"",
                                    "\"a b\"",
                                    "\"\\00\"",
                                    "\"\\ff\"",
                                    "//",
                                    "/*",
                                    "#",
                                    "#a",
                                    "!a",
                                    "^bb0",
                                    "%",
                                    "@",
                                    "%0#1",
                                    "@\"0\"",
                                    "@\"\"",
                                    "@\"a.b\"",
                                    "loc(unknown)",
                                    "{",
                                    "}",
                                    "{a = 1}",
                                    "->",
                                    "...",
                                    ";",
                                    "\\",
                                    "~",
                                    "`"};
  size_t kind = random.below(std::size(odd) + 4);
  if (kind < std::size(odd))
    return odd[kind];
  size_t length = size_t(1) << (4 + random.below(10));
  switch (kind - std::size(odd)) {
  case 0:
    return std::string(length, char('1' + random.below(9)));
  case 1:
    return "0." + std::string(length, '3');
  case 2:
    return std::string(length, 'n');
  default:
    return std::string(std::min<size_t>(length, 300), "([<{"[random.below(4)]);
  }
}

} // namespace

std::vector<std::string> tokensOf(std::string_view text) {
  std::vector<std::string> tokens;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    auto more = [&](auto &&is) {
      while (end < text.size() && is(text[end]))
        ++end;
    };
    char c = text[at], next = end < text.size() ? text[end] : '\0';
    if (std::isspace(uint8_t(c)))
      more([](char x) { return std::isspace(uint8_t(x)); });
    else if (c == '/' && next == '/')
      more([](char x) { return x != '\n'; });
    else if (c == '"' || (c == '@' && next == '"')) {
      end += c == '@';
      more([](char x) { return x != '"' && x != '\n'; });
      end += end < text.size() && text[end] == '"';
    } else if (inWord(c) || ((c == '%' || c == '@' || c == '#' || c == '!') && inWord(next)))
      more(inWord);
    tokens.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return tokens;
}

std::string mutated(std::string_view text, const std::vector<std::string> &words, Random &random) {
  std::vector<std::string> tokens = tokensOf(text);
  for (size_t edits = 1 + random.below(2) * random.below(3); edits; --edits) {
    std::vector<size_t> places = solid(tokens);
    if (places.empty())
      break;
    size_t at = places[random.below(places.size())], other = places[random.below(places.size())];
    auto where = [&](size_t i) { return tokens.begin() + std::ptrdiff_t(i); };
    // Half of the edits keep the grammar, so that what is behind the parser sees them.
    std::vector<size_t> alike;
    if (random.below(2))
      for (size_t place : places)
        if (kindOf(tokens[place]) == kindOf(tokens[at]) && tokens[place] != tokens[at])
          alike.push_back(place);
    if (!alike.empty()) {
      other = alike[random.below(alike.size())];
      if (random.below(2))
        tokens[at] = std::string(tokens[other]);
      else
        std::swap(tokens[at], tokens[other]);
      continue;
    }
    switch (random.below(9)) {
    case 0:
      tokens.erase(where(at));
      break;
    case 1:
      tokens.insert(where(at), {tokens[at], " "});
      break;
    case 2:
      std::swap(tokens[at], tokens[other]);
      break;
    case 3: // by a token of the same text: names fit there
      tokens[at] = std::string(tokens[other]);
      break;
    case 4:
      tokens[at] = words[random.below(words.size())];
      break;
    case 5:
      tokens.insert(where(at), {words[random.below(words.size())], " "});
      break;
    case 6:
      tokens[at] = oddity(random);
      break;
    case 7:
      tokens.insert(where(at), oddity(random));
      break;
    default: { // a line of the text goes, or moves to another place
      std::string all;
      for (const std::string &token : tokens)
        all += token;
      std::vector<std::string> lines(1);
      for (char c : all) {
        lines.back() += c;
        if (c == '\n')
          lines.emplace_back();
      }
      size_t from = random.below(lines.size());
      std::string line = lines[from];
      if (random.below(2))
        lines.erase(lines.begin() + std::ptrdiff_t(from));
      if (random.below(2))
        lines.insert(lines.begin() + std::ptrdiff_t(random.below(lines.size() + 1)), line);
      all.clear();
      for (const std::string &each : lines)
        all += each;
      tokens = tokensOf(all);
    }
    }
  }
  std::string result;
  for (const std::string &token : tokens)
    result += token;
  return result;
}

} // namespace moe::test
