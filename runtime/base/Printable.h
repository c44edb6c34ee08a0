// Texts of users on their way to a terminal. A file's names, a recipe's values and a path may hold any bytes,
// and a terminal obeys some of them: what moec and moert print goes through here once, at their edge. JSON,
// results and the texts of programs are data and stay as they are. Header only, as Process.h is.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace moert {

/// The length of the character of UTF-8 at the begin of `text`, and which it is; 0: none is there.
inline size_t utf8Length(std::string_view text, uint32_t *character = nullptr) {
  auto at = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : 0; };
  uint8_t first = at(0);
  if (character)
    *character = first;
  if (first < 0x80)
    return text.empty() ? 0 : 1;
  if (first < 0xc0 || first >= 0xf8)
    return 0;
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  uint32_t code = first & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80)
      return 0;
    code = code << 6 | (at(i) & 0x3f);
  }
  constexpr uint32_t least[] = {0x80, 0x800, 0x10000};
  if (character)
    *character = code;
  bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < least[length - 2] || code > 0x10ffff || surrogate ? 0 : length;
}

/// The same; 0 also for what terminals obey (all below a blank but for tabs and line breaks, and U+007F to
/// U+009F).
inline size_t printableLength(std::string_view text) {
  uint32_t code = 0;
  size_t length = utf8Length(text, &code);
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0) ? 0 : length;
}

/// The text with every other byte as \x1b; of one line, tabs and line breaks as well.
inline std::string printable(std::string_view text, bool line = false) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t length = line && (text[i] == '\n' || text[i] == '\t') ? 0 : printableLength(text.substr(i));
    if (length) {
      out += text.substr(i, length);
      i += length;
      continue;
    }
    char escape[8];
    snprintf(escape, sizeof escape, "\\x%02x", unsigned(uint8_t(text[i++])));
    out += escape;
  }
  return out;
}

/// Whether a text is of one line and has nothing to escape: what programs hold, and keys of JSON.
inline bool isPlain(std::string_view text) {
  for (size_t i = 0, length; i < text.size(); i += length) {
    length = text[i] == '\n' || text[i] == '\t' ? 0 : printableLength(text.substr(i));
    if (!length)
      return false;
  }
  return true;
}

/// What a message shows of a text that somebody gave: enough to find it by.
inline std::string brief(const std::string &text, size_t shown = 80) {
  if (text.size() <= shown)
    return text;
  size_t end = shown;
  while (end && (text[end] & 0xC0) == 0x80) // not within a character
    --end;
  return text.substr(0, end) + "...";
}

/// What a message shows of a name that a file gives, on one line.
inline std::string shownName(std::string_view name) { return brief(printable(name, /*line=*/true), 200); }

/// Prints a text for people.
inline void print(FILE *to, std::string_view text) {
  std::string shown = printable(text);
  fwrite(shown.data(), 1, shown.size(), to);
}

} // namespace moert
