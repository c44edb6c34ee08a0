// Iteration spaces, accesses and costs. A space is the result's axes and then the reduced ones; an access
// maps a point of it to an element of an operand. Maps have a symbol for each size that they multiply with or
// divide by and that is no constant.
#include "dialects/flow/Flow.h"

using namespace mlir;
using namespace flow;

namespace {

AffineExpr dim(MLIRContext *context, unsigned i) { return getAffineDimExpr(i, context); }
AffineExpr zero(MLIRContext *context) { return getAffineConstantExpr(0, context); }

int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

/// A size in an access's expressions.
AffineExpr sizeIn(Access &access, Extent size, MLIRContext *context) {
  if (std::optional<int64_t> constant = size.constantValue())
    return getAffineConstantExpr(*constant, context);
  auto *known = llvm::find(access.sizes, size);
  unsigned symbol = known - access.sizes.begin();
  if (known == access.sizes.end())
    access.sizes.push_back(size);
  return getAffineSymbolExpr(symbol, context);
}

AffineMap mapOf(unsigned dims, ArrayRef<AffineExpr> results, MLIRContext *context, unsigned symbols = 0) {
  return AffineMap::get(dims, symbols, results, context);
}

/// `expression` is divisible by each stride above 1.
IntegerSet divisible(unsigned dims, ArrayRef<std::pair<AffineExpr, int64_t>> all) {
  SmallVector<AffineExpr> constraints;
  for (auto [expression, by] : all)
    if (by > 1)
      constraints.push_back(expression % by);
  if (constraints.empty())
    return {};
  return IntegerSet::get(dims, 0, constraints, SmallVector<bool>(constraints.size(), true));
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
  Access access;
  access.map = mapOf(dims,
                     {batch, channel, imageIndex(dim(c, o), dim(c, k), strides[0], pads[0]),
                      imageIndex(dim(c, o + 1), dim(c, k + 1), strides[1], pads[1])},
                     c);
  access.bounded = {false, false, pads[0] || pads[2], pads[1] || pads[3]};
  access.otherwise = otherwise;
  return access;
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

Cost contractionCost(Operation *op, ArrayRef<Extent> space) {
  return {productOf(space, op->getContext()) * 2, true};
}

} // namespace

SmallVector<unsigned> flow::valueOperands(ArrayRef<Access> accesses) {
  SmallVector<bool> isIndex(accesses.size());
  for (const Access &access : accesses) {
    if (access.lookup)
      isIndex[access.lookup->operand] = true;
    if (access.within)
      isIndex[access.within->operand] = true;
  }
  SmallVector<unsigned> values;
  for (unsigned i = 0; i < accesses.size(); ++i)
    if (!isIndex[i])
      values.push_back(i);
  return values;
}

bool flow::isEmitter(Operation *op) {
  auto compute = dyn_cast<ComputeInterface>(op);
  return compute && compute.computeKind() == ComputeKind::emitter;
}

bool flow::isProduct(Operation *op) { return isEmitter(op) && cast<CostInterface>(op).cost().contraction; }

Slope flow::defaultSlope(Operation *op) {
  auto compute = dyn_cast<ComputeInterface>(op);
  if (compute && compute.computeKind() == ComputeKind::view)
    return Slope::constant;
  return compute && compute.computeKind() == ComputeKind::generator ? Slope::finite : Slope::any;
}

bool flow::isKnownNonzero(Value x) {
  while (Operation *view = x.getDefiningOp()) {
    if (!axesOfView(view))
      break;
    x = view->getOperand(0);
  }
  auto op = x.getDefiningOp<NumberInterface>();
  if (!op)
    return false;
  const Number number = op.number();
  return number.value ? float(*number.value) != 0 : !number.key; // as programs compute
}

std::optional<SmallVector<int64_t>> flow::axesOfView(Operation *op) {
  auto compute = dyn_cast<ComputeInterface>(op);
  if (!compute || compute.computeKind() != ComputeKind::view || op->getNumOperands() != 1)
    return std::nullopt;
  const Access access = compute.accesses().front();
  if (access.valid != IntegerSet() || llvm::is_contained(access.bounded, true))
    return std::nullopt;
  SmallVector<int64_t> axes;
  for (auto [axis, index] : llvm::enumerate(access.map.getResults())) {
    const Extent extent = Extent::of(op->getOperand(0), axis);
    auto dim = dyn_cast<AffineDimExpr>(index);
    auto constant = dyn_cast<AffineConstantExpr>(index);
    if (dim && !llvm::is_contained(axes, int64_t(dim.getPosition())) &&
        Extent::of(op->getResult(0), dim.getPosition()) == extent)
      axes.push_back(dim.getPosition());
    else if (constant && constant.getValue() == 0 && extent.isConstant(1))
      axes.push_back(-1);
    else
      return std::nullopt;
  }
  return axes;
}

std::string flow::faultOf(Operation *op, ArrayRef<Access> accesses) {
  auto compute = cast<ComputeInterface>(op);
  if (op->getNumResults() == 0)
    return "has no result";
  for (Value result : op->getResults())
    if (extentsOf(result) != extentsOf(op->getResult(0)))
      return "has results of different shapes";
  const bool reduces = compute.computeKind() == ComputeKind::reduction;
  if (reduces != isa<ReductionInterface>(op))
    return "is a reduction without accumulators, or has accumulators and is none";
  if (!reduces && op->getNumResults() != 1)
    return "has several results and is no reduction";
  if ((compute.computeKind() == ComputeKind::elementwise) != op->hasTrait<Elementwise>())
    return "is elementwise without the trait, or has the trait and is not";
  if (compute.computeKind() == ComputeKind::generator && !isa<ConstantOp, ExtentOp, RandomOp>(op) &&
      compute.indexDims().empty())
    return "is a generator that follows from no index";
  if (accesses.size() != op->getNumOperands())
    return "has another number of accesses than operands";
  unsigned dims = rankOf(op->getResult(0)); // the rest is asked only where something reads it
  if (reduces)
    dims = compute.iterationSpace().size();
  auto isWrong = [](AffineExpr part) { return part.getKind() == AffineExprKind::CeilDiv; };
  for (auto [operand, access] : llvm::zip_equal(op->getOperands(), accesses)) {
    if (access.map.getNumDims() != dims || access.map.getNumResults() != unsigned(rankOf(operand)) ||
        access.map.getNumSymbols() != access.sizes.size())
      return "has an access that does not map its iteration space to an operand's axes";
    if ((access.lookup &&
         (access.lookup->operand >= accesses.size() || accesses[access.lookup->operand].lookup ||
          access.lookup->axis >= access.map.getNumResults())) ||
        (access.within &&
         (access.within->operand >= accesses.size() || accesses[access.within->operand].within ||
          access.within->dim >= dims || rankOf(op->getOperand(access.within->operand)) == 0)))
      return "has an access by an operand or dimension that cannot give it";
    if (access.within) {
      const Access &offsets = accesses[access.within->operand];
      if (offsets.lookup || offsets.valid != IntegerSet() || llvm::is_contained(offsets.bounded, true))
        return "has segments whose offsets are not read at an index alone";
    }
    bool divides = false;
    access.map.walkExprs([&](AffineExpr part) { divides |= isWrong(part); });
    if (divides)
      return "has an access that rounds up";
  }
  return "";
}

SmallVector<Access> flow::sameIndexAccesses(Operation *op) {
  SmallVector<Access> all;
  int64_t rank = rankOf(op->getResult(0));
  for (Value operand : op->getOperands()) {
    // Fewer axes than the result's have reverse_gradient's scale and the index of random.
    SmallVector<AffineExpr> at;
    for (int64_t axis = 0; axis < rankOf(operand); ++axis)
      at.push_back(dim(op->getContext(), axis));
    all.push_back({mapOf(rank, at, op->getContext())});
  }
  return all;
}

Cost flow::elementwiseCost(Operation *op) {
  auto compute = cast<ComputeInterface>(op);
  if (compute.computeKind() == ComputeKind::view)
    return {Extent::constant(op->getContext(), 0), false};
  // The segments of a dimension are together the dimension once.
  SmallVector<Extent> space = compute.iterationSpace(), work;
  SmallVector<bool> divided(space.size());
  if (compute.computeKind() == ComputeKind::reduction)
    for (const Access &access : compute.accesses())
      if (access.within)
        for (AffineExpr index : compute.accesses()[access.within->operand].map.getResults())
          if (auto dim = dyn_cast<AffineDimExpr>(index))
            divided[dim.getPosition()] = true;
  for (auto [extent, isDivided] : llvm::zip_equal(space, divided))
    if (!isDivided)
      work.push_back(extent);
  return {productOf(work, op->getContext()), false};
}

SmallVector<Access> BroadcastOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<AffineExpr> at;
  for (auto [axis, to] : llvm::enumerate(getDims())) {
    bool copied = Extent::of(getX(), axis) != Extent::of(getY(), to);
    at.push_back(copied ? zero(c) : dim(c, to));
  }
  return {{mapOf(rankOf(getY()), at, c)}};
}

