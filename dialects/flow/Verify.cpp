// The verifiers of flow's ops. Each check carries the constraint's number, which
// test/dialects/flow-errors.mlir repeats at the text that breaks it. Types speak of sizes by their normal
// forms, so equality of extents is equality of objects.
#include "dialects/flow/Attention.h"
#include "dialects/flow/BatchHint.h"
#include "dialects/flow/Flow.h"
#include "dialects/flow/Precision.h"
#include "dialects/flow/Recomputed.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/ADT/SmallSet.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace flow;

namespace {

int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }
Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

/// At most how many units of its symbols' products a size has: the number that must fit 64 bits.
uint64_t magnitude(AffineExpr expression) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue() < 0 ? -uint64_t(constant.getValue()) : uint64_t(constant.getValue());
  auto binary = dyn_cast<AffineBinaryOpExpr>(expression);
  if (!binary)
    return 1;
  uint64_t l = magnitude(binary.getLHS()), r = magnitude(binary.getRHS());
  return binary.getKind() == AffineExprKind::Add   ? llvm::SaturatingAdd(l, r)
         : binary.getKind() == AffineExprKind::Mul ? llvm::SaturatingMultiply(l, r)
                                                   : std::max(l, r);
}

/// The least and the largest value of a size over all batches, where they can be told: symbols are 1 or more
/// and unbounded.
struct Bounds {
  std::optional<int64_t> low, high; // none: unbounded
};
Bounds boundsOf(AffineExpr expression) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return {constant.getValue(), constant.getValue()};
  auto binary = dyn_cast<AffineBinaryOpExpr>(expression);
  if (!binary)
    return {1, std::nullopt};
  Bounds l = boundsOf(binary.getLHS()), r = boundsOf(binary.getRHS());
  auto both = [](auto fold, std::optional<int64_t> a, std::optional<int64_t> b) -> std::optional<int64_t> {
    int64_t result;
    return !a || !b || fold(*a, *b, result) ? std::nullopt : std::optional(result);
  };
  auto add = [](int64_t a, int64_t b, int64_t &sum) { return llvm::AddOverflow(a, b, sum); };
  auto mul = [](int64_t a, int64_t b, int64_t &product) { return llvm::MulOverflow(a, b, product); };
  if (binary.getKind() == AffineExprKind::Add)
    return {both(add, l.low, r.low), both(add, l.high, r.high)};
  if (binary.getKind() == AffineExprKind::Mul) { // the normal form has a constant on the right
    if (r.high && *r.high <= 0 && r.low)
      return {both(mul, l.high, r.low), both(mul, l.low, r.high)};
    if (l.low && *l.low >= 0 && r.low && *r.low >= 0)
      return {both(mul, l.low, r.low), both(mul, l.high, r.high)};
    return {};
  }
  return l.low && *l.low >= 0 ? Bounds{0, l.high} : Bounds{}; // a quotient; its divisor is positive
}

/// A sum that is at most the given one and has fewer quotients that are taken away: k * floor(P, k) is at
/// most P, and k * ceil(P, k) at most P + k - 1.
AffineExpr withoutQuotients(AffineExpr sum) {
  auto binary = dyn_cast<AffineBinaryOpExpr>(sum);
  if (binary && binary.getKind() == AffineExprKind::Add)
    return withoutQuotients(binary.getLHS()) + withoutQuotients(binary.getRHS());
  if (!binary || binary.getKind() != AffineExprKind::Mul)
    return sum;
  auto by = dyn_cast<AffineConstantExpr>(binary.getRHS());
  auto quotient = dyn_cast<AffineBinaryOpExpr>(binary.getLHS());
  auto k = quotient ? dyn_cast<AffineConstantExpr>(quotient.getRHS()) : AffineConstantExpr();
  bool floor = quotient && quotient.getKind() == AffineExprKind::FloorDiv;
  if (!by || !k || by.getValue() >= 0 || k.getValue() < 1 || by.getValue() % k.getValue() ||
      (!floor && quotient.getKind() != AffineExprKind::CeilDiv))
    return sum;
  return (quotient.getLHS() + (floor ? 0 : k.getValue() - 1)) * (by.getValue() / k.getValue());
}

/// Are there `least` elements in `there` for every batch?
bool holds(Extent there, Extent least) {
  AffineExpr slack = (there - least).affine();
  for (AffineExpr each : {slack, Extent::fromAffine(withoutQuotients(slack)).affine()})
    if (auto low = boundsOf(each).low; low && *low >= 0)
      return true;
  return false;
}

/// What is wrong with the sizes of a type, if anything: one that is dynamic has an expression, none is 0, and
/// all of them multiplied fit 64 bits. Nothing else can be said about a type before.
LogicalResult hasExtents(Operation *op) {
  for (Value value :
       llvm::concat<Value>(SmallVector<Value>(op->getOperands()), SmallVector<Value>(op->getResults()))) {
    auto type = cast<RankedTensorType>(value.getType());
    if (!type.hasStaticShape() && !isa_and_nonnull<DimsAttr>(type.getEncoding()))
      return op->emitOpError("expected #flow.dims on a tensor of dynamic shape, found ") << type;
    uint64_t elements = 1;
    for (int64_t axis = 0; axis < type.getRank(); ++axis)
      if (Extent extent = Extent::of(type, axis); extent.isConstant(0))
        return op->emitOpError("expected sizes of at least 1, found 0 along axis ") << axis << " of " << type;
      else
        elements = llvm::SaturatingMultiply(elements, magnitude(extent.affine()));
    if (elements > uint64_t(INT64_MAX) / 64)
      return op->emitOpError("expected sizes that multiplied fit 64 bits, found ") << type;
  }
  return success();
}

