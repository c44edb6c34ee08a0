// Walks the registered ops of flow. Each op that computes states every fact (interface) about itself, and the
// facts agree with the evaluator on random cases: gradients, once and twice, with central differences;
// accesses with the op's own result. A new op is covered by
// being registered.
#include "dialects/flow/RandomCase.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "test/unit/FlowCase.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace moe::test;
using flow::Array;

namespace {

constexpr int casesPerOp = 24;

class FlowOp : public ::testing::TestWithParam<RegisteredOperationName> {
protected:
  FlowCase make(int number) { return randomCase(GetParam(), 1000 + number); }
  /// The op under test: what defines the output "y".
  static Operation *opOf(FlowCase &one) { return one.output("y").getDefiningOp(); }
};

bool isFloat(Value value) { return flow::elementOf(value).isF32(); }

/// |found - expected| <= 1e-6 + 1e-5 * |expected|
void expectNear(double expected, double found, const std::string &what) {
  EXPECT_LE(std::fabs(found - expected), 1e-6 + 1e-5 * std::fabs(expected))
      << what << ": expected " << expected << ", found " << found;
}

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
SmallVector<Value> floatInputs(FlowCase &one) {
  SmallVector<Value> inputs;
  for (auto op : one.entry.getBody().getOps<flow::InputOp>())
    if (isFloat(op.getY()))
      inputs.push_back(op.getY());
  return inputs;
}

std::string nameOf(Value input) { return input.getDefiningOp<flow::InputOp>().getName().str(); }

/// loss = sum(value * u) with a random u, as the output `name`.
Value addLoss(FlowCase &one, Value value, StringRef name, std::mt19937_64 &random) {
  Value u = one.input(("u." + name).str(), flow::extentsOf(value), random);
  OpBuilder b = one.atEnd();
  Location loc = b.getUnknownLoc();
  Value loss = flow::sumAll(b, loc, flow::mul(b, loc, value, u));
  one.addOutput(name, loss);
  return loss;
}

/// The gradients of the loss in the inputs, as values of the entry.
SmallVector<Value> addGradients(FlowCase &one, Value loss, ArrayRef<Value> inputs) {
  OpBuilder b = one.atEnd();
  auto grad = flow::GradOp::create(b, b.getUnknownLoc(), TypeRange(ValueRange(inputs)), loss, inputs);
  return SmallVector<Value>(grad.getGradients().begin(), grad.getGradients().end());
}

} // namespace

TEST(FlowRegistry, everyOpStatesEveryFact) {
  ASSERT_GE(computingOps().size(), 40u);
  for (RegisteredOperationName name : computingOps()) {
    std::string op = name.getStringRef().str();
    EXPECT_TRUE(name.hasInterface<flow::GradientInterface>()) << op << " has no gradient";
    EXPECT_TRUE(name.hasInterface<flow::ComputeInterface>()) << op << " has no computation";
    EXPECT_TRUE(name.hasInterface<flow::EvaluateInterface>()) << op << " has no evaluator";
    EXPECT_TRUE(name.hasInterface<flow::CostInterface>()) << op << " has no cost";
    EXPECT_TRUE(name.hasInterface<flow::TruthInterface>()) << op << " has no random cases";
    FlowCase one = randomCase(name, 0);
    Operation *computes = one.output("y").getDefiningOp();
    const flow::ComputeKind kind = cast<flow::ComputeInterface>(computes).computeKind();
    EXPECT_EQ(name.hasInterface<flow::ReductionInterface>(), kind == flow::ComputeKind::reduction) << op;
    EXPECT_EQ(name.hasTrait<flow::Elementwise>(), kind == flow::ComputeKind::elementwise) << op;
  }
}

TEST(FlowRegistry, boundaryOpsComputeNothing) {
  for (RegisteredOperationName name : context().getRegisteredOperationsByDialect("flow"))
    if (name.hasTrait<flow::Boundary>())
      EXPECT_FALSE(name.hasInterface<flow::EvaluateInterface>()) << name.getStringRef().str();
}