SmallVector<ReshapeSegment> flow::reshapeSegments(Type from, Type to) {
  SmallVector<Extent> a = extentsOf(from), b = extentsOf(to);
  SmallVector<ReshapeSegment> segments;
  MLIRContext *context = from.getContext();
  Extent one = Extent::constant(context, 1);
  unsigned i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    ReshapeSegment segment{i, i, j, j};
    Extent p = one, q = one;
    // The shorter side takes the next axis until the products agree; sizes of 1 join where they stand.
    auto takeA = [&] { p = p * a[i++]; };
    auto takeB = [&] { q = q * b[j++]; };
    if (i < a.size())
      takeA();
    if (j < b.size())
      takeB();
    while (p != q && (i < a.size() || j < b.size())) {
      bool fromShorter = q.exactQuotient(p).has_value() && p != q;
      if ((fromShorter || j == b.size()) && i < a.size())
        takeA();
      else if (j < b.size())
        takeB();
      else
        takeA();
    }
    segment.fromLast = i;
    segment.toLast = j;
    segments.push_back(segment);
  }
  return segments;
}

// Each segment is divided apart on its own, so that [B, C, H, W] -> [B, C * H * W] keeps B.
SmallVector<Access> ReshapeOp::accesses() {
  MLIRContext *c = getContext();
  SmallVector<Extent> from = extentsOf(getX()), to = extentsOf(getY());
  SmallVector<AffineExpr> at(from.size(), zero(c));
  Access access;
  for (ReshapeSegment s : reshapeSegments(getX().getType(), getY().getType())) {
    AffineExpr linear = zero(c);
    for (unsigned i = s.toFirst; i < s.toLast; ++i)
      if (!to[i].isConstant(1))
        linear = linear * sizeIn(access, to[i], c) + dim(c, i);
    // Axes of the operand from the last to the first that is not 1: the first takes what is left.
    unsigned first = s.fromFirst;
    while (first + 1 < s.fromLast && from[first].isConstant(1))
      ++first;
    for (unsigned i = s.fromLast; i-- > first;) {
      if (from[i].isConstant(1))
        continue;
      if (i == first) {
        at[i] = linear;
        break;
      }
      AffineExpr size = sizeIn(access, from[i], c);
      at[i] = linear % size;
      linear = linear.floorDiv(size);
    }
  }
  access.map = mapOf(to.size(), at, c, access.sizes.size());
  return {access};
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
  Access access;
  for (auto [axis, low, interior] : llvm::enumerate(getLow(), getInterior())) {
    AffineExpr from = dim(c, axis) - low;
    at.push_back(from.floorDiv(interior + 1));
    exact.push_back({from, interior + 1});
    access.bounded.push_back(low || interior || Extent::of(getX(), axis) != Extent::of(getY(), axis));
  }
  access.map = mapOf(at.size(), at, c);
  access.valid = divisible(at.size(), exact);
  access.otherwise = getValue().convertToDouble();
  return {access};
}