/// Only generators, contractions and convolutions may have the attribute of recomputed clones (Recomputed.h).
LogicalResult expectRecomputed(Operation *op, Attribute attribute) {
  auto compute = dyn_cast<ComputeInterface>(op);
  if (!compute || (op->getNumOperands() && compute.computeKind() != ComputeKind::emitter))
    return op->emitOpError("expected ")
           << recomputedName << " on a generator, a contraction or a convolution alone";
  auto segment = dyn_cast<IntegerAttr>(attribute);
  if (!segment || !segment.getType().isInteger(64) || segment.getInt() < 1)
    return op->emitOpError("expected ") << recomputedName << " of 1 or more in 64 bits, found " << attribute;
  return success();
}

LogicalResult expectRank(Operation *op, Value value, int64_t rank, StringRef name) {
  if (rankOf(value) == rank)
    return success();
  return op->emitOpError("expected ") << name << " of rank " << rank << ", found rank " << rankOf(value);
}

LogicalResult expectCount(Operation *op, ArrayRef<int64_t> list, int64_t count, StringRef name) {
  if (int64_t(list.size()) == count)
    return success();
  return op->emitOpError("expected ") << count << " " << name << ", found " << list.size();
}

/// Numbers that are added to sizes and multiplied with them: far from overflow.
LogicalResult expectSmall(Operation *op, ArrayRef<int64_t> list, StringRef name) {
  for (int64_t number : list)
    if (number > INT32_MAX || number < -INT32_MAX)
      return op->emitOpError("expected ") << name << " of at most " << INT32_MAX << ", found " << number;
  return success();
}

LogicalResult expectExtent(Operation *op, Extent expected, Extent found, int64_t axis,
                           StringRef name = "result") {
  if (expected == found)
    return success();
  return op->emitOpError("expected extent ")
         << expected.str() << " along axis " << axis << " of the " << name << ", found " << found.str();
}

LogicalResult expectElement(Operation *op, Value value, Type element, StringRef name) {
  if (elementOf(value) == element)
    return success();
  return op->emitOpError("expected ") << name << " of " << element << ", found " << elementOf(value);
}

LogicalResult expectScalar(Operation *op, Value value, StringRef name) {
  return expectRank(op, value, 0, name);
}

LogicalResult expectStatic(Operation *op, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.hasStaticShape())
    return success();
  return op->emitOpError("expected a static shape: it outlives every batch; found ") << type;
}

/// Axes in range and each once; ascending where the order is nobody's choice.
LogicalResult expectAxes(Operation *op, ArrayRef<int64_t> axes, int64_t rank, bool ascending) {
  llvm::SmallSet<int64_t, 8> seen;
  for (auto [i, axis] : llvm::enumerate(axes)) {
    if (axis < 0 || axis >= rank)
      return op->emitOpError("expected axes below ") << rank << ", found " << axis;
    if (!seen.insert(axis).second)
      return op->emitOpError("expected each axis once, found ") << axis << " twice";
    if (ascending && i && axes[i - 1] > axis)
      return op->emitOpError("expected ascending axes, found ") << axis << " after " << axes[i - 1];
  }
  return success();
}

/// (input + before + after - window) / stride + 1, rounded down: the number of windows along an axis.
Extent windowsAlong(Extent input, int64_t pads, int64_t size, int64_t stride) {
  return (input + (pads - size)).floordiv(stride) + 1;
}

LogicalResult expectWindows(Operation *op, ArrayRef<Extent> image, ArrayRef<Extent> out,
                            ArrayRef<int64_t> size, ArrayRef<int64_t> strides, ArrayRef<int64_t> pads) {
  if (failed(expectCount(op, strides, 2, "strides")) || failed(expectCount(op, pads, 4, "pads")) ||
      failed(expectSmall(op, strides, "strides")) || failed(expectSmall(op, pads, "pads")) ||
      failed(expectSmall(op, size, "a window")))
    return failure();
  for (int i : {0, 1}) {
    if (strides[i] < 1)
      return op->emitOpError("expected positive strides, found ") << strides[i];
    if (pads[i] < 0 || pads[i + 2] < 0)
      return op->emitOpError("expected no negative padding, found ") << std::min(pads[i], pads[i + 2]);
    if (size[i] < 1)
      return op->emitOpError("expected a positive window, found ") << size[i];
    int64_t both = pads[i] + pads[i + 2];
    auto constant = image[i].constantValue();
    if (constant && *constant + both < size[i])
      return op->emitOpError("expected a window of at most ")
             << *constant + both << " (the padded image) along axis " << i + 2 << ", found " << size[i];
    if (failed(expectExtent(op, windowsAlong(image[i], both, size[i], strides[i]), out[i], i + 2, "windows")))
      return failure();
  }
  return success();
}

/// conv and its two gradients relate the same three tensors: x [B,C,H,W], w [O,C,KH,KW], y [B,O,OH,OW].
LogicalResult expectConv(Operation *op, Value x, Value w, Value y, ArrayRef<int64_t> strides,
                         ArrayRef<int64_t> pads) {
  if (failed(hasExtents(op)))
    return failure();
  for (auto [value, name] :
       {std::pair(x, "an image"), std::pair(w, "a filter"), std::pair(y, "an output image")})
    if (failed(expectRank(op, value, 4, name)))
      return failure();
  if (failed(expectStatic(op, w)))
    return failure();
  auto xs = extentsOf(x), ws = extentsOf(w), ys = extentsOf(y);
  if (failed(expectExtent(op, xs[0], ys[0], 0, "output image")) ||
      failed(expectExtent(op, xs[1], ws[1], 1, "filter")) ||
      failed(expectExtent(op, ws[0], ys[1], 1, "output image")))
    return failure();
  int64_t size[] = {*ws[2].constantValue(), *ws[3].constantValue()};
  return expectWindows(op, ArrayRef(xs).drop_front(2), ArrayRef(ys).drop_front(2), size, strides, pads);
}

