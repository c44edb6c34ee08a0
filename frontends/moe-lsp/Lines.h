// Places in a text: LSP counts lines from 0 and UTF-16 units, MLIR lines and bytes from 1, and everything here characters of the
// text from its beginning.
#pragma once
#include "llvm/Support/LSP/Protocol.h"
#include <string>
#include <vector>

namespace moe::lsp {

/// A line ends in '\n', in "\r\n" or in '\r'.
class Lines {
public:
  explicit Lines(llvm::StringRef text);
  /// Places outside of the text become the nearest inside.
  size_t offset(llvm::lsp::Position position) const;
  size_t offset(unsigned line, unsigned column) const;
  llvm::lsp::Position position(size_t offset) const;
  llvm::lsp::Range range(size_t begin, size_t end) const { return {position(begin), position(end)}; }
  llvm::lsp::Range range(llvm::StringRef part) const {
    const size_t begin = part.begin() - text.begin();
    return range(begin, begin + part.size());
  }
  /// The line of a place, from 0, and all of a line without its end.
  size_t lineOf(size_t offset) const;
  llvm::StringRef line(size_t number) const;
  size_t count() const { return begins.size(); }

private:
  llvm::StringRef text;
  std::vector<size_t> begins;
};

/// A document's text with a client's changes, in order.
void applyChanges(llvm::ArrayRef<llvm::lsp::TextDocumentContentChangeEvent> changes, std::string &text);

} // namespace moe::lsp