SmallVector<Access> ConcatOp::accesses() {
  MLIRContext *c = getContext();
  int64_t rank = rankOf(getY());
  Extent offset = Extent::constant(c, 0);
  SmallVector<Access> all;
  for (Value x : getXs()) {
    SmallVector<AffineExpr> at;
    Access access;
    for (int64_t axis = 0; axis < rank; ++axis) {
      bool along = axis == int64_t(getAxis());
      at.push_back(along ? dim(c, axis) - sizeIn(access, offset, c) : dim(c, axis));
      access.bounded.push_back(along);
    }
    access.map = mapOf(rank, at, c, access.sizes.size());
    all.push_back(access);
    offset = offset + Extent::of(x, getAxis());
  }
  return all;
}

RankedTensorType flow::reducedType(Type x, ArrayRef<int64_t> axes) {
  SmallVector<Extent> kept;
  const int64_t rank = cast<RankedTensorType>(x).getRank();
  if (llvm::any_of(axes, [&](int64_t axis) { return axis < 0 || axis >= rank; }))
    return {};
  for (int64_t axis = 0; axis < rank; ++axis)
    if (!llvm::is_contained(axes, axis))
      kept.push_back(Extent::of(x, axis));
  return tensorType(kept, getElementTypeOrSelf(x));
}

