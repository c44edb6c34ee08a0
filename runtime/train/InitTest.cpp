// Pretrained weights without a compiler: patterns of paths, grids of position tables, conversions, and a file that shrinks
// while it is looked at. Whole loads are held against timm in test/end-to-end.
#include "runtime/base/MappedFile.h"
#include "runtime/data/TestSet.h"
#include "runtime/train/InitLoad.h"
#include "runtime/train/PathPattern.h"
#include "test/support/TestProgram.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <regex>
#include <unistd.h>

using namespace moert;

namespace {

std::string matched(std::string_view pattern, std::string_view path) {
  auto parts = matchPath(pattern, path);
  if (!parts)
    return "no";
  std::string text;
  for (const std::string &part : *parts)
    text += "<" + part + ">";
  return text;
}

std::string resizeText(int64_t from, int64_t to, int64_t height = 1, int64_t width = 1) {
  auto size = tableResize(from, to, height, width);
  return size ? concat(size->prefix, " + ", size->from.rows, "x", size->from.columns, " to ", size->to.rows,
                       "x", size->to.columns)
              : "none";
}

using Weights = std::vector<std::pair<std::string, std::vector<int64_t>>>;

std::shared_ptr<const Program> programOf(const Weights &parameters) {
  test::TestProgram made = test::testProgram();
  for (auto &[path, shape] : parameters)
    test::addParameter(made, path, shape);
  auto program = Program::verify(made.encode(), "p.moe");
  EXPECT_TRUE(program.ok()) << program.status().message();
  return *program;
}

// A file of F32 whose values count up from 1 through all tensors.
std::vector<float> writeWeights(const std::string &path, const Weights &weights) {
  std::vector<float> values;
  std::vector<NamedTensor> tensors;
  size_t total = 0;
  auto elements = [](const std::vector<int64_t> &shape) {
    size_t count = 1;
    for (int64_t size : shape)
      count *= size_t(size);
    return count;
  };
  for (auto &[name, shape] : weights)
    total += elements(shape);
  for (size_t i = 0; i < total; ++i)
    values.push_back(float(i + 1));
  size_t at = 0;
  for (auto &[name, shape] : weights) {
    tensors.push_back(
        {name, fb::ElementType::f32, shape, std::as_bytes(std::span(values).subspan(at, elements(shape)))});
    at += elements(shape);
  }
  EXPECT_TRUE(writeSafetensors(path, tensors).ok());
  return values;
}

std::string planText(const Program &program, const std::string &path, const Recipe &recipe = {}) {
  auto file = InitFile::open(path, program, recipe);
  return file.ok() ? file->describe(program) : file.status().message();
}

// Every program here has it besides.
const std::pair<std::string, std::vector<int64_t>> kFirst{"fc.weight", {3}};

} // namespace

TEST(PathPattern, StarsStandForPartsOfPaths) {
  EXPECT_EQ(matched("blocks.*.mlp.experts.**", "blocks.8.mlp.experts.fc1.weight"), "<8><fc1.weight>");
  EXPECT_EQ(matched("blocks.*.weight", "blocks.8.mlp.weight"), "no");
  EXPECT_EQ(matched("**.weight", "blocks.8.mlp.weight"), "<blocks.8.mlp>");
  EXPECT_EQ(matched("**.gate.**", "a.gate.b.gate.c"), "<a><b.gate.c>"); // as little as it can
  EXPECT_EQ(matched("**.gate.*", "a.gate.b.gate.c"), "<a.gate.b><c>");
  EXPECT_EQ(matched("*", ""), "<>");
  EXPECT_EQ(matched("**", "a.b"), "<a.b>");
  EXPECT_EQ(matched("*", "a.b"), "no");
  EXPECT_EQ(matched("a*c*", "abc.d"), "no");
  EXPECT_EQ(matched("a*c*", "abcbcd"), "<b><bcd>");
  EXPECT_EQ(matched("a.b", "a.b"), "");
  EXPECT_EQ(matched("a.b", "a.bc"), "no");
  EXPECT_EQ(fillStars("x.*.y.**", {"8", "a.b"}), "x.8.y.a.b");
  EXPECT_EQ(fillStars("plain", {"8"}), "plain");
  EXPECT_EQ(starsOf("a.***.*"), 3u); // two stars, and one
  // Where nothing fits, no place is tried twice.
  EXPECT_EQ(matched("**a**a**a**a**a**a**ab", std::string(4000, 'a')), "no");
}