TEST_P(FlowOp, casesVerify) {
  for (int i = 0; i < casesPerOp; ++i) {
    FlowCase one = make(i);
    EXPECT_TRUE(succeeded(mlir::verify(*one.module))) << one.text();
    ASSERT_TRUE(opOf(one)) << one.text();
    EXPECT_EQ(opOf(one)->getName().getStringRef().str(), GetParam().getStringRef().str());
    flow::Evaluation result = one.evaluate();
    for (OpResult value : opOf(one)->getResults()) {
      const std::string name = flow::RandomCase::resultName(value.getResultNumber());
      EXPECT_EQ(one.output(name), value) << one.text();
      auto shape = flow::shapeOf(value.getType(), one.bindings.setting.symbols);
      ASSERT_TRUE(shape);
      EXPECT_EQ(ArrayRef<int64_t>(result.outputs.at(name).shape), ArrayRef(*shape));
    }
  }
}

TEST_P(FlowOp, textAndBytecodeKeepIt) {
  for (int i = 0; i < 8; ++i) {
    FlowCase one = make(i);
    std::string text = one.text(), bytecode;
    auto printed = [](OwningOpRef<ModuleOp> module) {
      std::string again;
      llvm::raw_string_ostream stream(again);
      if (module)
        module->print(stream);
      return again;
    };
    EXPECT_EQ(text, printed(parseSourceString<ModuleOp>(text, &context())));
    llvm::raw_string_ostream stream(bytecode);
    ASSERT_TRUE(succeeded(writeBytecodeToFile(*one.module, stream)));
    EXPECT_EQ(text, printed(parseSourceString<ModuleOp>(bytecode, &context())));
  }
}

TEST_P(FlowOp, gradientAgreesWithCentralDifferences) {
  for (int i = 0; i < casesPerOp; ++i) {
    FlowCase one = make(i);
    Value y = one.output("y");
    auto gradient = cast<flow::GradientInterface>(opOf(one));
    auto inputs = floatInputs(one);
    if (!isFloat(y) || inputs.empty() || gradient.gradientKind() == flow::GradientKind::inactive)
      continue;
    bool surrogate = gradient.gradientKind() == flow::GradientKind::surrogate;
    std::mt19937_64 random(i);
    // The derivative of a surrogate is that of another function: for reverse_gradient, of -scale * x.
    if (surrogate) {
      ASSERT_TRUE(isa<flow::ReverseGradientOp>(opOf(one))) << "say here whose derivative the surrogate has";
    }
    Value loss = addLoss(one, y, "loss", random);
    auto gradients = addGradients(one, loss, inputs);
    for (auto [input, value] : llvm::zip(inputs, gradients))
      one.addOutput("d." + nameOf(input), value);
    ASSERT_TRUE(one.differentiate()) << one.text();
    flow::Evaluation found = one.evaluate();
    for (Value input : inputs) {
      std::string name = nameOf(input);
      const Array &values = found.outputs.at("d." + name);
      ASSERT_EQ(values.shape, one.bindings.inputs.at(name).shape) << one.text();
      for (size_t element : sample(values.data.size(), random)) {
        double expected = centralDifference(one, "loss", name, element);
        if (surrogate)
          expected *= name == "x0" ? -one.bindings.inputs.at("x1").data[0] : 0;
        expectNear(expected, values.data[element],
                   "case " + std::to_string(i) + ", d" + name + "[" + std::to_string(element) + "] of\n" +
                       one.text());
        if (HasFailure())
          return;
      }
    }
  }
}

