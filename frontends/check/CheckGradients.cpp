// Holds the gradients of an op's results against central differences: of each result alone and of all together, of
// the gradients themselves, and of results of which a select chooses some elements or none. The last is what an op's
// slope is for (dialects/flow/Facts.h): what is not chosen has the gradient 0 even where the slope is infinite.
#include "dialects/flow/Build.h"
#include "frontends/check/CheckOps.h"
#include "frontends/check/OpCase.h"
#include "runtime/base/Result.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;
using flow::Array;

namespace moe {
namespace {

bool isFloat(Value value) { return flow::elementOf(value).isF32(); }

/// Some elements of an array, all of a small one.
std::vector<size_t> sample(size_t size, std::mt19937_64 &random) {
  std::vector<size_t> elements;
  for (size_t i = 0; i < size; ++i)
    elements.push_back(i);
  std::shuffle(elements.begin(), elements.end(), random);
  elements.resize(std::min<size_t>(size, 8));
  return elements;
}

/// The f32 inputs that the op under test reads.
SmallVector<Value> floatInputs(OpCase &one) {
  SmallVector<Value> inputs;
  for (auto op : one.entry.getBody().getOps<flow::InputOp>())
    if (isFloat(op.getY()))
      inputs.push_back(op.getY());
  return inputs;
}

std::string nameOf(Value input) { return input.getDefiningOp<flow::InputOp>().getName().str(); }

/// The f32 results that a loss is made of, by their numbers: each alone, and all of them.
std::vector<SmallVector<unsigned>> lossesOf(Operation *op) {
  std::vector<SmallVector<unsigned>> losses;
  SmallVector<unsigned> all;
  for (OpResult result : op->getResults())
    if (isFloat(result)) {
      losses.push_back({result.getResultNumber()});
      all.push_back(result.getResultNumber());
    }
  if (all.size() > 1)
    losses.push_back(all);
  return losses;
}

/// loss = the sum of value * u over all values, with a random u for each, as the output `name`.
Value addLoss(OpCase &one, ArrayRef<Value> values, StringRef name, std::mt19937_64 &random) {
  Value loss;
  for (auto [i, value] : llvm::enumerate(values)) {
    Value u = one.input(("u." + name + (i ? std::to_string(i) : "")).str(), flow::extentsOf(value), random);
    OpBuilder b = one.atEnd();
    Location loc = b.getUnknownLoc();
    Value part = flow::sumAll(b, loc, flow::mul(b, loc, value, u));
    loss = loss ? flow::add(b, loc, loss, part) : part;
  }
  one.addOutput(name, loss);
  return loss;
}

/// The gradients of the loss in the inputs, as values of the entry.
SmallVector<Value> addGradients(OpCase &one, Value loss, ArrayRef<Value> inputs) {
  OpBuilder b = one.atEnd();
  auto grad = flow::GradOp::create(b, b.getUnknownLoc(), TypeRange(ValueRange(inputs)), loss, inputs);
  return SmallVector<Value>(grad.getGradients().begin(), grad.getGradients().end());
}

/// Differentiates the case and holds the outputs "d.<input>" against central differences of an output.
/// `factor` is what the function whose derivative is stated has in front of the computed one, by the input's
/// name.
moert::Status compareGradients(OpCase &one, ArrayRef<Value> inputs, const std::string &of,
                               std::mt19937_64 &random, llvm::function_ref<double(StringRef)> factor) {
  if (!one.differentiate())
    return moert::invalidInput(
        "expected its gradient to be built and to verify, found what is said above, of\n", one.text());
  auto found = one.evaluate();
  if (failed(found))
    return moert::invalidInput("expected its gradient to be evaluated, found what is said above, of\n",
                               one.text());
  for (Value input : inputs) {
    const std::string name = nameOf(input);
    const Array &values = found->outputs.at("d." + name);
    if (values.shape != one.bindings.inputs.at(name).shape)
      return moert::invalidInput("expected the gradient of ", name, " in its shape, found another, of\n",
                                 one.text());
    for (size_t element : sample(values.data.size(), random)) {
      const double expected = factor(name) * centralDifference(one, of, name, element),
                   value = values.data[element];
      if (!(std::fabs(value - expected) <= 1e-6 + 1e-5 * std::fabs(expected)))
        return moert::invalidInput("expected d ", of, " / d ", name, "[", element, "] to be ",
                                   exactText(expected), " by central differences, found ", exactText(value),
                                   ", of\n", one.text());
    }
  }
  return moert::okStatus();
}

/// The op of a case, its f32 inputs and what of it is compared.
struct Subject {
  OpCase one;
  Operation *op;
  SmallVector<Value> inputs;
  bool isReversal; // reverse_gradient has the derivative of -scale * x