SmallVector<Extent> flow::reductionSpace(Value x, ArrayRef<int64_t> axes) {
  SmallVector<Extent> space, reduced;
  for (auto [axis, extent] : llvm::enumerate(extentsOf(x)))
    (llvm::is_contained(axes, axis) ? reduced : space).push_back(extent);
  llvm::append_range(space, reduced);
  return space;
}
Access flow::reductionAccess(Value x, ArrayRef<int64_t> axes) {
  MLIRContext *c = x.getContext();
  SmallVector<AffineExpr> at;
  unsigned kept = 0, reduced = rankOf(x) - axes.size();
  for (int64_t axis = 0; axis < rankOf(x); ++axis)
    at.push_back(dim(c, llvm::is_contained(axes, axis) ? reduced++ : kept++));
  return {mapOf(at.size(), at, c)};
}

SmallVector<Extent> ReduceOp::iterationSpace() { return reductionSpace(getX(), getAxes()); }
SmallVector<Access> ReduceOp::accesses() { return {reductionAccess(getX(), getAxes())}; }

SmallVector<unsigned> ArgmaxOp::indexDims() { return {unsigned(rankOf(getY()))}; }

SmallVector<unsigned> IotaOp::indexDims() { return {unsigned(getAxis())}; }
SmallVector<unsigned> RandomOp::indexDims() {
  // Those that no index is given of.
  return llvm::to_vector(llvm::seq<unsigned>(getIndex() ? rankOf(getIndex()) : 0, rankOf(getY())));
}

SmallVector<Access> GatherOp::accesses() {
  MLIRContext *c = getContext();
  unsigned rank = rankOf(getY()), leading = rankOf(getIndex());
  SmallVector<AffineExpr> row = {zero(c)}, place;
  for (unsigned axis = 0; axis < rank; ++axis)
    (axis < leading ? place : row).push_back(dim(c, axis));
  Access table, index;
  table.map = mapOf(rank, row, c);
  table.bounded = {true};
  table.lookup = Access::Lookup{0, 1};
  index.map = mapOf(rank, place, c);
  return {table, index};
}

Cost ScatterAddOp::cost() { return {elementsOf(getRows().getType())}; }
// Every place is written once, after its number was looked at twice.
Cost CountingSortOp::cost() { return {elementsOf(getIndex().getType()) * 2}; }
SmallVector<Extent> CountingSortOp::iterationSpace() { return extentsOf(getIndex()); }
SmallVector<Access> CountingSortOp::accesses() {
  return {{AffineMap::getMultiDimIdentityMap(1, getContext())}};
}

// segment_sum: [k, a row's place ... | p]
SmallVector<Extent> SegmentSumOp::iterationSpace() {
  SmallVector<Extent> space = extentsOf(getY());
  space.push_back(Extent::of(getRows(), 0));
  return space;
}
SmallVector<Access> SegmentSumOp::accesses() {
  MLIRContext *c = getContext();
  unsigned rank = rankOf(getY());
  SmallVector<AffineExpr> row = {dim(c, rank)};
  for (unsigned axis = 1; axis < rank; ++axis)
    row.push_back(dim(c, axis));
  Access rows, offsets;
  rows.map = mapOf(rank + 1, row, c);
  rows.within = Access::Within{1, rank};
  offsets.map = mapOf(rank + 1, {dim(c, 0)}, c);
  return {rows, offsets};
}

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
  return {{mapOf(7, {dim(c, 0), dim(c, 4), at[0], at[1]}, c), {}, valid, {false, false, true, true}},
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
  return {{mapOf(6, {dim(c, 0), dim(c, 1), at[0], at[1], dim(c, 4), dim(c, 5)}, c),
           {},
           valid,
           {false, false, true, true}}};
}