TEST(PathPattern, MatchesAsRegularExpressionsDo) {
  std::mt19937 random(5);
  auto text = [&](const char *letters, size_t most) {
    std::string out;
    for (size_t left = random() % (most + 1); left--;)
      out += letters[random() % strlen(letters)];
    return out;
  };
  size_t matches = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string pattern = text("ab.**", 7), path = text("ab.", 7);
    std::string expression;
    for (size_t at = 0; at < pattern.size(); ++at) {
      const bool star = pattern[at] == '*', two = star && pattern.substr(at, 2) == "**";
      expression += two                  ? "(.*?)"
                    : star               ? "([^.]*?)"
                    : pattern[at] == '.' ? "[.]"
                                         : std::string(1, pattern[at]);
      at += two;
    }
    std::smatch expected;
    const bool fits = std::regex_match(path, expected, std::regex(expression));
    auto found = matchPath(pattern, path);
    ASSERT_EQ(found.has_value(), fits) << pattern << " " << path;
    for (size_t star = 0; fits && star < found->size(); ++star)
      EXPECT_EQ((*found)[star], expected[star + 1].str()) << pattern << " " << path;
    matches += fits;
  }
  EXPECT_GT(matches, 500u);
}

TEST(PositionTable, GridsFollowFromTheNumberOfTokens) {
  EXPECT_EQ(resizeText(197, 577), "1 + 14x14 to 24x24");
  EXPECT_EQ(resizeText(1370, 257), "1 + 37x37 to 16x16");
  EXPECT_EQ(resizeText(196, 256), "0 + 14x14 to 16x16");
  EXPECT_EQ(resizeText(198, 578), "2 + 14x14 to 24x24"); // and a token for distillation
  EXPECT_EQ(resizeText(1374, 261), "5 + 37x37 to 16x16");
  EXPECT_EQ(resizeText(197, 1 + 14 * 28, 224, 448), "1 + 14x14 to 14x28");
  EXPECT_EQ(resizeText(197, 1 + 12 * 9, 192, 144), "1 + 14x14 to 12x9");
  EXPECT_EQ(resizeText(196, 257), "none"); // a class token on one side only
  EXPECT_EQ(resizeText(197, 256), "none");
  EXPECT_EQ(resizeText(197, 64), "none"); // 28 more tokens would fit
  EXPECT_EQ(resizeText(197, 1 + 14 * 28), "none");
  EXPECT_EQ(resizeText(0, 4), "none");
  EXPECT_EQ(resizeText(4, 0), "none");
  EXPECT_EQ(resizeText(INT64_MAX, INT64_MAX, INT64_MAX, 1), "none");
}

// What torch.nn.functional.interpolate(mode="bicubic", antialias=True) makes of 4 x 4 numbers.
TEST(PositionTable, ValuesAreTorchs) {
  std::vector<float> in(1 + 16), small(1 + 4), large(1 + 36), same(1 + 16);
  in[0] = 7;
  for (int i = 0; i < 16; ++i)
    in[size_t(i) + 1] = float(i * i % 11);
  resizeTable({1, {4, 4}, {2, 2}}, 1, in, small);
  resizeTable({1, {4, 4}, {6, 6}}, 1, in, large);
  resizeTable({1, {4, 4}, {4, 4}}, 1, in, same);
  EXPECT_EQ(same, in);
  const std::vector<float> expected = {2.649836f, 4.369698f, 4.689383f, 3.659227f};
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(small[i + 1], expected[i], 1e-5) << i;
  const std::vector<float> row = {-0.4077206f, 0.04644026f, 1.262427f, 3.394006f, 7.005418f, 9.60509f};
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(large[i + 1], row[i], 1e-5) << i;
  EXPECT_EQ(small[0], 7);
  EXPECT_EQ(large[0], 7);
}

TEST(Init, ConvertsEveryValueOfF16) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = uint16_t(bits);
    float found;
    toFloats("F16", std::as_bytes(std::span(&half, 1)), &found);
    const int exponent = int(bits >> 10 & 0x1f), fraction = int(bits & 0x3ff);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 0x1f && fraction) {
      EXPECT_TRUE(std::isnan(found)) << bits;
      continue;
    }
    const double expected = exponent == 0x1f ? sign * HUGE_VAL
                            : exponent == 0  ? sign * std::ldexp(fraction, -24)
                                             : sign * std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(double(found), expected) << bits;
    EXPECT_EQ(std::signbit(found), sign < 0) << bits;
  }
}