// What rules emit can be differentiated again, and rightly.
TEST_P(FlowOp, secondGradientAgreesWithCentralDifferences) {
  for (int i = 0; i < casesPerOp / 2; ++i) {
    FlowCase one = make(i);
    Value y = one.output("y");
    auto inputs = floatInputs(one);
    if (!isFloat(y) || inputs.empty() ||
        cast<flow::GradientInterface>(opOf(one)).gradientKind() != flow::GradientKind::rule)
      continue;
    std::mt19937_64 random(i);
    // A square, so that linear ops have a second derivative too.
    OpBuilder b = one.atEnd();
    Value square = flow::mul(b, b.getUnknownLoc(), y, y);
    auto gradients = addGradients(one, addLoss(one, square, "first", random), inputs);
    Value penalty;
    for (auto [k, gradient] : llvm::enumerate(gradients)) {
      Value part = addLoss(one, gradient, "part" + std::to_string(k), random);
      OpBuilder at = one.atEnd();
      penalty = penalty ? flow::add(at, at.getUnknownLoc(), penalty, part) : part;
    }
    one.addOutput("second", penalty);
    auto again = addGradients(one, penalty, inputs);
    for (auto [input, value] : llvm::zip(inputs, again))
      one.addOutput("d." + nameOf(input), value);
    ASSERT_TRUE(one.differentiate()) << one.text();
    flow::Evaluation found = one.evaluate();
    for (Value input : inputs) {
      std::string name = nameOf(input);
      const Array &values = found.outputs.at("d." + name);
      for (size_t element : sample(values.data.size(), random)) {
        expectNear(centralDifference(one, "second", name, element), values.data[element],
                   "case " + std::to_string(i) + ", d" + name + "[" + std::to_string(element) + "] of\n" +
                       one.text());
        if (HasFailure())
          return;
      }
    }
  }
}

namespace {

/// The value of an access's expression at a point.
int64_t valueAt(AffineExpr expression, const flow::Access &access, ArrayRef<int64_t> point,
                const flow::Symbols &symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue();
  if (auto dim = dyn_cast<AffineDimExpr>(expression))
    return point[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expression))
    return *access.sizes[symbol.getPosition()].evaluate(symbols);
  auto binary = cast<AffineBinaryOpExpr>(expression);
  int64_t l = valueAt(binary.getLHS(), access, point, symbols),
          r = valueAt(binary.getRHS(), access, point, symbols);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return l + r;
  case AffineExprKind::Mul:
    return l * r;
  case AffineExprKind::FloorDiv:
    return llvm::divideFloorSigned(l, r);
  case AffineExprKind::CeilDiv:
    return llvm::divideCeilSigned(l, r);
  default:
    return l - llvm::divideFloorSigned(l, r) * r;
  }
}

/// An op's operands, as its accesses read them.
struct Reader {
  SmallVector<flow::Access> accesses;
  SmallVector<const Array *> operands;
  flow::Symbols symbols;

  /// The element that an operand's access reads at a point, or so many places behind it along the last axis;
  /// nothing where it holds none.
  std::optional<double> read(unsigned operand, ArrayRef<int64_t> point, int64_t behind = 0) const {
    const flow::Access &access = accesses[operand];
    const Array &x = *operands[operand];
    if (IntegerSet valid = access.valid)
      for (AffineExpr constraint : valid.getConstraints())
        if (valueAt(constraint, access, point, symbols) != 0)
          return std::nullopt;
    if (access.within) {
      const double here = double(point[access.within->dim]);
      if (here < *read(access.within->operand, point) || here >= *read(access.within->operand, point, 1))
        return std::nullopt;
    }
    int64_t position = 0;
    for (auto [axis, result] : llvm::enumerate(access.map.getResults())) {
      int64_t index = access.lookup && access.lookup->axis == axis
                          ? int64_t(*read(access.lookup->operand, point))
                          : valueAt(result, access, point, symbols);
      if (axis + 1 == access.map.getNumResults())
        index += behind;
      bool inside = index >= 0 && index < x.shape[axis];
      EXPECT_TRUE(inside || access.isBounded(axis)) << "an access out of bounds";
      if (!inside)
        return std::nullopt;
      position = position * x.shape[axis] + index;
    }
    return x.data[position];
  }
};

} // namespace