/// x [B,C,H,W] against windows [B,C,OH,OW,KH,KW].
LogicalResult expectWindow(Operation *op, Value image, Value windows, ArrayRef<int64_t> strides,
                           ArrayRef<int64_t> pads) {
  if (failed(hasExtents(op)) || failed(expectRank(op, image, 4, "an image")) ||
      failed(expectRank(op, windows, 6, "windows")))
    return failure();
  auto xs = extentsOf(image), ws = extentsOf(windows);
  for (int axis : {0, 1})
    if (failed(expectExtent(op, xs[axis], ws[axis], axis, "windows")))
      return failure();
  auto kh = ws[4].constantValue(), kw = ws[5].constantValue();
  if (!kh || !kw)
    return op->emitOpError("expected windows of a constant size, found ")
           << ws[4].str() << " by " << ws[5].str();
  int64_t size[] = {*kh, *kw};
  return expectWindows(op, ArrayRef(xs).drop_front(2), ArrayRef(ws).slice(2, 2), size, strides, pads);
}

} // namespace

// 27: a batch hint has the form of one, and a precision is one. 28: a program contains either entries or targets with entries; a
// target contains only entries, and its name is unique.
LogicalResult ProgramOp::verify() {
  auto config = (*this)->getAttrOfType<DictionaryAttr>("config");
  if (Attribute hint = config ? config.get(BatchHint::key) : Attribute()) {
    std::string error = "expected a batch hint as text";
    auto text = dyn_cast<StringAttr>(hint);
    if (!text || !BatchHint::parse(text.getValue(), error))
      return emitOpError() << error;
  }
  if (Attribute precision = config ? config.get(precisionKey) : Attribute()) {
    auto name = dyn_cast<StringAttr>(precision);
    if (!name || !precisionNamed(name))
      return emitOpError("expected a precision of ") << precisionNames() << ", found " << precision;
  }
  if (getBody().empty()) // its own verifier says so
    return success();
  llvm::StringSet<> names;
  Operation *first = nullptr;
  for (Operation &op : getBody().front()) {
    auto target = dyn_cast<TargetOp>(op);
    if (!target && !isa<EntryOp>(op))
      return op.emitOpError("expected an entry or a target in a program");
    if (!first)
      first = &op;
    if (op.getName() != first->getName()) {
      auto error = op.emitOpError("expected either entries or targets in a program, found both");
      error.attachNote(first->getLoc()) << "the other kind is first here";
      return error;
    }
    if (!target)
      continue;
    if (!names.insert(target.getName()).second)
      return target.emitOpError("expected each target once, found '") << target.getName() << "' again";
    for (Operation &inner : target.getBody().front())
      if (!isa<EntryOp>(inner))
        return inner.emitOpError("expected entries alone in a target");
  }
  return success();
}

// 1: names are unique by kind. 2: an assignment names a parameter or state of this entry, of its type, once.
// 23: flow.recomputed is the number of a backward segment (Recomputed.h). 25: an update's predicate is an
// output of the training entry and a number; assignments of an inference entry have none. 26: only inference
// entries have exposed outputs. 29: inputs, outputs, parameters and states have sizes over D and N; a
// target's own symbols are for the values between them. Capacities are named once, of rows over D and N.
LogicalResult EntryOp::verifyRegions() {
  llvm::StringMap<Operation *> inputs, outputs, exposed, states, assigned;
  auto once = [](llvm::StringMap<Operation *> &seen, StringRef name, Operation *op, StringRef what) {
    auto [found, fresh] = seen.try_emplace(name, op);
    if (fresh)
      return success();
    auto error = op->emitOpError("expected each ") << what << " once, found '" << name << "' again";
    error.attachNote(found->second->getLoc()) << "it is first here";
    return LogicalResult(error);
  };
  for (Operation &op : getBody().front()) {
    LogicalResult ok = success();
    if (isa<InputOp, ParameterOp, StateOp>(op) && failed(hasExtents(&op)))
      return failure();
    if (isa<InputOp, ParameterOp, StateOp, OutputOp, AssignOp, ExposeOp>(op))
      for (Type type : llvm::concat<const Type>(SmallVector<Type>(op.getOperandTypes()),
                                                SmallVector<Type>(op.getResultTypes())))
        for (Extent extent : extentsOf(type))
          if (SmallVector<StringRef> open = extent.openSymbols(); !open.empty())
            return op.emitOpError("expected sizes over D and N of what enters or leaves an entry, found ")
                   << extent.str();
    if (auto input = dyn_cast<InputOp>(op))
      ok = once(inputs, input.getName(), &op, "input");
    else if (auto output = dyn_cast<OutputOp>(op))
      ok = once(outputs, output.getName(), &op, "output");
    else if (auto expose = dyn_cast<ExposeOp>(op))
      ok = once(exposed, expose.getName(), &op, "exposed value");
    else if (auto parameter = dyn_cast<ParameterOp>(op))
      ok = once(states, parameter.getPath(), &op, "path");
    else if (auto state = dyn_cast<StateOp>(op))
      ok = once(states, state.getPath(), &op, "path");
    if (failed(ok))
      return failure();
  }
  for (auto assign : getBody().getOps<AssignOp>()) {
    if (failed(once(assigned, assign.getPath(), assign, "assignment")))
      return failure();
    Operation *target = states.lookup(assign.getPath());
    if (!target)
      return assign.emitOpError("expected the path of a parameter or state of this entry, found '")
             << assign.getPath() << "'";
    if (target->getResult(0).getType() != assign.getX().getType()) {
      auto error = assign.emitOpError("expected ")
                   << target->getResult(0).getType() << ", found " << assign.getX().getType();
      error.attachNote(target->getLoc()) << "'" << assign.getPath() << "' is declared here";
      return error;
    }
    if (std::optional<StringRef> when = assign.getWhen()) {
      if (getKind() != EntryKind::train)
        return assign.emitOpError("expected 'when' in a training entry alone");
      auto predicate = dyn_cast_or_null<OutputOp>(outputs.lookup(*when));
      if (!predicate ||
          predicate.getX().getType() != RankedTensorType::get({}, Float32Type::get(getContext())))
        return assign.emitOpError("expected the name of an output of tensor<f32> behind 'when', found '")
               << *when << "'";
    }
  }
  for (auto output : getBody().getOps<OutputOp>())
    if (output.getExposed() && getKind() != EntryKind::infer)
      return output.emitOpError("expected an exposed output in an inference entry alone");
  WalkResult recomputed = getBody().walk([](Operation *op) {
    Attribute attribute = op->getDiscardableAttr(recomputedName);
    return WalkResult(attribute ? expectRecomputed(op, attribute) : success());
  });
  llvm::StringSet<> limited;
  if (ArrayAttr capacities = getCapacitiesAttr())
    for (auto each : capacities.getAsRange<CapacityAttr>()) {
      if (!limited.insert(each.getRouting()).second)
        return emitOpError("expected each routing's capacity once, found '")
               << each.getRouting().getValue() << "' again";
      if (!each.getRows().getExtent().openSymbols().empty())
        return emitOpError("expected rows over D and N in the capacity of '")
               << each.getRouting().getValue() << "', found " << each.getRows().getExtent().str();
    }
  return failure(recomputed.wasInterrupted());
}

