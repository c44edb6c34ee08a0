// Evaluates op by op and carries errors along; see ShapeBounds.h. An operand's error is carried by evaluating
// the op with that operand moved up and down by it, which is exact for what is linear or monotone and right
// to first order otherwise; products of sums take the absolute values of the other operand, since errors have
// any sign.
#include "test/fuzz/shapes/ShapeBounds.h"
#include "dialects/flow/Precision.h"
#include "test/fuzz/RoundedTerms.h"
#include <cmath>

using namespace mlir;

namespace moe::test {
namespace {

constexpr double kEpsilon = 0x1p-24;
/// For second-order terms of what is carried.
constexpr double kSlack = 1.05;

class BoundedWalker {
public:
  explicit BoundedWalker(const flow::Bindings &bindings) : bindings(bindings) {}
  std::map<std::string, BoundedValue> outputs;

  LogicalResult run(flow::EntryOp entry) {
    for (Operation &op : entry.getBody().front()) {
      if (auto input = dyn_cast<flow::InputOp>(op))
        values[input.getY()].value = bindings.inputs.at(input.getName().str());
      else if (auto parameter = dyn_cast<flow::ParameterOp>(op))
        values[parameter.getY()].value = bindings.states.at(parameter.getPath().str());
      else if (auto output = dyn_cast<flow::OutputOp>(op))
        outputs[output.getName().str()] = values.at(output.getX());
      else if (auto scalar = dyn_cast<flow::ScalarOp>(op))
        values[scalar.getY()].value =
            flow::Array(ArrayRef<int64_t>(), double(float(scalar.getFallback().convertToDouble())));
      else if (failed(compute(&op)))
        return failure();
    }
    return success();
  }

private:
  LogicalResult compute(Operation *op) {
    auto evaluates = dyn_cast<flow::EvaluateInterface>(op);
    auto truth = dyn_cast<flow::TruthInterface>(op);
    SmallVector<flow::Array> empty;
    for (Type type : op->getResultTypes())
      if (auto shape = flow::shapeOf(type, bindings.setting.symbols))
        empty.emplace_back(*shape);
    if (!evaluates || !truth || empty.size() != op->getNumResults())
      return op->emitError("expected an op that computes, of a known shape");
    SmallVector<const flow::Array *> operands;
    for (Value operand : op->getOperands())
      operands.push_back(&values.at(operand).value);
    auto evaluate = [&](ArrayRef<const flow::Array *> of) {
      SmallVector<flow::Array> results = empty;
      evaluates.evaluate(of, results, bindings.setting);
      return results;
    };
    const SmallVector<flow::Array> results = evaluate(operands);
    for (auto [number, value] : llvm::enumerate(op->getResults())) {
      BoundedValue result{results[number], {}};
      if (isa<flow::ConstantOp, flow::ExtentOp>(op))
        for (double &element : result.value.data)
          element = double(float(element));
      auto add = [&](const flow::Array &errors, double factor) {
        if (result.error.data.empty())
          result.error = flow::Array(result.value.shape);
        for (size_t i = 0; i < errors.data.size(); ++i)
          result.error.data[i] += factor * errors.data[i];
      };
      if (double factor = truth.errorFactor())
        add(roundedTerms(op, truth.magnitude(operands, results)[number]), factor * kEpsilon);
      const bool multiplies = isa<flow::ContractOp, flow::GroupedContractOp, flow::ConvOp,
                                  flow::ConvInputGradOp, flow::ConvWeightGradOp>(op);
      if (multiplies && flow::precisionOf(op) == flow::Precision::tf32)
        add(truth.magnitude(operands, results)[number], flow::tf32ProductError);
      for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
        const BoundedValue &from = values.at(operand);
        if (from.error.data.empty())
          continue;
        if (multiplies) {
          operands[i] = &from.error;
          add(truth.magnitude(operands, results)[number], kSlack);
        } else if (auto argmax = dyn_cast<flow::ArgmaxOp>(op)) {
          add(undecided(argmax, from), 1);
        } else {
          add(carried(from, result.value,
                      [&](const flow::Array &moved) {
                        operands[i] = &moved;
                        return evaluate(operands)[number];
                      }),
              kSlack);
        }
        operands[i] = &from.value;
      }
      values[value] = std::move(result);
    }
    return success();
  }

  /// How far the result goes when an operand moves by its error.
  static flow::Array carried(const BoundedValue &from, const flow::Array &result,
                             llvm::function_ref<flow::Array(const flow::Array &)> evaluate) {
    flow::Array farthest(result.shape);
    for (double sign : {1.0, -1.0}) {
      flow::Array moved = from.value;
      for (size_t i = 0; i < moved.data.size(); ++i)
        moved.data[i] += sign * from.error.data[i];
      moved = evaluate(moved);
      for (size_t i = 0; i < moved.data.size(); ++i) {
        bool same = moved.data[i] == result.data[i]; // infinities too
        double far = same ? 0 : std::fabs(moved.data[i] - result.data[i]);
        farthest.data[i] = std::max(farthest.data[i], std::isnan(far) ? INFINITY : far);
      }
    }
    return farthest;
  }

  /// Infinite where another element could be the largest one.
  static flow::Array undecided(flow::ArgmaxOp op, const BoundedValue &x) {
    int64_t count = x.value.shape[op.getAxis()], inner = 1;
    for (size_t axis = op.getAxis() + 1; axis < x.value.shape.size(); ++axis)
      inner *= x.value.shape[axis];
    std::vector<int64_t> shape = x.value.shape;
    shape.erase(shape.begin() + op.getAxis());
    flow::Array result(shape);
    for (int64_t i = 0; i < result.size(); ++i) {
      int64_t base = i / inner * count * inner + i % inner;
      double sure = -INFINITY;
      for (int64_t k = 0; k < count; ++k)
        sure = std::max(sure, x.value.data[base + k * inner] - x.error.data[base + k * inner]);
      int64_t able = 0;
      for (int64_t k = 0; k < count; ++k)
        able += x.value.data[base + k * inner] + x.error.data[base + k * inner] >= sure;
      result.data[i] = able > 1 ? INFINITY : 0;
    }
    return result;
  }

  const flow::Bindings &bindings;
  llvm::DenseMap<Value, BoundedValue> values;
};

} // namespace

std::optional<std::map<std::string, BoundedValue>> evaluateWithBounds(flow::EntryOp entry,
                                                                      const flow::Bindings &bindings) {
  BoundedWalker walker(bindings);
  if (failed(walker.run(entry)))
    return std::nullopt;
  return std::move(walker.outputs);
}

} // namespace moe::test
