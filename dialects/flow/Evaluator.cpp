// Walks an entry in order. Boundary ops read and write the bindings; a group is its block with the arguments
// bound; every other op evaluates itself.
#include "dialects/flow/Evaluator.h"
#include "runtime/program/Philox.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;

namespace flow {
namespace {

std::string text(ArrayRef<int64_t> shape) {
  return "[" + llvm::join(llvm::map_range(shape, [](int64_t n) { return std::to_string(n); }), ", ") + "]";
}

struct Walker {
  const Bindings &bindings;
  Evaluation out;
  DenseMap<Value, Array> values;

  LogicalResult bind(Operation *op, Value result, const std::map<std::string, Array> &from, StringRef name,
                     StringRef what) {
    auto found = from.find(name.str());
    if (found == from.end())
      return op->emitError("expected a value for ") << what << " '" << name << "', found none";
    auto shape = shapeOf(result.getType(), bindings.setting.symbols);
    if (!shape || ArrayRef(found->second.shape) != ArrayRef(*shape))
      return op->emitError("expected a value of shape ")
             << (shape ? text(*shape) : "unknown") << " for " << what << " '" << name << "', found "
             << text(found->second.shape);
    values[result] = found->second;
    return success();
  }

  LogicalResult scalar(ScalarOp op) {
    Array value((ArrayRef<int64_t>()));
    auto found = bindings.scalars.find(op.getKey().str());
    if (op.getKind() == ScalarKind::step)
      value.data[0] = bindings.setting.step;
    else if (op.getKind() == ScalarKind::progress)
      value.data[0] = bindings.progress;
    else
      value.data[0] = found != bindings.scalars.end() ? found->second : op.getFallback().convertToDouble();
    values[op.getY()] = value;
    return success();
  }

  /// What an op gives away, if its value is known.
  LogicalResult give(std::map<std::string, Array> &to, StringRef name, Value x) {
    if (auto found = values.find(x); found != values.end())
      to[name.str()] = found->second;
    return success();
  }

  LogicalResult group(GroupOp op) {
    Block &block = op.getBody().front();
    for (auto [argument, input] : llvm::zip(block.getArguments(), op.getInputs()))
      if (auto found = values.find(input); found != values.end()) {
        Array value = found->second;
        values[argument] = std::move(value);
      }
    if (failed(run(block)))
      return failure();
    for (auto [result, value] : llvm::zip(op.getOutputs(), block.getTerminator()->getOperands()))
      if (auto found = values.find(value); found != values.end()) {
        Array copy = found->second;
        values[result] = std::move(copy);
      }
    return success();
  }

  LogicalResult compute(Operation *op) {
    auto evaluates = dyn_cast<EvaluateInterface>(op);
    if (!evaluates)
      return op->emitError("expected an op that the evaluator knows, found '") << op->getName() << "'";
    SmallVector<const Array *> operands;
    for (Value operand : op->getOperands()) {
      auto found = values.find(operand);
      if (found == values.end())
        return success(); // it follows from a flow.grad
      operands.push_back(&found->second);
    }
    SmallVector<Array> results;
    for (Type type : op->getResultTypes()) {
      auto shape = shapeOf(type, bindings.setting.symbols);
      if (!shape)
        return op->emitError("expected sizes with a value for this batch, found ") << type;
      results.emplace_back(*shape);
    }
    evaluates.evaluate(operands, results, bindings.setting);
    for (auto [value, result] : llvm::zip_equal(op->getResults(), results))
      values[value] = std::move(result);
    return success();
  }

  LogicalResult run(Block &block) {
    for (Operation &op : block) {
      LogicalResult ok =
          TypeSwitch<Operation *, LogicalResult>(&op)
              .Case([&](InputOp op) { return bind(op, op.getY(), bindings.inputs, op.getName(), "input"); })
              .Case([&](ParameterOp op) {
                return bind(op, op.getY(), bindings.states, op.getPath(), "parameter");
              })
              .Case([&](StateOp op) { return bind(op, op.getY(), bindings.states, op.getPath(), "state"); })
              .Case([&](ScalarOp op) { return scalar(op); })
              .Case([&](OutputOp op) { return give(out.outputs, op.getName(), op.getX()); })
              .Case([&](ExposeOp op) { return give(out.exposed, op.getName(), op.getX()); })
              .Case([&](AssignOp op) { return give(out.assigned, op.getPath(), op.getX()); })
              .Case([&](GroupOp op) { return group(op); })
              .Case<GradOp, YieldOp>([](Operation *) { return success(); })
              .Default([&](Operation *op) { return compute(op); });
      if (failed(ok))
        return failure();
    }
    return success();
  }
};

} // namespace

std::optional<SmallVector<int64_t>> shapeOf(Type type, const Symbols &symbols) {
  SmallVector<int64_t> shape;
  for (Extent extent : extentsOf(type)) {
    auto value = extent.evaluate(symbols);
    if (!value || *value < 0)
      return std::nullopt;
    shape.push_back(*value);
  }
  return shape;
}

FailureOr<Evaluation> evaluate(EntryOp entry, const Bindings &bindings) {
  Walker walker{bindings, {}, DenseMap<Value, Array>()};
  if (failed(walker.run(entry.getBody().front())))
    return failure();
  return std::move(walker.out);
}

void bindRandom(EntryOp entry, Bindings &bindings, std::mt19937_64 &random, int64_t classes) {
  // Each name has numbers of its own, so that what a value is does not hang on the order or the number of
  // others.
  uint64_t seed = random();
  std::mt19937_64 own;
  auto draw = [&](double low, double high) {
    return double(float(low + (high - low) * (double(own() >> 11) * 0x1p-53)));
  };
  auto bind = [&](std::map<std::string, Array> &to, StringRef name, Value value, auto next) {
    auto shape = shapeOf(value.getType(), bindings.setting.symbols);
    if (!shape || to.count(name.str()))
      return;
    own.seed(seed ^ moert::philoxStream(name));
    Array array(*shape);
    for (double &element : array.data)
      element = next();
    to[name.str()] = std::move(array);
  };
  for (Operation &op : entry.getBody().front()) {
    if (auto input = dyn_cast<InputOp>(op)) {
      Type element = cast<RankedTensorType>(input.getY().getType()).getElementType();
      bind(bindings.inputs, input.getName(), input.getY(), [&]() -> double {
        if (element.isF32())
          return draw(-1, 1);
        return double(own() % uint64_t(element.isInteger(1) ? 2 : classes));
      });
    } else if (auto parameter = dyn_cast<ParameterOp>(op)) {
      ArrayRef<int64_t> shape = cast<RankedTensorType>(parameter.getY().getType()).getShape();
      double fanIn = 1;
      for (int64_t extent : shape.drop_front(shape.empty() ? 0 : 1))
        fanIn *= double(extent);
      double scale = std::sqrt(3 / fanIn);
      bind(bindings.states, parameter.getPath(), parameter.getY(), [&] { return draw(-scale, scale); });
    } else if (auto state = dyn_cast<StateOp>(op)) {
      bind(bindings.states, state.getPath(), state.getY(), [&] { return draw(0.01, 0.1); });
    }
  }
}

} // namespace flow