  Subject(RegisteredOperationName name, uint64_t seed)
      : one(randomCase(name, seed)), op(one.output("y").getDefiningOp()), inputs(floatInputs(one)),
        isReversal(isa<flow::ReverseGradientOp>(op)) {}

  flow::GradientKind kind() const { return cast<flow::GradientInterface>(op).gradientKind(); }
  /// Whose derivative a surrogate has is known of the project's own alone. Any other inactive op than a stop of
  /// gradients has the gradient 0.
  bool isKnown() const {
    const bool isStop = kind() == flow::GradientKind::inactive && op->hasTrait<flow::Identity>();
    return !inputs.empty() && !isStop && (kind() != flow::GradientKind::surrogate || isReversal);
  }
  SmallVector<Value> results(ArrayRef<unsigned> numbers) const {
    return llvm::map_to_vector(numbers, [&](unsigned i) -> Value { return op->getResult(i); });
  }
  /// The name of a loss, which says of which results it is where there are several.
  std::string nameOfLoss(StringRef name, ArrayRef<unsigned> numbers) const {
    if (op->getNumResults() == 1)
      return name.str();
    auto names = llvm::map_to_vector(numbers, [](unsigned i) { return flow::RandomCase::resultName(i); });
    return (name + "(" + llvm::join(names, ", ") + ")").str();
  }
  /// Outputs the gradients of a loss, and holds them against its central differences.
  moert::Status compare(Value loss, const std::string &name, std::mt19937_64 &random) {
    addGradientOutputs(loss);
    return compareGradients(one, inputs, name, random, [&](StringRef input) -> double {
      if (!isReversal)
        return 1;
      return input == "x0" ? -one.bindings.inputs.at("x1").data[0] : 0;
    });
  }
  void addGradientOutputs(Value loss) {
    auto gradients = addGradients(one, loss, inputs);
    for (auto [input, value] : llvm::zip(inputs, gradients))
      one.addOutput("d." + nameOf(input), value);
  }
  /// Puts something between the f32 inputs and the op.
  void putBefore(llvm::function_ref<Value(OpBuilder &, Value)> build) {
    OpBuilder b(op);
    for (OpOperand &operand : op->getOpOperands())
      if (llvm::is_contained(inputs, operand.get()))
        operand.set(build(b, operand.get()));
  }
  /// A mask, as an input whose elements `draw` gives.
  Value mask(StringRef name, Value like, llvm::function_ref<bool()> draw) {
    OpBuilder b = one.atEnd();
    Array array(*flow::shapeOf(like.getType(), one.bindings.setting.symbols));
    for (double &value : array.data)
      value = draw();
    one.bindings.inputs[name.str()] = array;
    return flow::InputOp::create(b, b.getUnknownLoc(), flow::withElement(like.getType(), b.getI1Type()),
                                 name);
  }
  /// The loss of results of which a select chooses the elements that `draw` says, and of the rest none.
  Value selectedLoss(ArrayRef<unsigned> numbers, StringRef name, std::mt19937_64 &random,
                     llvm::function_ref<bool()> draw) {
    SmallVector<Value> chosen;
    for (Value result : results(numbers)) {
      Value which = mask(("chosen" + std::to_string(chosen.size())), result, draw);
      OpBuilder b = one.atEnd();
      Location loc = b.getUnknownLoc();
      Value zero = flow::ConstantOp::create(b, loc, result.getType(), b.getF64FloatAttr(0));
      chosen.push_back(flow::SelectOp::create(b, loc, result.getType(), which, result, zero));
    }
    return addLoss(one, chosen, name, random);
  }
};

/// Whether what a select leaves of the results' gradients is known of the operands' gradients as well.
bool leadsMasksOn(Operation *op) {
  auto compute = cast<flow::ComputeInterface>(op);
  switch (compute.computeKind()) {
  case flow::ComputeKind::elementwise:
  case flow::ComputeKind::view:
    return true;
  case flow::ComputeKind::reduction: {
    const SmallVector<flow::Extent> space = compute.iterationSpace();
    for (auto [access, operand] : llvm::zip(compute.accesses(), op->getOperands())) {
      if (access.within || access.lookup || llvm::is_contained(access.bounded, true) ||
          !access.map.isPermutation())
        return false;
      for (auto [axis, index] : llvm::enumerate(access.map.getResults()))
        if (space[cast<AffineDimExpr>(index).getPosition()] != flow::Extent::of(operand, axis))
          return false;
    }
    return true;
  }
  default:
    return false;
  }
}

/// Some of the results' elements are chosen. A division by ones, whose slope may be infinite as far as is known,
/// has the masks applied.
moert::Status checkSomeSelected(RegisteredOperationName name, uint64_t seed) {
  Subject subject(name, seed);
  const auto losses = lossesOf(subject.op);
  if (losses.empty() || !subject.isKnown())
    return moert::okStatus();
  std::mt19937_64 random(seed);
  OpCase &one = subject.one;
  subject.putBefore([&](OpBuilder &b, Value input) -> Value {
    const std::string ones = "ones." + nameOf(input);
    one.bindings.inputs[ones] = Array(one.bindings.inputs.at(nameOf(input)).shape, 1);
    Value divisor = flow::InputOp::create(b, b.getUnknownLoc(), input.getType(), ones);
    return flow::DivOp::create(b, b.getUnknownLoc(), input.getType(), input, divisor);
  });
  const std::string loss = subject.nameOfLoss("loss", losses.back());
  Value chosen = subject.selectedLoss(losses.back(), loss, random, [&] { return random() % 4 != 0; });
  return subject.compare(chosen, loss, random);
}

/// None of the results' elements are chosen, where operands are 0 and at other points where functions have poles;
/// with `root`, operands are roots of 0, whose slope is infinite.
moert::Status checkNoneSelected(RegisteredOperationName name, uint64_t seed, bool root) {
  Subject subject(name, seed);
  const auto losses = lossesOf(subject.op);
  if (losses.empty() || !subject.isKnown() ||
      (!leadsMasksOn(subject.op) &&
       // A composite's own rule cannot be masked either: it makes what it makes before the mask is known of its operands.
       (root || cast<flow::ComputeInterface>(subject.op).computeKind() == flow::ComputeKind::composite)))
    return moert::okStatus();
  std::mt19937_64 random(seed);
  OpCase &one = subject.one;
  for (Value input : subject.inputs)
    for (double &value : one.bindings.inputs.at(nameOf(input)).data)
      value = root ? 0 : double(int(random() % 4)) - 1;
  if (root)
    subject.putBefore([](OpBuilder &b, Value input) -> Value {
      return flow::SqrtOp::create(b, b.getUnknownLoc(), input.getType(), input);
    });
  subject.addGradientOutputs(subject.selectedLoss(losses.back(), "loss", random, [] { return false; }));
  if (!one.differentiate())
    return moert::invalidInput(
        "expected its gradient to be built and to verify, found what is said above, of\n", one.text());
  auto found = one.evaluate();
  if (failed(found))
    return moert::invalidInput("expected its gradient to be evaluated, found what is said above, of\n",
                               one.text());
  for (Value input : subject.inputs)
    for (auto [element, value] : llvm::enumerate(found->outputs.at("d." + nameOf(input)).data))
      if (value != 0)
        return moert::invalidInput("expected d loss / d ", nameOf(input), "[", element,
                                   "] to be 0, since no element of a result is chosen, found ",
                                   exactText(value), ", of\n", one.text());
  return moert::okStatus();
}

} // namespace

moert::Status checkGradient(RegisteredOperationName name, uint64_t seed) {
  for (const SmallVector<unsigned> &results : lossesOf(Subject(name, seed).op)) {
    Subject subject(name, seed);
    if (!subject.isKnown())
      continue;
    std::mt19937_64 random(seed);
    const std::string loss = subject.nameOfLoss("loss", results);
    MOERT_TRY(subject.compare(addLoss(subject.one, subject.results(results), loss, random), loss, random));
  }
  return moert::okStatus();
}

// What rules emit can be differentiated again, and rightly.
moert::Status checkSecondGradient(RegisteredOperationName name, uint64_t seed) {
  for (const SmallVector<unsigned> &results : lossesOf(Subject(name, seed).op)) {
    Subject subject(name, seed);
    OpCase &one = subject.one;
    if (subject.inputs.empty() || subject.kind() != flow::GradientKind::rule)
      continue;
    std::mt19937_64 random(seed);
    // Squares, so that linear ops have a second derivative too.
    SmallVector<Value> squares;
    for (Value y : subject.results(results)) {
      OpBuilder b = one.atEnd();
      squares.push_back(flow::mul(b, b.getUnknownLoc(), y, y));
    }
    auto gradients = addGradients(one, addLoss(one, squares, "first", random), subject.inputs);
    Value penalty;
    for (auto [k, gradient] : llvm::enumerate(gradients)) {
      Value part = addLoss(one, gradient, "part" + std::to_string(k), random);
      OpBuilder at = one.atEnd();
      penalty = penalty ? flow::add(at, at.getUnknownLoc(), penalty, part) : part;
    }
    const std::string second = subject.nameOfLoss("second", results);
    one.addOutput(second, penalty);
    MOERT_TRY(subject.compare(penalty, second, random));
  }
  return moert::okStatus();
}

moert::Status checkSelected(RegisteredOperationName name, uint64_t seed) {
  MOERT_TRY(checkSomeSelected(name, seed));
  MOERT_TRY(checkNoneSelected(name, seed, /*root=*/false));
  return checkNoneSelected(name, seed, /*root=*/true);
}

} // namespace moe
