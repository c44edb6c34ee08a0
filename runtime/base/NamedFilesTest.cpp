// `name=@file` arguments: their order, and each way to be wrong; labels in a file.
#include "runtime/base/NamedFiles.h"

#include <cmath>
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
  for (const char *text : {"image=a.npy", "=@a.npy", "image=@"})
    EXPECT_EQ(refused({text}, Code::usage), std::string("--input ") + text + ": expected name=@file");
  for (const char *text : {"a.npy", "image"})
    EXPECT_EQ(refused({text}, Code::usage),
              std::string("--input ") + text + ": expected name=@file, as in image=@" + text);
  EXPECT_EQ(refused({""}, Code::usage), "--input : expected name=@file, as in image=@FILE");
  EXPECT_EQ(refused({"imgae=@a.npy"}, Code::invalid_input),
            "entry 'main' has no input 'imgae'; did you mean 'image'?");
  EXPECT_EQ(refused({"q=@a.npy"}, Code::invalid_input), "entry 'main' has no input 'q'; known: image, label");
  EXPECT_EQ(refused({"image=@a.npy", "label=@l.npy", "image=@b.npy"}, Code::usage),
            "expected one file for input 'image', found a.npy and b.npy");
}

TEST(NamedFiles, Labels) {
  NamedFile file{"label", "l.npy"};
  EXPECT_TRUE(checkLabels(file, std::vector<double>{0, 9, -1, -7}, 10).ok());
  EXPECT_TRUE(checkLabels(file, std::vector<double>{}, 10).ok());
  Status status = checkLabels(file, std::vector<double>{0, 9, 10, 11}, 10);
  EXPECT_EQ(status.code(), Code::invalid_input);
  EXPECT_EQ(status.message(),
            "l.npy: expected labels from 0 to 9 for input 'label', since there are 10 classes, "
            "or negative ones where they are unknown, found 10 in row 2");
  EXPECT_FALSE(checkLabels(file, std::vector<double>{2.5}, 10).ok());
  EXPECT_FALSE(checkLabels(file, std::vector<double>{NAN}, 10).ok());
  EXPECT_FALSE(checkLabels(file, std::vector<double>{INFINITY}, 10).ok());
}

} // namespace
} // namespace moert
