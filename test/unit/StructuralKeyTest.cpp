// What decides a group's kernels is in its key, and what does not is not: groups with equal keys are emitted once.
#include "passes/kernels/StructuralKey.h"
#include "mlir/Parser/Parser.h"
#include "test/unit/FlowCase.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::kernels;

namespace {

/// A group over two inputs and a parameter, in an entry of a kind.
std::string program(const std::string &body, const std::string &more = "",
                    const std::string &kind = "infer") {
  return "flow.program @p " + more + " { flow.entry @e " + kind + R"( {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %y = flow.input "y" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" constant(0.0) : tensor<4x4xf32>
    )" + body +
         "} }";
}

const std::string type = "tensor<?x4xf32, #flow.dims<[B, 4]>>";

std::string group(const std::string &operands, const std::string &ops, const std::string &yield = "%r") {
  const std::string results = yield.find(',') == std::string::npos ? type : "(" + type + ", " + type + ")";
  const std::string yielded = yield.find(',') == std::string::npos ? type : type + ", " + type;
  return "%g" + std::string(yield.find(',') == std::string::npos ? "" : ":2") + " = flow.group(" + operands +
         ") : (" + type + ", " + type + ") -> " + results + " {\n^bb0(%a: " + type + ", %b: " + type +
         "):\n" + ops + "\nflow.yield " + yield + " : " + yielded + "\n}\n";
}

struct Keyed {
  OwningOpRef<ModuleOp> module;
  std::optional<StructuralKey> key;
  bool operator==(const Keyed &other) const { return *key == *other.key; }
};

Keyed keyOf(const std::string &text, const GroupLayouts &layouts = {}) {
  Keyed keyed;
  keyed.module = parseSourceString<ModuleOp>(text, &moe::test::context());
  if (!keyed.module) {
    ADD_FAILURE() << text;
    return keyed;
  }
  keyed.module->walk([&](flow::GroupOp group) { keyed.key.emplace(group, layouts); });
  return keyed;
}

std::string binary(const std::string &op, const std::string &operands, const std::string &result = "%r") {
  return result + " = flow." + op + " " + operands + " : " + type + "\n";
}

} // namespace

TEST(StructuralKey, NamesPlacesAndWhatLiesOutsideAreNoPart) {
  const Keyed one = keyOf(program(group("%x, %y", binary("sub", "%a, %b"))));
  EXPECT_TRUE(one ==
              keyOf(program(group("%y, %x", binary("sub", "%a, %b"))))); // other values, of the same types
  EXPECT_TRUE(one == keyOf("\n\n" + program(group("%x, %y", binary("sub", "%a, %b")))));
  auto marked = [&](const std::string &mark) {
    return keyOf(program(group("%x, %y", "%u = flow.random uniform 3" + mark + " -> " + type + "\n" +
                                             binary("add", "%a, %u"))));
  };
  EXPECT_TRUE(marked("") == marked(" {flow.recomputed = 7 : i64}"));
}

TEST(StructuralKey, OpsAttributesConnectionsAndTypesArePart) {
  const Keyed one = keyOf(program(group("%x, %y", binary("sub", "%a, %b"))));
  EXPECT_FALSE(one == keyOf(program(group("%x, %y", binary("add", "%a, %b")))));
  EXPECT_FALSE(one == keyOf(program(group("%x, %y", binary("sub", "%b, %a")))));
  EXPECT_FALSE(one == keyOf(program(group("%x, %y", binary("sub", "%a, %a")))));
  EXPECT_FALSE(one ==
               keyOf(program(group("%x, %y", binary("sub", "%a, %b") + binary("exp", "%r", "%s"), "%s"))));
  auto random = [&](const std::string &stream) {
    return keyOf(program(group("%x, %y", "%u = flow.random uniform " + stream + " -> " + type + "\n" +
                                             binary("add", "%a, %u"))));
  };
  EXPECT_TRUE(random("3") == random("3"));
  EXPECT_FALSE(random("3") == random("4"));
  const std::string both = binary("sub", "%a, %b") + binary("exp", "%a", "%s");
  EXPECT_FALSE(keyOf(program(group("%x, %y", both, "%r, %s"))) ==
               keyOf(program(group("%x, %y", both, "%s, %r"))));
}

TEST(StructuralKey, LayoutsOfEveryOperandAndResultArePart) {
  const std::string text = program(group("%x, %y", binary("sub", "%a, %b")));
  const Keyed plain = keyOf(text);
  EXPECT_FALSE(plain == keyOf(text, {{{1, 0}}, {}}));
  EXPECT_FALSE(keyOf(text, {{{1, 0}, {}}, {}}) == keyOf(text, {{{}, {1, 0}}, {}}));
  EXPECT_FALSE(plain == keyOf(text, {{}, {{1, 0}}}));
  // A value that leaves twice has a layout for each result.
  const std::string twice = program(group("%x, %y", binary("sub", "%a, %b"), "%r, %r"));
  EXPECT_FALSE(keyOf(twice, {{}, {{}, {1, 0}}}) == keyOf(twice));
}

TEST(StructuralKey, ThePlannedBatchAndWhatAProductKnowsOfItsOperandsArePart) {
  const std::string body = group("%x, %y", binary("sub", "%a, %b"));
  EXPECT_FALSE(keyOf(program(body)) ==
               keyOf(program(body, "attributes {config = {\"batch-hint\" = \"infer=1x1\"}}")));
  auto product = [&](const std::string &weight, const std::string &kind) {
    return keyOf(program("%i = flow.input \"i\" : tensor<4x4xf32>\n%g = flow.group(%x, " + weight + ") : (" +
                             type + ", tensor<4x4xf32>) -> " + type + " {\n^bb0(%a: " + type +
                             ", %b: tensor<4x4xf32>):\n%r = flow.contract %a [0, 1], %b [1, 2] -> [0, 2] : " +
                             type + ", tensor<4x4xf32> -> " + type + "\nflow.yield %r : " + type + "\n}\n",
                         "", kind));
  };
  EXPECT_FALSE(product("%w", "infer") == product("%i", "infer")); // a weight is packed once
  EXPECT_TRUE(product("%w", "train") == product("%i", "train"));
}
