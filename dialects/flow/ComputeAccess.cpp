// Iteration spaces, accesses and costs. A space is the result's axes and then the reduced ones; an access
// maps a point of it to an element of an operand. Maps have the batch's symbols (D, N, threads), because a
// reshape divides by extents.
#include "dialects/flow/Flow.h"

using namespace mlir;
using namespace flow;

namespace {

constexpr unsigned symbolCount = 3;

AffineMap mapOf(unsigned dims, ArrayRef<AffineExpr> results, MLIRContext *context) {
  return AffineMap::get(dims, symbolCount, results, context);
}

AffineExpr dim(MLIRContext *context, unsigned i) { return getAffineDimExpr(i, context); }

int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

/// `expression` is divisible by each stride above 1.
IntegerSet divisible(unsigned dims, ArrayRef<std::pair<AffineExpr, int64_t>> all) {
  SmallVector<AffineExpr> constraints;
  for (auto [expression, by] : all)
    if (by > 1)
      constraints.push_back(expression % by);
  if (constraints.empty())
    return {};
  return IntegerSet::get(dims, symbolCount, constraints, SmallVector<bool>(constraints.size(), true));
}

/// Where window element k of window o lies along an axis: o * stride + k - before.
AffineExpr imageIndex(AffineExpr o, AffineExpr k, int64_t stride, int64_t before) {
  return o * stride + k - before;
}
/// Which window holds image element i as its element k, times the stride: i + before - k.
AffineExpr windowIndex(AffineExpr i, AffineExpr k, int64_t before) { return i + before - k; }

/// The elements of a window op's image at (o, k), both given by their first axis in the space.
Access imageAccess(MLIRContext *c, unsigned dims, AffineExpr batch, AffineExpr channel, unsigned o,
                   unsigned k, ArrayRef<int64_t> strides, ArrayRef<int64_t> pads, double otherwise) {
  return {mapOf(dims,
                {batch, channel, imageIndex(dim(c, o), dim(c, k), strides[0], pads[0]),
                 imageIndex(dim(c, o + 1), dim(c, k + 1), strides[1], pads[1])},
                c),
          {},
          true,
          otherwise};
}

/// The windows that hold an image's element, both given by their first axis in the space.
std::pair<SmallVector<AffineExpr>, IntegerSet> windowsOf(MLIRContext *c, unsigned dims, unsigned i,
                                                         unsigned k, ArrayRef<int64_t> strides,
                                                         ArrayRef<int64_t> pads) {
  AffineExpr h = windowIndex(dim(c, i), dim(c, k), pads[0]),
             w = windowIndex(dim(c, i + 1), dim(c, k + 1), pads[1]);
  return {{h.floorDiv(strides[0]), w.floorDiv(strides[1])},
          divisible(dims, {{h, strides[0]}, {w, strides[1]}})};
}

Extent bytesOf(Operation *op) {
  Extent bytes = Extent::constant(op->getContext(), 0);
  auto count = [&](Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    bytes = bytes + elementsOf(type) * (type.getElementType().isInteger(1) ? 1 : 4);
  };
  for (Value operand : op->getOperands())
    count(operand);
  for (Value result : op->getResults())
    count(result);
  return bytes;
}

Cost contractionCost(Operation *op, ArrayRef<Extent> space) {
  return {productOf(space, op->getContext()) * 2, bytesOf(op), true};
}

} // namespace

SmallVector<Access> flow::sameIndexAccesses(Operation *op) {
  SmallVector<Access> all;
  int64_t rank = rankOf(op->getResult(0));
  for (Value operand : op->getOperands()) {
    bool scalar = rankOf(operand) == 0 && rank != 0; // reverse_gradient's scale
    SmallVector<AffineExpr> at;
    for (int64_t axis = 0; axis < (scalar ? 0 : rank); ++axis)
      at.push_back(dim(op->getContext(), axis));
    all.push_back({mapOf(rank, at, op->getContext())});
  }
  return all;
}

Cost flow::elementwiseCost(Operation *op) {
  auto compute = cast<ComputeInterface>(op);
  bool works = compute.computeKind() != ComputeKind::view;
  Extent work =
      works ? productOf(compute.iterationSpace(), op->getContext()) : Extent::constant(op->getContext(), 0);
  return {work, bytesOf(op), false};
}

