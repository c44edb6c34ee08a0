#include "frontends/moe-lsp/Lines.h"
#include <algorithm>

using namespace llvm;
using namespace moe::lsp;

Lines::Lines(StringRef text) : text(text), begins{0} {
  for (size_t at = text.find_first_of("\n\r"); at != StringRef::npos;
       at = text.find_first_of("\n\r", at + 1)) {
    at += text.substr(at).starts_with("\r\n");
    begins.push_back(at + 1);
  }
}

size_t Lines::lineOf(size_t offset) const {
  return size_t(std::upper_bound(begins.begin(), begins.end(), offset) - begins.begin()) - 1;
}

StringRef Lines::line(size_t number) const {
  if (number >= begins.size())
    return text.take_back(0);
  return text.drop_front(begins[number]).take_until([](char c) { return c == '\n' || c == '\r'; });
}

/// How many bytes a character has whose first one it is, and how many units of UTF-16.
static size_t bytesOf(unsigned char first) {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}
static size_t unitsOf(unsigned char first) { return first < 0xf0 ? 1 : 2; }

size_t Lines::offset(llvm::lsp::Position position) const {
  if (position.line < 0)
    return 0;
  if (size_t(position.line) >= begins.size())
    return text.size();
  StringRef line = this->line(size_t(position.line));
  size_t at = 0;
  for (int left = position.character; left > 0 && at < line.size();) {
    left -= int(unitsOf(line[at]));
    at = std::min(line.size(), at + bytesOf(line[at]));
  }
  return begins[size_t(position.line)] + at;
}

size_t Lines::offset(unsigned line, unsigned column) const {
  if (line == 0 || line > begins.size())
    return line ? text.size() : 0;
  return begins[line - 1] + std::min<size_t>(this->line(line - 1).size(), column ? column - 1 : 0);
}

llvm::lsp::Position Lines::position(size_t offset) const {
  offset = std::min(offset, text.size());
  const size_t line = lineOf(offset);
  size_t units = 0;
  for (size_t at = begins[line]; at < offset; at += bytesOf(text[at]))
    units += unitsOf(text[at]);
  return {int(line), int(units)};
}

void moe::lsp::applyChanges(ArrayRef<llvm::lsp::TextDocumentContentChangeEvent> changes, std::string &text) {
  for (const auto &change : changes) {
    if (!change.range) {
      text = change.text;
      continue;
    }
    Lines lines(text);
    size_t begin = lines.offset(change.range->start), end = lines.offset(change.range->end);
    if (begin > end)
      std::swap(begin, end);
    text.replace(begin, end - begin, change.text);
  }
}
