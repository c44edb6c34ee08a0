// Puts an op's results together from its iteration space and accesses, and from its accumulators where it is
// a reduction, and compares them with what its evaluator gives.
#include "frontends/check/CheckOps.h"
#include "frontends/check/FoldBody.h"
#include "frontends/check/OpCase.h"
#include <cmath>

using namespace mlir;
using flow::Array;
using flow::ComputeKind;

namespace moe {
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
  bool strayed = false; // an index lay outside an axis that is not bounded

  /// The element that an operand's access reads at a point, or so many places behind it along the last axis;
  /// nothing where it holds none.
  std::optional<double> read(unsigned operand, ArrayRef<int64_t> point, int64_t behind = 0) {
    const flow::Access &access = accesses[operand];
    const Array &x = *operands[operand];
    if (IntegerSet valid = access.valid)
      for (AffineExpr constraint : valid.getConstraints())
        if (valueAt(constraint, access, point, symbols) != 0)
          return std::nullopt;
    if (access.within) {
      const double here = double(point[access.within->dim]);
      if (here < read(access.within->operand, point).value_or(NAN) ||
          here >= read(access.within->operand, point, 1).value_or(NAN))
        return std::nullopt;
    }
    int64_t position = 0;
    for (auto [axis, result] : llvm::enumerate(access.map.getResults())) {
      int64_t index = access.lookup && access.lookup->axis == axis
                          ? int64_t(read(access.lookup->operand, point).value_or(-1))
                          : valueAt(result, access, point, symbols);
      if (axis + 1 == access.map.getNumResults())
        index += behind;
      const bool inside = index >= 0 && index < x.shape[axis];
      strayed |= !inside && !access.isBounded(axis);
      if (!inside)
        return std::nullopt;
      position = position * x.shape[axis] + index;
    }
    return x.data[position];
  }
};

/// Adds up a reduction's points by its own bodies.
struct Accumulation {
  flow::ReductionInterface op;
  FoldBody fold;
  SmallVector<flow::Accumulator> parts;
  SmallVector<Type> types; // of the parts
  SmallVector<Type> operandTypes;

  Accumulation(flow::ReductionInterface op, ArrayRef<unsigned> read)
      : op(op), fold(op->getContext()), parts(op.accumulators()) {
    for (const flow::Accumulator &part : parts)
      types.push_back(part.element);
    for (unsigned i : read)
      operandTypes.push_back(flow::elementTypesOf(op->getOperand(i).getType()).compute);
  }

  FoldBody::Numbers start() const {
    FoldBody::Numbers numbers;
    for (const flow::Accumulator &part : parts)
      numbers.push_back(part.start);
    return numbers;
  }
  std::optional<FoldBody::Numbers> element(ArrayRef<double> operands, ArrayRef<double> indices) {
    SmallVector<Type> all(operandTypes);
    all.append(indices.size(), IntegerType::get(op->getContext(), 32));
    SmallVector<double> values(operands);
    llvm::append_range(values, indices);
    return fold.run(all, values, [&](OpBuilder &b, Location loc, ArrayRef<Value> v) {
      return op.buildElement(b, loc, v.take_front(operands.size()), v.drop_front(operands.size()));
    });
  }
  std::optional<FoldBody::Numbers> combine(ArrayRef<double> x, ArrayRef<double> y) {
    SmallVector<Type> both(types);
    llvm::append_range(both, types);
    SmallVector<double> values(x);
    llvm::append_range(values, y);
    return fold.run(both, values, [&](OpBuilder &b, Location loc, ArrayRef<Value> v) {
      return op.buildCombine(b, loc, v.take_front(parts.size()), v.drop_front(parts.size()));
    });
  }
  std::optional<FoldBody::Numbers> finish(ArrayRef<double> accumulators) {
    return fold.run(types, accumulators,
                    [&](OpBuilder &b, Location loc, ArrayRef<Value> v) { return op.buildFinish(b, loc, v); });
  }
};

