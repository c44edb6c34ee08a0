// The stream that moec prints through: what it escapes, and that a line costs what it is long.
#include "frontends/driver/Printable.h"
#include <gtest/gtest.h>

namespace {

std::string printed(llvm::function_ref<void(llvm::raw_ostream &)> write) {
  std::string text;
  llvm::raw_string_ostream to(text);
  {
    moe::PrintableStream stream(to);
    write(stream);
  }
  return text;
}

} // namespace

TEST(PrintableStream, escapesAcrossPieces) {
  EXPECT_EQ(printed([](llvm::raw_ostream &out) { out << "a\x1b" << "b\nc\td\n"; }), "a\\x1bb\nc\td\n");
  EXPECT_EQ(printed([](llvm::raw_ostream &out) { out << "\xc3" << "\xa4" << "\nrest"; }), "\u00e4\nrest");
}

// A caret below a long line comes a character at a time. Looking for the line's end in all of it each time took minutes.
TEST(PrintableStream, longLinesInPieces) {
  constexpr size_t length = 3'000'000;
  std::string text = printed([](llvm::raw_ostream &out) {
    for (size_t i = 0; i < length; ++i)
      out << ' ';
    out << "^\n";
  });
  EXPECT_EQ(text.size(), length + 2);
  EXPECT_EQ(text.substr(length), "^\n");
}