SmallVector<Access> BroadcastOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at;
  for (auto [axis, to] : llvm::enumerate(getDims())) {
    bool copied = Extent::of(getX(), axis) != Extent::of(getY(), to);
    at.push_back(copied ? getAffineConstantExpr(0, c) : dim(c, to));
  }
  return {{mapOf(rankOf(getY()), at, c)}};
}

SmallVector<Access> ReshapeOp::accesses() {
  // Runs of axes with equal products are divided apart on their own, so that [B, C, H, W] -> [B, C * H * W]
  // keeps B.
  MLIRContext *c = getContext();
  SmallVector<Extent> from = extentsOf(getX()), to = extentsOf(getY());
  SmallVector<AffineExpr> at(from.size(), getAffineConstantExpr(0, c));
  Extent one = Extent::constant(c, 1);
  size_t f = 0, t = 0;
  while (f < from.size() || t < to.size()) {
    // The shortest run of both whose products agree; extents of 1 go along.
    size_t fEnd = f, tEnd = t;
    Extent fProduct = one, tProduct = one;
    if (fEnd < from.size())
      fProduct = from[fEnd++];
    if (tEnd < to.size())
      tProduct = to[tEnd++];
    while (fProduct != tProduct && (fEnd < from.size() || tEnd < to.size())) {
      // Extend the side whose product divides the other; where neither does, take all.
      if (tEnd < to.size() && (fEnd == from.size() || fProduct.exactQuotient(tProduct)))
        tProduct = tProduct * to[tEnd++];
      else
        fProduct = fProduct * from[fEnd++];
    }
    AffineExpr linear = getAffineConstantExpr(0, c);
    for (size_t i = t; i < tEnd; ++i)
      linear = linear * to[i].affine() + dim(c, i);
    if (fEnd == f + 1) {
      at[f] = linear;
    } else {
      for (size_t i = fEnd; i-- > f;) {
        if (i == f) {
          at[i] = linear;
          break;
        }
        at[i] = from[i].isConstant(1) ? getAffineConstantExpr(0, c) : linear % from[i].affine();
        linear = from[i].isConstant(1) ? linear : linear.floorDiv(from[i].affine());
      }
    }
    f = fEnd, t = tEnd;
  }
  return {{mapOf(to.size(), at, c)}};
}

SmallVector<Access> TransposeOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at(getPerm().size());
  for (auto [axis, from] : llvm::enumerate(getPerm()))
    at[from] = dim(c, axis);
  return {{mapOf(at.size(), at, c)}};
}

SmallVector<Access> SliceOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at;
  for (auto [axis, start, stride] : llvm::enumerate(getStarts(), getStrides()))
    at.push_back(dim(c, axis) * stride + start);
  return {{mapOf(at.size(), at, c)}};
}

SmallVector<Access> PadOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at;
  SmallVector<std::pair<AffineExpr, int64_t>> exact;
  for (auto [axis, low, interior] : llvm::enumerate(getLow(), getInterior())) {
    AffineExpr from = dim(c, axis) - low;
    at.push_back(from.floorDiv(interior + 1));
    exact.push_back({from, interior + 1});
  }
  return {{mapOf(at.size(), at, c), divisible(at.size(), exact), true, getValue().convertToDouble()}};
}

SmallVector<Access> ConcatOp::accesses() {
  MLIRContext *c = getContext();
  int64_t rank = rankOf(getY());
  Extent offset = Extent::constant(c, 0);
  SmallVector<Access> all;
  for (Value x : getXs()) {
    SmallVector<AffineExpr> at;
    for (int64_t axis = 0; axis < rank; ++axis)
      at.push_back(axis == int64_t(getAxis()) ? dim(c, axis) - offset.affine() : dim(c, axis));
    all.push_back({mapOf(rank, at, c), {}, true});
    offset = offset + Extent::of(x, getAxis());
  }
  return all;
}

SmallVector<Extent> ReduceOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY());
  for (int64_t axis : getAxes())
    space.push_back(Extent::of(getX(), axis));
  return space;
}
SmallVector<Access> ReduceOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at;
  unsigned kept = 0, reduced = rankOf(getY());
  for (int64_t axis = 0; axis < rankOf(getX()); ++axis)
    at.push_back(dim(c, llvm::is_contained(getAxes(), axis) ? reduced++ : kept++));
  return {{mapOf(at.size(), at, c)}};
}