// 3: what outlives a step has a static shape.
LogicalResult ParameterOp::verify() { return expectStatic(*this, getY()); }
LogicalResult StateOp::verify() { return expectStatic(*this, getY()); }
// 4: a scalar is 0-d.
LogicalResult ScalarOp::verify() { return expectScalar(*this, getY(), "a scalar"); }

/// Whether a number is an element of the type.
static LogicalResult expectElementValue(Operation *op, Type element, double value) {
  if (element.isInteger(1) && value != 0 && value != 1)
    return op->emitOpError("expected 0 or 1 for a mask, found ") << value;
  if (element.isInteger(32) &&
      !(value >= -2147483648.0 && value <= 2147483647.0 && value == double(int64_t(value))))
    return op->emitOpError("expected a whole number of 32 bits, found ") << value;
  return success();
}

// 5: masks are 0 or 1, indices whole numbers of 32 bits.
LogicalResult ConstantOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  return expectElementValue(*this, elementOf(getY()), getValue().convertToDouble());
}

// 6: the axis exists.
LogicalResult IotaOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  return expectAxes(*this, {int64_t(getAxis())}, rankOf(getY()), true);
}

LogicalResult ExtentOp::verify() { return expectScalar(*this, getY(), "a result"); }

// 7: an index for every element, or for the elements of the first axes.
LogicalResult RandomOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  if (int64_t stream = getStream(); stream < 0 || stream > 0xFFFFFFFFll)
    return emitOpError("expected a stream of 32 bits, found ") << stream;
  if (!getIndex())
    return success();
  if (rankOf(getIndex()) > rankOf(getY()))
    return emitOpError("expected an index of the result's first axes, of ")
           << rankOf(getY()) << " at most, found " << rankOf(getIndex());
  for (int64_t axis = 0; axis < rankOf(getIndex()); ++axis)
    if (failed(expectExtent(*this, Extent::of(getY(), axis), Extent::of(getIndex(), axis), axis, "index")))
      return failure();
  return success();
}

// 8: the same shape.
LogicalResult ConvertOp::verify() {
  if (getX().getType() != withElement(getY().getType(), elementOf(getX())))
    return emitOpError("expected a result of the operand's shape, ")
           << getX().getType() << ", found " << getY().getType();
  return success();
}

// 9: the scale is a scalar.
LogicalResult ReverseGradientOp::verify() { return expectScalar(*this, getScale(), "a scale"); }

// 10: one ascending result axis an operand axis, of its extent unless that is 1.
LogicalResult BroadcastOp::verify() {
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")) ||
      failed(expectCount(*this, getDims(), rankOf(getX()), "axes in dims")) ||
      failed(expectAxes(*this, getDims(), rankOf(getY()), true)))
    return failure();
  for (auto [axis, to] : llvm::enumerate(getDims())) {
    Extent from = Extent::of(getX(), axis);
    if (!from.isConstant(1) && failed(expectExtent(*this, from, Extent::of(getY(), to), to)))
      return failure();
  }
  return success();
}

// 11: the same number of elements.
LogicalResult ReshapeOp::verify() {
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")))
    return failure();
  Extent from = elementsOf(getX().getType()), to = elementsOf(getY().getType());
  if (from != to)
    return emitOpError("expected a result of ") << from.str() << " elements, found " << to.str();
  return success();
}