// The op's result follows from its iteration space and accesses, for every kind that has them.
TEST_P(FlowOp, accessesGiveTheResult) {
  for (int i = 0; i < casesPerOp; ++i) {
    FlowCase one = make(i);
    Operation *op = opOf(one);
    auto compute = cast<flow::ComputeInterface>(op);
    flow::ComputeKind kind = compute.computeKind();
    auto cost = cast<flow::CostInterface>(op).cost();
    EXPECT_GE(cost.flops.evaluate(one.bindings.setting.symbols).value_or(-1), 0);
    // What is no product at each point, or made of other ops, follows from no accesses.
    if (kind == flow::ComputeKind::generator || kind == flow::ComputeKind::composite ||
        (kind == flow::ComputeKind::emitter && !cost.contraction))
      continue;
    const flow::Symbols &symbols = one.bindings.setting.symbols;
    Reader reader{compute.accesses(), {}, symbols};
    EXPECT_EQ(kind == flow::ComputeKind::emitter ? "" : flow::faultOf(op, reader.accesses), "");
    ASSERT_EQ(reader.accesses.size(), op->getNumOperands());
    if (kind == flow::ComputeKind::elementwise)
      continue; // the body's own business
    SmallVector<int64_t> space;
    for (flow::Extent extent : compute.iterationSpace())
      space.push_back(*extent.evaluate(symbols));
    for (Value operand : op->getOperands())
      reader.operands.push_back(&one.bindings.inputs.at(nameOf(operand)));
    const SmallVector<unsigned> read = flow::valueOperands(reader.accesses);
    Array y = one.evaluate().outputs.at("y"), mine(y.shape);
    auto reduce = dyn_cast<flow::ReduceOp>(op);
    const bool isArgmax = isa<flow::ArgmaxOp>(op);
    Array largest(y.shape, -std::numeric_limits<double>::infinity());
    if (auto reduction = dyn_cast<flow::ReductionInterface>(op))
      std::fill(mine.data.begin(), mine.data.end(), reduction.accumulators().back().start);
    int64_t points = 1;
    for (int64_t extent : space)
      points *= extent;
    for (int64_t p = 0; p < points; ++p) {
      SmallVector<int64_t> point(space.size());
      for (int64_t rest = p, axis = space.size(); axis-- > 0; rest /= space[axis])
        point[axis] = rest % space[axis];
      int64_t at = 0;
      for (size_t axis = 0; axis < y.shape.size(); ++axis)
        at = at * y.shape[axis] + point[axis];
      double &into = mine.data[at];
      if (kind == flow::ComputeKind::view) {
        std::optional<double> value;
        for (unsigned i : read)
          if (!value)
            value = reader.read(i, point);
        into = value.value_or(reader.accesses[0].otherwise);
        continue;
      }
      double term = 1;
      bool holds = true;
      for (unsigned i : read) {
        std::optional<double> value = reader.read(i, point);
        holds &= value.has_value();
        term *= value.value_or(reader.accesses[i].otherwise);
      }
      // A reduction's point adds nothing where an access does not hold; a contraction's adds a product with 0.
      if (!holds && kind == flow::ComputeKind::reduction)
        continue;
      if (isArgmax) {
        ASSERT_EQ(compute.indexDims(), SmallVector<unsigned>{unsigned(y.shape.size())});
        double &most = largest.data[at];
        if ((std::isnan(term) && !std::isnan(most)) || term > most)
          most = term, into = double(point.back());
        continue;
      }
      if (reduce && reduce.getKind() != flow::ReduceKind::sum)
        into = reduce.getKind() == flow::ReduceKind::max ? std::max(into, term) : std::min(into, term);
      else
        into += term;
    }
    for (size_t k = 0; k < y.data.size(); ++k)
      ASSERT_NEAR(y.data[k], mine.data[k], 1e-12 * (1 + std::fabs(y.data[k]))) << one.text();
  }
}

INSTANTIATE_TEST_SUITE_P(, FlowOp, ::testing::ValuesIn(computingOps()),
                         [](const auto &info) { return info.param.getStringRef().drop_front(5).str(); });