SmallVector<Access> ArgmaxOp::accesses() { return {}; }
SmallVector<Access> GatherOp::accesses() { return {}; }
SmallVector<Access> ScatterAddOp::accesses() { return {}; }

namespace {
/// The labels in the space's order: the result's, then the summed ones as a has them.
SmallVector<int64_t> labelsOf(ContractOp op) {
  SmallVector<int64_t> labels(op.getOutAxes());
  for (int64_t label : op.getAAxes())
    if (!llvm::is_contained(labels, label))
      labels.push_back(label);
  return labels;
}
} // namespace

SmallVector<Extent> ContractOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY());
  for (auto [axis, label] : llvm::enumerate(getAAxes()))
    if (!llvm::is_contained(getOutAxes(), label))
      space.push_back(Extent::of(getA(), axis));
  return space;
}
SmallVector<Access> ContractOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<int64_t> labels = labelsOf(*this);
  SmallVector<Access> all;
  for (ArrayRef<int64_t> axes : {getAAxes(), getBAxes()}) {
    SmallVector<AffineExpr> at;
    for (int64_t label : axes)
      at.push_back(dim(c, llvm::find(labels, label) - labels.begin()));
    all.push_back({mapOf(labels.size(), at, c)});
  }
  return all;
}
Cost ContractOp::cost() { return contractionCost(*this, iterationSpace()); }

// conv: [b, o, oh, ow | c, kh, kw]
SmallVector<Extent> ConvOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY());
  llvm::append_range(space, ArrayRef(extentsOf(getW())).drop_front());
  return space;
}
SmallVector<Access> ConvOp::accesses() {
  MLIRContext *c = getContext();
  return {imageAccess(c, 7, dim(c, 0), dim(c, 4), 2, 5, getStrides(), getPads(), 0),
          {mapOf(7, {dim(c, 1), dim(c, 4), dim(c, 5), dim(c, 6)}, c)}};
}
Cost ConvOp::cost() { return contractionCost(*this, iterationSpace()); }

// conv_input_grad: [b, c, h, w | o, kh, kw]. Its cost is conv's: what the strides skip is no work.
SmallVector<Extent> ConvInputGradOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY()), w = extentsOf(getW());
  space.append({w[0], w[2], w[3]});
  return space;
}
SmallVector<Access> ConvInputGradOp::accesses() {
  MLIRContext *c = getContext();
  auto [at, valid] = windowsOf(c, 7, 2, 5, getStrides(), getPads());
  return {{mapOf(7, {dim(c, 0), dim(c, 4), at[0], at[1]}, c), valid, true, 0},
          {mapOf(7, {dim(c, 4), dim(c, 1), dim(c, 5), dim(c, 6)}, c)}};
}
Cost ConvInputGradOp::cost() {
  SmallVector<Extent> space = extentsOf(getDy());
  llvm::append_range(space, ArrayRef(extentsOf(getW())).drop_front());
  return contractionCost(*this, space);
}

// conv_weight_grad: [o, c, kh, kw | b, oh, ow]
SmallVector<Extent> ConvWeightGradOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY()), dy = extentsOf(getDy());
  space.append({dy[0], dy[2], dy[3]});
  return space;
}
SmallVector<Access> ConvWeightGradOp::accesses() {
  MLIRContext *c = getContext();
  return {imageAccess(c, 7, dim(c, 4), dim(c, 1), 5, 2, getStrides(), getPads(), 0),
          {mapOf(7, {dim(c, 4), dim(c, 0), dim(c, 5), dim(c, 6)}, c)}};
}
Cost ConvWeightGradOp::cost() { return contractionCost(*this, iterationSpace()); }

SmallVector<Access> WindowOp::accesses() {
  MLIRContext *c = getContext();
  return {
      imageAccess(c, 6, dim(c, 0), dim(c, 1), 2, 4, getStrides(), getPads(), getValue().convertToDouble())};
}

// window_sum: [b, c, h, w | kh, kw]
SmallVector<Extent> WindowSumOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY());
  space.append({Extent::of(getX(), 4), Extent::of(getX(), 5)});
  return space;
}
SmallVector<Access> WindowSumOp::accesses() {
  MLIRContext *c = getContext();
  auto [at, valid] = windowsOf(c, 6, 2, 4, getStrides(), getPads());
  return {{mapOf(6, {dim(c, 0), dim(c, 1), at[0], at[1], dim(c, 4), dim(c, 5)}, c), valid, true, 0}};
}