// 12: a permutation of the axes.
LogicalResult TransposeOp::verify() {
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")) ||
      failed(expectRank(*this, getY(), rankOf(getX()), "a result")) ||
      failed(expectCount(*this, getPerm(), rankOf(getX()), "axes")) ||
      failed(expectAxes(*this, getPerm(), rankOf(getX()), false)))
    return failure();
  for (auto [axis, from] : llvm::enumerate(getPerm()))
    if (failed(expectExtent(*this, Extent::of(getX(), from), Extent::of(getY(), axis), axis)))
      return failure();
  return success();
}

// 13: the last element taken exists, whatever the batch.
LogicalResult SliceOp::verify() {
  int64_t rank = rankOf(getX());
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")) ||
      failed(expectRank(*this, getY(), rank, "a result")) ||
      failed(expectCount(*this, getStarts(), rank, "starts")) ||
      failed(expectCount(*this, getStrides(), rank, "strides")) ||
      failed(expectSmall(*this, getStarts(), "starts")) ||
      failed(expectSmall(*this, getStrides(), "strides")))
    return failure();
  for (int64_t axis = 0; axis < rank; ++axis) {
    int64_t start = getStarts()[axis], stride = getStrides()[axis];
    if (start < 0 || stride < 1)
      return emitOpError("expected starts from 0 and strides from 1, found ") << start << " and " << stride;
    Extent from = Extent::of(getX(), axis), to = Extent::of(getY(), axis);
    if (start == 0 && stride == 1 && from == to)
      continue;
    Extent last = (to - 1) * stride + (start + 1);
    if (!holds(from, last))
      return emitOpError("expected at least ")
             << last.str() << " elements along axis " << axis << " for every batch, found " << from.str();
  }
  return success();
}

// 14: every operand element has a place in the result, whatever the batch.
LogicalResult PadOp::verify() {
  int64_t rank = rankOf(getX());
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")) ||
      failed(expectRank(*this, getY(), rank, "a result")) ||
      failed(expectCount(*this, getLow(), rank, "low")) ||
      failed(expectCount(*this, getInterior(), rank, "interior")) ||
      failed(expectSmall(*this, getLow(), "low")) || failed(expectSmall(*this, getInterior(), "interior")) ||
      failed(expectElementValue(*this, elementOf(getY()), getValue().convertToDouble())))
    return failure();
  for (int64_t axis = 0; axis < rank; ++axis) {
    int64_t low = getLow()[axis], interior = getInterior()[axis];
    if (low < 0 || interior < 0)
      return emitOpError("expected no negative padding, found ") << std::min(low, interior);
    Extent least = (Extent::of(getX(), axis) - 1) * (interior + 1) + (low + 1), to = Extent::of(getY(), axis);
    if (!holds(to, least))
      return emitOpError("expected at least ") << least.str() << " elements along axis " << axis
                                               << " of the result for every batch, found " << to.str();
  }
  return success();
}

// 15: the operands' extents add up along the axis and agree along the others; where each begins is a
// constant.
LogicalResult ConcatOp::verify() {
  if (getXs().empty())
    return emitOpError("expected at least one operand");
  int64_t rank = rankOf(getY()), along = getAxis();
  if (failed(hasExtents(*this)) || failed(expectAxes(*this, {along}, rank, true)))
    return failure();
  Extent total = Extent::constant(getContext(), 0);
  for (Value x : getXs()) {
    if (failed(expectElement(*this, x, elementOf(getY()), "operands")) ||
        failed(expectRank(*this, x, rank, "operands")))
      return failure();
    for (int64_t axis = 0; axis < rank; ++axis)
      if (axis != along &&
          failed(expectExtent(*this, Extent::of(getY(), axis), Extent::of(x, axis), axis, "operand")))
        return failure();
    if (!total.constantValue())
      return emitOpError("expected a constant extent along axis ")
             << along << " of all operands but the last, found " << total.str() << " before one";
    total = total + Extent::of(x, along);
  }
  return expectExtent(*this, total, Extent::of(getY(), along), along);
}

// 16: the result has the other axes.
LogicalResult ReduceOp::verify() {
  if (failed(hasExtents(*this)) || failed(expectElement(*this, getY(), elementOf(getX()), "a result")) ||
      failed(expectAxes(*this, getAxes(), rankOf(getX()), true)) ||
      failed(expectRank(*this, getY(), rankOf(getX()) - getAxes().size(), "a result")))
    return failure();
  for (int64_t axis = 0, to = 0; axis < rankOf(getX()); ++axis) {
    if (llvm::is_contained(getAxes(), axis))
      continue;
    if (failed(expectExtent(*this, Extent::of(getX(), axis), Extent::of(getY(), to), to)))
      return failure();
    ++to;
  }
  return success();
}

LogicalResult flow::verifyAxisReduction(Operation *op, Value x, int64_t along, Value y) {
  if (failed(hasExtents(op)) || failed(expectAxes(op, {along}, rankOf(x), true)) ||
      failed(expectRank(op, y, rankOf(x) - 1, "a result")))
    return failure();
  for (int64_t axis = 0, to = 0; axis < rankOf(x); ++axis) {
    if (axis == along)
      continue;
    if (failed(expectExtent(op, Extent::of(x, axis), Extent::of(y, to), to)))
      return failure();
    ++to;
  }
  return success();
}

