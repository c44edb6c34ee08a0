// Which characters a model's text may not hold, because nobody would see them: the first and the last of each of
// Unicode's ranges of such characters, and their neighbours, which are seen.
#include "passes/language/CheckText.h"
#include "llvm/Support/ConvertUTF.h"
#include <gtest/gtest.h>

namespace {

std::string utf8(uint32_t character) {
  char bytes[8], *end = bytes;
  EXPECT_TRUE(llvm::ConvertCodePointToUTF8(character, end));
  return std::string(bytes, end);
}
bool isRefused(uint32_t character) {
  return moe::findFault("%y = relu" + utf8(character) + "%x").has_value();
}

} // namespace

TEST(CheckText, emptyNames) {
  auto fault = moe::findFault("module @\"\" {\n}");
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->at, 7u);
  EXPECT_NE(fault->message.find("expected a name behind '@'"), std::string::npos) << fault->message;
  EXPECT_FALSE(moe::findFault("module @\"a\" {\n}").has_value());
}

TEST(CheckText, invisibleCharacters) {
  const std::pair<uint32_t, uint32_t> ranges[] = {
      {0x00a0, 0x00a0}, {0x00ad, 0x00ad}, {0x034f, 0x034f}, {0x061c, 0x061c},  {0x115f, 0x1160},
      {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},  {0x205f, 0x2064},
      {0x2066, 0x206f}, {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},  {0xfe00, 0xfe0f},
      {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
  for (auto [first, last] : ranges) {
    for (uint32_t character = first; character <= last; ++character)
      EXPECT_TRUE(isRefused(character)) << std::hex << character;
    EXPECT_FALSE(isRefused(first - 1)) << std::hex << first - 1;
    EXPECT_FALSE(isRefused(last + 1)) << std::hex << last + 1;
  }
}
