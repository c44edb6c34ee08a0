#include "frontends/check/OpCase.h"
#include "mlir/Pass/PassManager.h"
#include "passes/training/Training.h"

using namespace mlir;

namespace moe {

std::vector<RegisteredOperationName> computingOps(MLIRContext &context, ArrayRef<std::string> dialects) {
  std::vector<RegisteredOperationName> ops;
  for (RegisteredOperationName name : context.getRegisteredOperations())
    if (llvm::is_contained(dialects, name.getDialectNamespace()) &&
        name.hasInterface<flow::ComputeInterface>())
      ops.push_back(name);
  llvm::sort(ops, [](auto a, auto b) { return a.getStringRef() < b.getStringRef(); });
  return ops;
}

OpCase::OpCase(MLIRContext &context, flow::EntryKind kind) {
  OpBuilder builder(&context);
  Location location = builder.getUnknownLoc();
  module = ModuleOp::create(location);
  builder.setInsertionPointToEnd(module->getBody());
  auto program = flow::ProgramOp::create(builder, location, "test");
  builder.setInsertionPointToEnd(&program.getBody().front());
  entry = flow::EntryOp::create(builder, location, "main", kind);
}

Value OpCase::output(StringRef name) {
  for (auto op : entry.getBody().getOps<flow::OutputOp>())
    if (op.getName() == name)
      return op.getX();
  return {};
}

Value OpCase::input(StringRef name, ArrayRef<flow::Extent> extents, std::mt19937_64 &random) {
  OpBuilder builder = atEnd();
  SmallVector<int64_t> shape;
  for (flow::Extent extent : extents)
    shape.push_back(*extent.evaluate(bindings.setting.symbols));
  flow::Array array(shape);
  for (double &value : array.data)
    value = double(float(double(random() >> 11) * 0x1p-52 - 1));
  bindings.inputs[name.str()] = array;
  return flow::InputOp::create(builder, builder.getUnknownLoc(),
                               flow::tensorType(extents, builder.getF32Type()), name);
}

void OpCase::addOutput(StringRef name, Value value) {
  OpBuilder builder = atEnd();
  flow::OutputOp::create(builder, builder.getUnknownLoc(), name, value);
}

bool OpCase::differentiate() {
  PassManager manager(module->getContext());
  manager.enableVerifier(true);
  manager.addPass(createDifferentiate());
  return succeeded(manager.run(*module));
}

std::string OpCase::text() const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  const_cast<OwningOpRef<ModuleOp> &>(module)->print(stream);
  return text;
}

OpCase randomCase(RegisteredOperationName name, uint64_t seed) {
  OpCase one(*name.getDialect().getContext());
  std::mt19937_64 random(seed);
  one.bindings.setting.symbols = {int64_t(1 + random() % 3), int64_t(1 + random() % 3)};
  one.bindings.setting.seed = random();
  one.bindings.setting.step = uint32_t(random() % 1000);
  OpBuilder builder = one.atEnd();
  flow::RandomCase inner{builder, builder.getUnknownLoc(), random, one.bindings.setting.symbols, {}, {}, {}};
  name.getInterface<flow::TruthInterface>()->buildRandomCase(inner);
  one.bindings.inputs = std::move(inner.inputs);
  return one;
}

double centralDifference(const OpCase &one, const std::string &output, const std::string &input,
                         size_t element) {
  constexpr double step = 1e-5;
  double sides[2];
  for (int side : {0, 1}) {
    flow::Bindings moved = one.bindings;
    moved.inputs.at(input).data[element] += side ? step : -step;
    auto result = flow::evaluate(one.entry, moved);
    if (failed(result))
      return NAN;
    sides[side] = result->outputs.at(output).data.at(0);
  }
  return (sides[1] - sides[0]) / (2 * step);
}

} // namespace moe
