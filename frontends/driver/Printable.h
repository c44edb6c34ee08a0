// The stream through which moec prints for people: what a terminal would obey is escaped
// (runtime/base/Printable.h), and the colours that LLVM gives diagnostics pass.
#pragma once
#include "runtime/base/Printable.h"
#include "llvm/Support/raw_ostream.h"

namespace moe {

/// Escapes a line at a time, since a character may come in parts.
class PrintableStream final : public llvm::raw_ostream {
public:
  explicit PrintableStream(llvm::raw_ostream &to) : raw_ostream(/*unbuffered=*/true), to(to) {}
  ~PrintableStream() override { pass(line.size()); }

  raw_ostream &changeColor(Colors color, bool bold, bool background) override {
    pass(line.size());
    to.changeColor(color, bold, background);
    return *this;
  }
  raw_ostream &resetColor() override {
    pass(line.size());
    to.resetColor();
    return *this;
  }
  bool is_displayed() const override { return to.is_displayed(); }
  bool has_colors() const override { return to.has_colors(); }

private:
  void write_impl(const char *text, size_t size) override {
    // The end of a line is looked for in what is new: a caret below a long line comes a character at a time.
    const size_t before = line.size(), end = std::string_view(text, size).rfind('\n');
    line.append(text, size);
    if (end != std::string_view::npos)
      pass(before + end + 1);
  }
  uint64_t current_pos() const override { return 0; }
  void pass(size_t size) {
    to << moert::printable(std::string_view(line).substr(0, size));
    line.erase(0, size);
  }

  llvm::raw_ostream &to;
  std::string line;
};

} // namespace moe