/// 17: rows are the index's axes, then the table's but the first.
static LogicalResult expectRows(Operation *op, Value table, Value index, Value rows) {
  if (failed(hasExtents(op)))
    return failure();
  if (rankOf(table) < 1)
    return op->emitOpError("expected a table of rank 1 or more, found rank 0");
  if (failed(expectRank(op, rows, rankOf(index) + rankOf(table) - 1, "rows")))
    return failure();
  SmallVector<Extent> expected = extentsOf(index);
  llvm::append_range(expected, ArrayRef(extentsOf(table)).drop_front());
  for (auto [axis, extent] : llvm::enumerate(expected))
    if (failed(expectExtent(op, extent, Extent::of(rows, axis), axis, "rows")))
      return failure();
  return success();
}
LogicalResult GatherOp::verify() { return expectRows(*this, getTable(), getIndex(), getY()); }
LogicalResult GatherRowsOp::verify() {
  if (failed(expectRows(*this, getTable(), getIndex(), getY())) ||
      failed(expectRank(*this, getInverse(), 2, "an inverse")))
    return failure();
  return expectExtent(*this, Extent::of(getTable(), 0), Extent::of(getInverse(), 0), 0, "inverse");
}
LogicalResult ScatterAddOp::verify() { return expectRows(*this, getY(), getIndex(), getRows()); }

/// 24: a table of as many offsets as there are numbers, and one.
static LogicalResult expectOffsets(Operation *op, Value offsets, std::optional<Extent> count) {
  if (failed(hasExtents(op)) || failed(expectRank(op, offsets, 1, "offsets")))
    return failure();
  Extent one = Extent::constant(op->getContext(), 1);
  return count ? expectExtent(op, *count + one, Extent::of(offsets, 0), 0, "offsets") : success();
}
LogicalResult CountingSortOp::verify() {
  if (failed(expectOffsets(*this, getOffsets(), std::nullopt)) ||
      failed(expectRank(*this, getIndex(), 1, "an index")) ||
      failed(expectRank(*this, getOrder(), 1, "an order")))
    return failure();
  if (failed(expectExtent(*this, Extent::of(getIndex(), 0), Extent::of(getOrder(), 0), 0, "order")) ||
      failed(expectRank(*this, getPositions(), 1, "positions")))
    return failure();
  return expectExtent(*this, Extent::of(getIndex(), 0), Extent::of(getPositions(), 0), 0, "positions");
}
LogicalResult SegmentRowsOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  if (rankOf(getTable()) < 1)
    return emitOpError("expected a table of rank 1 or more, found rank 0");
  if (failed(expectRank(*this, getY(), rankOf(getTable()), "a result")))
    return failure();
  for (int64_t axis = 1; axis < rankOf(getTable()); ++axis)
    if (failed(expectExtent(*this, Extent::of(getTable(), axis), Extent::of(getY(), axis), axis)))
      return failure();
  return expectOffsets(*this, getOffsets(), Extent::of(getTable(), 0));
}

// 31: the operand's shape, or its shape with k in the last axis' place; an axis, k and digits that exist.
static LogicalResult expectPlaces(Operation *op, Value x, Value y) {
  if (failed(hasExtents(op)))
    return failure();
  if (y.getType() == withElement(x.getType(), elementOf(y)))
    return success();
  return op->emitOpError("expected places of the operand's shape, ")
         << x.getType() << ", found " << y.getType();
}
LogicalResult RankOp::verify() {
  if (failed(expectPlaces(*this, getX(), getY())))
    return failure();
  return expectAxes(*this, {int64_t(getAxis())}, rankOf(getX()), true);
}
LogicalResult TopKOp::verify() {
  if (failed(hasExtents(*this)) || failed(expectRank(*this, getY(), rankOf(getX()), "places")))
    return failure();
  const int64_t last = rankOf(getX()) - 1, k = getK();
  if (last < 0)
    return emitOpError("expected an operand of rank 1 or more, found rank 0");
  const std::optional<int64_t> most = Extent::of(getX(), last).constantValue();
  if (!most || k < 1 || k > *most)
    return emitOpError("expected k from 1 to a constant last extent, found ")
           << k << " of " << Extent::of(getX(), last).str();
  for (int64_t axis = 0; axis < last; ++axis)
    if (failed(expectExtent(*this, Extent::of(getX(), axis), Extent::of(getY(), axis), axis)))
      return failure();
  return expectExtent(*this, Extent::constant(getContext(), k), Extent::of(getY(), last), last);
}
LogicalResult ArgsortOp::verify() {
  if (failed(expectPlaces(*this, getX(), getOrder())) || failed(expectPlaces(*this, getX(), getRanks())))
    return failure();
  return expectRank(*this, getX(), 1, "an operand");
}
LogicalResult RadixDigitOp::verify() {
  const int64_t shift = getShift(), bits = getBits();
  if (shift < 0 || bits < 1 || bits > 31 || shift > 32 - bits)
    return emitOpError("expected 1 to 31 bits of a number of 32, found ")
           << bits << " from bit " << shift << " on";
  return success();
}
/// What a limit to the rows of experts is made of.
static LogicalResult expectCapacity(function_ref<InFlightDiagnostic()> emitError, int64_t experts,
                                    int64_t top, double factor, int64_t alignment) {
  if (std::min({experts, top, alignment}) < 1 || std::max({experts, top, alignment}) > INT32_MAX)
    return emitError() << "expected numbers of experts, choices and alignment from 1 to " << INT32_MAX
                       << ", found " << experts << ", " << top << " and " << alignment;
  if (!std::isfinite(factor) || factor == 0)
    return emitError() << "expected a finite factor other than 0, found " << factor;
  return success();
}
LogicalResult CapacityAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringAttr, ExtentAttr,
                                   int64_t experts, int64_t top, FloatAttr factor, int64_t alignment) {
  if (!factor.getType().isF64())
    return emitError() << "expected a factor of f64, found " << factor.getType();
  return expectCapacity(emitError, experts, top, factor.getValueAsDouble(), alignment);
}
LogicalResult CapacityOp::verify() {
  return expectCapacity([&] { return emitOpError(); }, getExperts(), getTop(), getFactor().convertToDouble(),
                        getAlignment());
}
LogicalResult SegmentSumOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  if (rankOf(getRows()) < 1)
    return emitOpError("expected rows of rank 1 or more, found rank 0");
  if (failed(expectRank(*this, getY(), rankOf(getRows()), "a result")))
    return failure();
  for (int64_t axis = 1; axis < rankOf(getRows()); ++axis)
    if (failed(expectExtent(*this, Extent::of(getRows(), axis), Extent::of(getY(), axis), axis)))
      return failure();
  return expectOffsets(*this, getOffsets(), Extent::of(getY(), 0));
}