TEST(Init, FillsByNamesAndTheMap) {
  TestFolder folder;
  const std::string path = folder.file("w.safetensors");
  auto program = programOf({{"blocks.0.mlp.experts.fc.weight", {2, 2, 3}},
                            {"blocks.1.mlp.experts.fc.weight", {2, 2, 3}},
                            {"blocks.2.mlp.experts.fc.weight", {2, 2, 3}},
                            {"blocks.0.mlp.gate.weight", {2, 3}},
                            {"head.weight", {4, 3}}});
  const Weights file = {kFirst,
                        {"blocks.0.mlp.fc.weight", {2, 3}},
                        {"blocks.1.mlp.fc.weight", {2, 3}},
                        {"blocks.2.mlp.fc.weight", {2, 3}},
                        {"head.weight", {9, 3}},
                        {"other", {}}};
  writeWeights(path, file);
  EXPECT_EQ(planText(*program, path),
            "\n  loaded (1):\n    fc.weight [3]\n  copied to each expert (3):\n"
            "    blocks.{0-2}.mlp.experts.fc.weight from blocks.{0-2}.mlp.fc.weight [2, 2, 3]\n"
            "  fresh: they keep their initial values (2):\n    blocks.0.mlp.gate.weight [2, 3]\n"
            "    head.weight [4, 3], not the file's [9, 3]\n"
            "  skipped: no parameter takes them (2):\n    head.weight [9, 3]\n    other []");
  auto states = *States::create(program, *openCpu(1), 3);
  auto loaded = InitFile::open(path, *program, {})->load(*states);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->note.file, path);
  EXPECT_EQ(loaded->note.digest.size(), 64u);
  HostStates host = *states->host();
  auto values = [&](const char *name) { return host.tensor(*program->state(name)).as<float>(); };
  EXPECT_EQ(values("fc.weight")[2], 3);
  for (size_t i = 0; i < 12; ++i)
    EXPECT_EQ(values("blocks.1.mlp.experts.fc.weight")[i], float(10 + i % 6));
  EXPECT_EQ(values("head.weight")[5], 0);

  // A prefix of all names, with what is done without a map; a line for one path outranks it.
  Weights prefixed;
  for (auto &[name, shape] : file)
    prefixed.push_back({"model." + name, shape});
  writeWeights(path, prefixed);
  EXPECT_NE(planText(*program, path).find("'fc.weight' is missing; nearest there: 'model.fc.weight'"),
            std::string::npos)
      << planText(*program, path);
  Recipe recipe;
  recipe.initMap = {{"**", "model.**", ""},
                    {"blocks.1.mlp.experts.fc.weight", "model.blocks.0.mlp.fc.weight", ""}};
  std::string text = planText(*program, path, recipe);
  EXPECT_NE(text.find("blocks.{0,2}.mlp.experts.fc.weight from model.blocks.{0,2}.mlp.fc.weight [2, 2, 3]"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("blocks.1.mlp.experts.fc.weight from model.blocks.0.mlp.fc.weight [2, 2, 3]"),
            std::string::npos)
      << text;
  std::swap(recipe.initMap[0], recipe.initMap[1]);
  EXPECT_EQ(planText(*program, path, recipe), text);
}

