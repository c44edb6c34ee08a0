// See TrainingProgram.h.
#include "test/unit/TrainingProgram.h"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace mlir;
using namespace flow;

TrainingProgram::TrainingProgram() {
  context->loadDialect<FlowDialect>();
  builder.setInsertionPointToStart(module->getBody());
  auto program = ProgramOp::create(builder, location, "test");
  builder.setInsertionPointToStart(&program.getBody().front());
  entry = EntryOp::create(builder, location, "train", EntryKind::train);
  builder.setInsertionPointToStart(&entry.getBody().front());
  bindings.setting.symbols = {/*D=*/2, /*N=*/3};
}

Value TrainingProgram::input(StringRef name, ArrayRef<Extent> extents) {
  return InputOp::create(builder, location, tensorType(extents, builder.getF32Type()), name);
}
Value TrainingProgram::labels(StringRef name, ArrayRef<Extent> extents) {
  return InputOp::create(builder, location, tensorType(extents, builder.getI32Type()), name);
}
Value TrainingProgram::parameter(StringRef path, ArrayRef<int64_t> shape) {
  auto init = InitAttr::get(context.get(), InitKind::normal, 0, 1);
  return ParameterOp::create(builder, location, RankedTensorType::get(shape, builder.getF32Type()), path,
                             init, false);
}
void TrainingProgram::output(StringRef name, Value value) {
  OutputOp::create(builder, location, name, value);
}

std::vector<ParameterOp> TrainingProgram::parameters() {
  auto ops = entry.getBody().getOps<ParameterOp>();
  return {ops.begin(), ops.end()};
}

std::vector<Value> TrainingProgram::gradients(Value loss) {
  SmallVector<Value> wrt;
  SmallVector<Type> types;
  for (ParameterOp parameter : parameters()) {
    wrt.push_back(parameter.getY());
    types.push_back(parameter.getY().getType());
  }
  auto grad = GradOp::create(builder, location, types, loss, wrt);
  return {grad.getGradients().begin(), grad.getGradients().end()};
}

void TrainingProgram::outputGradients(Value loss) {
  std::vector<Value> all = gradients(loss);
  for (auto [index, parameter] : llvm::enumerate(parameters()))
    output(("grad." + parameter.getPath()).str(), all[index]);
}

void TrainingProgram::bind(uint64_t seed, int64_t classes) {
  std::mt19937_64 random(seed);
  bindRandom(entry, bindings, random, classes);
}

void TrainingProgram::run(std::vector<std::unique_ptr<Pass>> passes) {
  PassManager manager(context.get());
  for (auto &pass : passes)
    manager.addPass(std::move(pass));
  ASSERT_TRUE(succeeded(manager.run(*module)));
}

Evaluation TrainingProgram::evaluate() {
  auto result = flow::evaluate(entry, bindings);
  EXPECT_TRUE(succeeded(result));
  return succeeded(result) ? *result : Evaluation();
}

int64_t TrainingProgram::count(StringRef op) {
  int64_t n = 0;
  entry.walk([&](Operation *each) { n += each->getName().getStringRef() == op; });
  return n;
}

double difference(const Array &expected, const Array &found) {
  if (expected.shape != found.shape)
    return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < expected.data.size(); ++i)
    largest =
        std::max(largest, std::fabs(expected.data[i] - found.data[i]) / (1 + std::fabs(expected.data[i])));
  return largest;
}

static void expectSameValues(const std::map<std::string, Array> &expected,
                             const std::map<std::string, Array> &found, double tolerance) {
  EXPECT_EQ(expected.size(), found.size());
  for (auto &[name, value] : expected) {
    auto other = found.find(name);
    if (other == found.end())
      ADD_FAILURE() << name << " is missing";
    else
      EXPECT_LE(difference(value, other->second), tolerance) << name;
  }
}

void expectSame(const Evaluation &expected, const Evaluation &found, double tolerance) {
  expectSameValues(expected.outputs, found.outputs, tolerance);
  expectSameValues(expected.assigned, found.assigned, tolerance);
}