// 18: labels, one an axis, once in each tensor and in at least two, with one extent a label. Numbers of 31
// bits: who adds an axis counts on from the largest.
static LogicalResult expectLabels(Operation *op, Value value, ArrayRef<int64_t> axes, StringRef name,
                                  std::map<int64_t, std::pair<Extent, int>> &labels) {
  if (int64_t(axes.size()) != rankOf(value))
    return op->emitOpError("expected ")
           << rankOf(value) << " labels for " << name << ", found " << axes.size();
  llvm::SmallSet<int64_t, 8> seen;
  for (auto [axis, label] : llvm::enumerate(axes)) {
    if (label < 0 || label > INT32_MAX)
      return op->emitOpError("expected labels from 0 to ")
             << INT32_MAX << " for " << name << ", found " << label;
    if (!seen.insert(label).second)
      return op->emitOpError("expected each label once in ") << name << ", found " << label << " twice";
    Extent extent = Extent::of(value, axis);
    auto [found, fresh] = labels.try_emplace(label, extent, 1);
    if (!fresh && ++found->second.second && found->second.first != extent)
      return op->emitOpError("expected extent ") << found->second.first.str() << " for label " << label
                                                 << " in " << name << ", found " << extent.str();
  }
  return success();
}
LogicalResult ContractOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  std::map<int64_t, std::pair<Extent, int>> labels;
  std::tuple<Value, ArrayRef<int64_t>, StringRef> all[] = {
      {getA(), getAAxes(), "a"}, {getB(), getBAxes(), "b"}, {getY(), getOutAxes(), "the result"}};
  for (auto [value, axes, name] : all)
    if (failed(expectLabels(*this, value, axes, name, labels)))
      return failure();
  for (auto &[label, use] : labels)
    if (use.second < 2)
      return emitOpError("expected each label in at least two of the three tensors, found ")
             << label << " in one";
  return success();
}

// 32: labels as contract's, but that the row's is in two of the tensors, and the group's in the third alone.
LogicalResult GroupedContractOp::verify() {
  if (failed(hasExtents(*this)))
    return failure();
  const int64_t row = getRow(), group = getGroup();
  if (row == group)
    return emitOpError("expected two labels for rows and groups, found ") << row << " for both";
  std::map<int64_t, std::pair<Extent, int>> labels;
  std::tuple<Value, ArrayRef<int64_t>, StringRef> all[] = {
      {getA(), getAAxes(), "a"}, {getB(), getBAxes(), "b"}, {getY(), getOutAxes(), "the result"}};
  for (auto [value, axes, name] : all) {
    if (failed(expectLabels(*this, value, axes, name, labels)))
      return failure();
    if (llvm::is_contained(axes, row) == llvm::is_contained(axes, group))
      return emitOpError("expected either the rows' label ")
             << row << " or the groups' " << group << " in " << name << ", found "
             << (llvm::is_contained(axes, row) ? "both" : "neither");
  }
  for (auto &[label, use] : labels)
    if (label != row && label != group && use.second < 2)
      return emitOpError("expected each label in at least two of the three tensors, found ")
             << label << " in one";
  if (!labels.contains(row) || labels.at(row).second != 2)
    return emitOpError("expected the rows' label ")
           << row << " in two of the three tensors, and the groups' " << group << " in the third";
  return expectOffsets(*this, getOffsets(), labels.at(group).first);
}

// 19: conv's shapes.
LogicalResult ConvOp::verify() { return expectConv(*this, getX(), getW(), getY(), getStrides(), getPads()); }
LogicalResult ConvInputGradOp::verify() {
  return expectConv(*this, getY(), getW(), getDy(), getStrides(), getPads());
}
LogicalResult ConvWeightGradOp::verify() {
  return expectConv(*this, getX(), getY(), getDy(), getStrides(), getPads());
}

// 20: window's shapes.
LogicalResult WindowOp::verify() {
  if (failed(expectCount(*this, getSize(), 2, "sizes")) ||
      failed(expectWindow(*this, getX(), getY(), getStrides(), getPads())))
    return failure();
  for (int i : {0, 1})
    if (!Extent::of(getY(), 4 + i).isConstant(getSize()[i]))
      return emitOpError("expected windows of ")
             << getSize()[i] << " along axis " << 4 + i << ", found " << Extent::of(getY(), 4 + i).str();
  return success();
}
LogicalResult WindowSumOp::verify() { return expectWindow(*this, getY(), getX(), getStrides(), getPads()); }