// Of experts of several sizes, those that have the dense layer's are filled; the plan says which have not.
TEST(Init, FillsTheExpertsWhoseShapesAgree) {
  TestFolder folder;
  const std::string path = folder.file("w.safetensors");
  auto program = programOf({{"blocks.0.mlp.experts.0.fc.weight", {2, 2, 3}},
                            {"blocks.0.mlp.experts.1.fc.weight", {1, 4, 3}},
                            {"blocks.1.mlp.experts.0.fc.weight", {2, 4, 3}},
                            {"blocks.1.mlp.experts.1.fc.weight", {1, 2, 3}}});
  const std::string wanted = "  copied to each expert (2):\n    blocks.0.mlp.experts.0.fc.weight from "
                             "%blocks.0.mlp.fc.weight [2, 2, 3]\n"
                             "    blocks.1.mlp.experts.1.fc.weight from %blocks.1.mlp.fc.weight [1, 2, 3]\n"
                             "  fresh: they keep their initial values (2):\n"
                             "    blocks.0.mlp.experts.1.fc.weight [1, 4, 3], not the file's [2, 3]\n"
                             "    blocks.1.mlp.experts.0.fc.weight [2, 4, 3], not the file's [2, 3]";
  auto withPrefix = [&](const std::string &prefix) {
    std::string text;
    for (char c : wanted)
      text += c == '%' ? prefix : std::string(1, c);
    return text;
  };
  writeWeights(path, {kFirst, {"blocks.0.mlp.fc.weight", {2, 3}}, {"blocks.1.mlp.fc.weight", {2, 3}}});
  EXPECT_EQ(planText(*program, path), "\n  loaded (1):\n    fc.weight [3]\n" + withPrefix(""));
  // With a line of the map, which need not speak of the numbers.
  writeWeights(path,
               {kFirst, {"vit.blocks.0.mlp.fc.weight", {2, 3}}, {"vit.blocks.1.mlp.fc.weight", {2, 3}}});
  Recipe recipe;
  for (const char *pattern : {"blocks.*.mlp.experts.**", "blocks.*.mlp.experts.fc.**"}) {
    recipe.initMap = {
        {pattern,
         pattern == std::string("blocks.*.mlp.experts.**") ? "vit.blocks.*.mlp.**" : "vit.blocks.*.mlp.fc.**",
         ""}};
    EXPECT_EQ(planText(*program, path, recipe), "\n  loaded (1):\n    fc.weight [3]\n" + withPrefix("vit."));
  }
  // Another rank is no expert of another size: it is refused.
  writeWeights(path, {kFirst, {"blocks.0.mlp.fc.weight", {3}}, {"blocks.1.mlp.fc.weight", {2, 3}}});
  EXPECT_NE(planText(*program, path)
                .find("'blocks.0.mlp.experts.0.fc.weight' from 'blocks.0.mlp.fc.weight': "
                      "expected [2, 2, 3], found [3]"),
            std::string::npos)
      << planText(*program, path);
}

TEST(Init, AFileOfAnotherKindNamesWhatItHas) {
  TestFolder folder;
  const std::string path = folder.file("w.safetensors");
  auto program = programOf({{"cls_token", {1, 1, 3}}});
  writeWeights(path,
               {{"layer1.0.conv2.kernel", {3}}, {"layer1.0.bn2.running_mean", {3}}, {"a", {}}, {"b", {}}});
  EXPECT_EQ(
      planText(*program, path),
      path + ": expected weights of the program p.moe, found those of another model: 2 missing, 0 of another "
             "shape or type\n"
             "  'fc.weight' is missing\n  'cls_token' is missing\n"
             "the file has 'layer1.0.conv2.kernel', 'layer1.0.bn2.running_mean', 'a' and 1 more\n"
             "[init.map] of the recipe gives other names, init.fresh lists what may keep its initial values; "
             "docs/recipe.md explains both");
}

// Somebody cuts a file short while it is looked at: the system's signal for that becomes a failure.
TEST(Init, AFileThatShrinksIsAnError) {
  TestFolder folder;
  const std::string path = folder.file("w.safetensors");
  auto program = programOf({{"cls_token", {64, 1024}}});
  writeWeights(path, {kFirst, {"cls_token", {64, 1024}}});
  auto states = *States::create(program, *openCpu(1), 3);
  auto file = InitFile::open(path, *program, {});
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->load(*states).ok());
  ASSERT_EQ(truncate(path.c_str(), 40000), 0);
  auto loaded = file->load(*states);
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.status().message().find("found 40000 by now"), std::string::npos)
      << loaded.status().message();

  writeWeights(path, {kFirst, {"cls_token", {64, 1024}}});
  auto open = OpenFile::open(path);
  auto map = MappedFile::map(*open);
  ASSERT_TRUE(map.ok()) << map.status().message();
  size_t pieces = 0, seen = 0;
  auto count = [&](std::span<const std::byte> bytes) {
    ++pieces;
    for (std::byte byte : bytes)
      seen += byte != std::byte(0);
  };
  EXPECT_TRUE(map->pieces(0, map->size(), count).ok());
  EXPECT_GT(seen, 64 * 1024u);
  ASSERT_EQ(truncate(path.c_str(), 10), 0);
  Status cut = map->pieces(0, map->size(), count);
  EXPECT_NE(cut.message().find("found fewer by now"), std::string::npos) << cut.message();
  EXPECT_TRUE(map->pieces(0, 8, count).ok()); // what is there can still be looked at
}
