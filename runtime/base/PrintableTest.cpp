// What of a user's text reaches a terminal.
#include "runtime/base/Printable.h"
#include "runtime/train/CompileCommand.h"

#include <gtest/gtest.h>

using namespace moert;
using namespace std::string_literals;

TEST(Printable, KeepsTextAndEscapesTheRest) {
  for (const char *kept :
       {"", "plain, with\ttabs\nand lines", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0 \\x1b",
        "\xef\xbf\xbf\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(printable(kept), kept);
  EXPECT_FALSE(isPlain("a\tb") || isPlain("a\nb"));
  const std::pair<std::string, std::string> escaped[] = {
      {"\x1b[2J\r\a\x7f", "\\x1b[2J\\x0d\\x07\\x7f"},
      {"a\0b"s, "a\\x00b"},
      {"\xc2\x9b"s + "2J", "\\xc2\\x9b2J"}, // the one character that is ESC and [
      {"\xff\x80", "\\xff\\x80"},
      {"\xc3", "\\xc3"},
      {"\xe2\x82", "\\xe2\\x82"},
      {"\xe2\x82z", "\\xe2\\x82z"},
      {"\xc0\x9b", "\\xc0\\x9b"},
      {"\xe0\x80\x9b", "\\xe0\\x80\\x9b"},
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
      {"\xf0\x80\x80\x9b", "\\xf0\\x80\\x80\\x9b"},
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
      {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"}};
  for (auto &[text, shown] : escaped) {
    EXPECT_EQ(printable(text), shown);
    EXPECT_EQ(printable(shown), shown);
    EXPECT_FALSE(isPlain(text));
    EXPECT_TRUE(isPlain(shown));
  }
  // Nothing that is printed holds a byte that is obeyed, whatever the bytes are.
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second)
      for (char c : printable(std::string{char(first), char(second), 'x'}))
        EXPECT_TRUE((uint8_t(c) >= 0x20 && c != 0x7f) || c == '\n' || c == '\t') << first << " " << second;
}

// What is printed to be pasted names the same file.
TEST(Printable, ShellWords) {
  EXPECT_EQ(shellWord("runs/hmoe.1"), "runs/hmoe.1");
  EXPECT_EQ(shellWord("it's in"), "'it'\\''s in'");
  EXPECT_EQ(shellWord("a\tb\nc"), "$'a\\x09b\\x0ac'");
  EXPECT_EQ(shellWord("\xc3\xa9"), "'\xc3\xa9'");
  EXPECT_EQ(shellWord("it's\x1b[2J \\ \xc3\xa9\xff"), "$'it\\'s\\x1b[2J \\\\ \xc3\xa9\\xff'");
}