/// 30: attention's inputs fit each other, and each width is one of whole heads.
static LogicalResult expectAttention(Operation *op, ValueRange inputs, int64_t heads, const APFloat &scale) {
  if (failed(hasExtents(op)))
    return failure();
  if (inputs.size() != 1 && inputs.size() != 3)
    return op->emitOpError("expected q, k and v, or one value of all three, found ")
           << inputs.size() << " inputs";
  // Kernels have the scale in 32 bits.
  if (heads < 1 || heads > INT32_MAX || !std::isfinite(float(scale.convertToDouble())))
    return op->emitOpError("expected at least one head and a finite scale, found ")
           << heads << " and " << scale.convertToDouble();
  const StringRef names[] = {"q", "k", "v"};
  SmallVector<int64_t> widths;
  for (auto [i, input] : llvm::enumerate(inputs)) {
    const StringRef name = inputs.size() == 1 ? "the input" : names[i];
    if (rankOf(input) < 2)
      return op->emitOpError("expected ") << name << " of rank 2 or more, found rank " << rankOf(input);
    if (failed(expectRank(op, input, rankOf(inputs[0]), name)))
      return failure();
    const int64_t last = rankOf(input) - 1, parts = inputs.size() == 1 ? 3 : 1;
    const std::optional<int64_t> width = Extent::of(input, last).constantValue();
    if (!width || *width % parts || *width / parts % heads)
      return op->emitOpError("expected a last axis of ")
             << name << " that is a constant multiple of " << parts * heads << ", found "
             << Extent::of(input, last).str();
    widths.push_back(*width);
    for (int64_t axis = 0; axis + 1 < last; ++axis)
      if (failed(expectExtent(op, Extent::of(inputs[0], axis), Extent::of(input, axis), axis, name)))
        return failure();
  }
  if (inputs.size() == 1)
    return success();
  const int64_t tokens = rankOf(inputs[0]) - 2;
  if (failed(expectExtent(op, Extent::of(inputs[1], tokens), Extent::of(inputs[2], tokens), tokens, "v")))
    return failure();
  return expectExtent(op, Extent::of(inputs[0], tokens + 1), Extent::of(inputs[1], tokens + 1), tokens + 1,
                      "k");
}
static LogicalResult expectType(Operation *op, Value value, Type type, StringRef name) {
  if (value.getType() == type)
    return success();
  return op->emitOpError("expected ") << name << " of type " << type << ", found " << value.getType();
}
LogicalResult AttentionOp::verify() {
  if (failed(expectAttention(*this, getInputs(), int64_t(getHeads()), getScale())))
    return failure();
  const AttentionShape shape = AttentionShape::of(*this);
  return failure(failed(expectType(*this, getY(), shape.resultType(), "a result")) ||
                 failed(expectType(*this, getLogSum(), shape.sumType(), "sums")));
}
LogicalResult AttentionGradOp::verify() {
  if (failed(expectAttention(*this, getInputs(), int64_t(getHeads()), getScale())))
    return failure();
  if (getGradients().size() != getInputs().size())
    return emitOpError("expected ") << getInputs().size() << " gradients, found " << getGradients().size();
  const AttentionShape shape = AttentionShape::of(*this);
  for (auto [gradient, input] : llvm::zip_equal(getGradients(), getInputs()))
    if (failed(expectType(*this, gradient, input.getType(), "a gradient")))
      return failure();
  return failure(failed(expectType(*this, getLogSum(), shape.sumType(), "sums")) ||
                 failed(expectType(*this, getDy(), shape.resultType(), "the result's gradient")) ||
                 failed(expectType(*this, getDelta(), shape.sumType(), "delta")));
}

// 21: one gradient a value, of its type; the loss is a scalar.
LogicalResult GradOp::verify() {
  if (failed(expectScalar(*this, getLoss(), "a loss")))
    return failure();
  if (getWrt().size() != getGradients().size())
    return emitOpError("expected ") << getWrt().size() << " gradients, found " << getGradients().size();
  for (auto [value, gradient] : llvm::zip(getWrt(), getGradients()))
    if (value.getType() != gradient.getType())
      return emitOpError("expected a gradient of ") << value.getType() << ", found " << gradient.getType();
  return success();
}

// 22: a group's block takes its inputs and yields its outputs, and has at most one root.
LogicalResult GroupOp::verifyRegions() {
  Block &block = getBody().front();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError("expected flow.yield at the group's end");
  if (TypeRange(block.getArgumentTypes()) != TypeRange(getInputs().getTypes()))
    return emitOpError("expected block arguments of the inputs' types");
  if (TypeRange(yield.getValues().getTypes()) != TypeRange(getOutputs().getTypes()))
    return emitOpError("expected flow.yield of the outputs' types");
  if (Attribute given = (*this)->getAttr("layouts")) {
    // One order of axes a result, or none.
    auto layouts = dyn_cast<ArrayAttr>(given);
    bool fits = layouts && layouts.size() == getNumResults();
    for (unsigned i = 0; fits && i < getNumResults(); ++i) {
      auto order = dyn_cast<DenseI64ArrayAttr>(layouts[i]);
      fits = order &&
             (order.empty() || (order.size() == cast<RankedTensorType>(getResult(i).getType()).getRank() &&
                                isPermutationVector(order.asArrayRef())));
    }
    if (!fits)
      return emitOpError(
                 "expected layouts of one order of axes a result, each empty or a permutation, found ")
             << given;
  }
  Operation *root = getRoot();
  for (Operation &op : block)
    if (&op != root && isEmitter(&op))
      return emitOpError("expected one op with an emitter of its own, found '")
             << root->getName() << "' and '" << op.getName() << "'";
  return success();
}

Operation *GroupOp::getRoot() {
  for (Operation &op : getBody().front())
    if (isEmitter(&op))
      return &op;
  return nullptr;
}