std::string text(ArrayRef<double> numbers) {
  std::string all;
  for (double number : numbers)
    all += (all.empty() ? "" : ", ") + exactText(number);
  return "(" + all + ")";
}

bool isSame(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// What an op's facts give for one case.
class Derived {
public:
  Derived(OpCase &one, Operation *op, ComputeKind kind)
      : one(one), op(op), kind(kind), symbols(one.bindings.setting.symbols) {
    auto compute = cast<flow::ComputeInterface>(op);
    reader = {compute.accesses(), {}, symbols};
    for (flow::Extent extent : compute.iterationSpace())
      space.push_back(*extent.evaluate(symbols));
    for (unsigned dim : compute.indexDims())
      indexDims.push_back(dim);
  }

  moert::Status check();

private:
  moert::Status wrong(const std::string &what) { return moert::invalidInput(what, ", of\n", one.text()); }
  moert::Status computeResults(const flow::Evaluation &evaluated);
  moert::Status addPoint(Accumulation &sum, FoldBody::Numbers &into, ArrayRef<double> values,
                         ArrayRef<int64_t> point);

  OpCase &one;
  Operation *op;
  ComputeKind kind;
  flow::Symbols symbols;
  Reader reader;
  SmallVector<int64_t> space;
  SmallVector<unsigned> indexDims;
  SmallVector<Array> results;
  bool isStuck =
      false; // the accumulators' bodies have an op that does not fold: compiled code alone has them
};

moert::Status Derived::addPoint(Accumulation &sum, FoldBody::Numbers &into, ArrayRef<double> values,
                                ArrayRef<int64_t> point) {
  SmallVector<double> indices;
  for (unsigned dim : indexDims)
    indices.push_back(double(point[dim]));
  auto added = sum.element(values, indices);
  if (added && added->size() != sum.parts.size())
    return wrong(moert::concat("expected ", sum.parts.size(), " accumulators from buildElement, found ",
                               added->size()));
  auto with = added ? sum.combine(*added, sum.start()) : std::nullopt,
       next = added ? sum.combine(into, *added) : std::nullopt;
  isStuck |= !with || !next;
  if (isStuck)
    return moert::okStatus();
  if (next->size() != sum.parts.size())
    return wrong(moert::concat("expected ", sum.parts.size(), " accumulators from buildCombine, found ",
                               next->size()));
  for (auto [part, value] : llvm::enumerate(*added))
    if (!isSame(value, (*with)[part]))
      return wrong("expected combining with the start to leave " + text(*added) + " as it is, found " +
                   text(*with));
  into = *next;
  return moert::okStatus();
}

moert::Status Derived::computeResults(const flow::Evaluation &evaluated) {
  const SmallVector<unsigned> read = flow::valueOperands(reader.accesses);
  const std::vector<int64_t> &shape = evaluated.outputs.at("y").shape;
  results.assign(op->getNumResults(), Array(ArrayRef<int64_t>(shape)));
  std::optional<Accumulation> sum;
  if (auto reduction = dyn_cast<flow::ReductionInterface>(op))
    sum.emplace(reduction, read);
  std::vector<FoldBody::Numbers> parts(results[0].data.size(), sum ? sum->start() : FoldBody::Numbers{0});
  int64_t points = 1;
  for (int64_t extent : space)
    points *= extent;
  for (int64_t p = 0; p < points; ++p) {
    SmallVector<int64_t> point(space.size());
    for (int64_t rest = p, axis = space.size(); axis-- > 0; rest /= space[axis])
      point[axis] = rest % space[axis];
    int64_t at = 0;
    for (size_t axis = 0; axis < shape.size(); ++axis)
      at = at * shape[axis] + point[axis];
    SmallVector<double> values;
    bool holds = true;
    std::optional<double> first;
    for (unsigned i : read) {
      std::optional<double> value = reader.read(i, point);
      holds &= value.has_value();
      first = first ? first : value;
      values.push_back(value.value_or(reader.accesses[i].otherwise));
    }
    if (reader.strayed)
      return wrong(
          "expected accesses within their operands, or along axes that are bounded, found one outside at " +
          text(SmallVector<double>(point.begin(), point.end())));
    if (kind == ComputeKind::view) {
      parts[at] = {first.value_or(reader.accesses[0].otherwise)};
    } else if (sum) {
      // Where an access does not hold, a reduction's point adds nothing, a contraction's a product with 0.
      if (holds)
        MOERT_TRY(addPoint(*sum, parts[at], values, point));
    } else {
      double product = 1;
      for (double value : values)
        product *= value;
      parts[at][0] += product;
    }
  }
  for (size_t at = 0; at < parts.size(); ++at) {
    FoldBody::Numbers numbers = parts[at];
    if (sum) {
      auto finished = sum->finish(numbers);
      isStuck |= !finished;
      if (isStuck)
        return moert::okStatus();
      if (finished->size() != results.size())
        return wrong(
            moert::concat("expected ", results.size(), " values from buildFinish, found ", finished->size()));
      numbers = *finished;
    }
    for (auto [result, number] : llvm::zip(results, numbers))
      result.data[at] = number;
  }
  return moert::okStatus();
}

moert::Status Derived::check() {
  if (std::string fault = kind == ComputeKind::emitter ? "" : flow::faultOf(op, reader.accesses);
      !fault.empty())
    return wrong("expected accesses that loops can be made of, found: " + fault);
  if (reader.accesses.size() != op->getNumOperands())
    return wrong(moert::concat("expected an access for each of ", op->getNumOperands(), " operands, found ",
                               reader.accesses.size()));
  if (kind == ComputeKind::elementwise)
    return moert::okStatus(); // its body is compiled
  SmallVector<const Array *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(&one.bindings.inputs.at(operand.getDefiningOp<flow::InputOp>().getName().str()));
  reader.operands = operands;
  auto evaluated = one.evaluate();
  if (failed(evaluated))
    return wrong("expected a case that can be evaluated, found none");
  MOERT_TRY(computeResults(*evaluated));
  if (isStuck)
    return moert::okStatus();
  auto truth = cast<flow::TruthInterface>(op);
  SmallVector<Array> expected;
  for (unsigned i = 0; i < results.size(); ++i)
    expected.push_back(evaluated->outputs.at(flow::RandomCase::resultName(i)));
  const SmallVector<Array> magnitudes = truth.magnitude(operands, expected);
  // Accumulators are folded in f32, all else is exact.
  const double slack =
      isa<flow::ReductionInterface>(op) ? std::max(4.0, truth.errorFactor()) * 0x1p-24 : 1e-12;
  for (auto [number, result] : llvm::enumerate(results))
    for (size_t k = 0; k < result.data.size(); ++k) {
      const double wanted = expected[number].data[k], bound = slack * (1 + magnitudes[number].data[k]);
      if (!isSame(wanted, result.data[k]) && !(std::fabs(wanted - result.data[k]) <= bound))
        return wrong(moert::concat("expected ", flow::RandomCase::resultName(number), "[", k, "] to be ",
                                   exactText(wanted), " by the accesses as by the evaluator, found ",
                                   exactText(result.data[k])));
    }
  return moert::okStatus();
}

} // namespace

moert::Status checkAccesses(RegisteredOperationName name, uint64_t seed) {
  OpCase one = randomCase(name, seed);
  Operation *op = one.output("y").getDefiningOp();
  auto compute = cast<flow::ComputeInterface>(op);
  const ComputeKind kind = compute.computeKind();
  // What is no product at each point, or made of other ops, follows from no accesses.
  if (kind == ComputeKind::generator || kind == ComputeKind::composite ||
      (kind == ComputeKind::emitter && compute.accesses().empty()) ||
      (kind == ComputeKind::emitter && !cast<flow::CostInterface>(op).cost().contraction))
    return moert::okStatus();
  return Derived(one, op, kind).check();
}

} // namespace moe
