// `name=@file` arguments: their order, and each way to be wrong.
#include "runtime/base/NamedFiles.h"

#include <gtest/gtest.h>

namespace moert {
namespace {

const std::vector<std::string> kNames{"image", "label"};

std::string refused(std::vector<std::string> arguments, Code code) {
  auto files = namedFiles(arguments, "input", "main", kNames);
  EXPECT_FALSE(files.ok());
  if (files.ok())
    return "";
  EXPECT_EQ(files.status().code(), code);
  return files.status().message();
}

TEST(NamedFiles, InOrder) {
  std::vector<std::string> arguments{"label=@b=@c.npy", "image=@a.npy"};
  auto files = namedFiles(arguments, "input", "main", kNames);
  ASSERT_TRUE(files.ok());
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].name, "label");
  EXPECT_EQ((*files)[0].path, "b=@c.npy");
  EXPECT_EQ((*files)[1].path, "a.npy");
}

TEST(NamedFiles, Wrong) {
  for (const char *text : {"", "image", "image=a.npy", "=@a.npy", "image=@"})
    EXPECT_EQ(refused({text}, Code::usage), std::string("--input ") + text + ": expected name=@file");
  EXPECT_EQ(refused({"imgae=@a.npy"}, Code::invalid_input),
            "entry 'main' has no input 'imgae'; did you mean 'image'?");
  EXPECT_EQ(refused({"q=@a.npy"}, Code::invalid_input), "entry 'main' has no input 'q'; known: image, label");
  EXPECT_EQ(refused({"image=@a.npy", "label=@l.npy", "image=@b.npy"}, Code::usage),
            "expected one file for input 'image', found a.npy and b.npy");
}

} // namespace
} // namespace moert
