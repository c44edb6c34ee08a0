// The contraction of rows with the matrix of the group that each is in, and the gradient of these matrices. All of what
// the op states is here but its verifier (Verify.cpp). Which of the three tensors has the groups' label decides what it
// computes; its gradients are the other two forms, so one op is closed under differentiation.
#include "dialects/flow/Build.h"
#include "dialects/flow/Define.h"
#include "dialects/flow/RandomCase.h"
#include <cmath>

using namespace mlir;

namespace flow {

namespace {

/// The labels: the result's, then the summed ones. The group's is left out unless the result has it.
SmallVector<int64_t> labelsOf(GroupedContractOp op) {
  SmallVector<int64_t> labels(op.getOutAxes());
  for (ArrayRef<int64_t> axes : {op.getAAxes(), op.getBAxes()})
    for (int64_t label : axes)
      if (!llvm::is_contained(labels, label) && label != int64_t(op.getGroup()))
        labels.push_back(label);
  return labels;
}
Extent extentOf(GroupedContractOp op, int64_t label) {
  std::pair<Value, ArrayRef<int64_t>> all[] = {
      {op.getA(), op.getAAxes()}, {op.getB(), op.getBAxes()}, {op.getY(), op.getOutAxes()}};
  for (auto [value, axes] : all)
    if (auto *at = llvm::find(axes, label); at != axes.end())
      return Extent::of(value, at - axes.begin());
  llvm_unreachable("the verifier has seen the label");
}

/// The sum of `term(product)` for every element of the result: over the groups, the rows of each, and all other labels.
template <typename Term> void sumInto(GroupedContractOp op, Operands v, Array &y, Term term) {
  const Array &a = *v[0], &b = *v[1], &offsets = *v[2];
  std::fill(y.data.begin(), y.data.end(), 0.0);
  const int64_t row = op.getRow(), group = op.getGroup();
  SmallVector<int64_t> labels{group, row}, shape{0, 0};
  std::pair<const Array *, ArrayRef<int64_t>> all[] = {
      {&a, op.getAAxes()}, {&b, op.getBAxes()}, {&y, op.getOutAxes()}};
  for (auto [array, axes] : all)
    for (auto [axis, label] : llvm::enumerate(axes)) {
      if (!llvm::is_contained(labels, label)) {
        labels.push_back(label);
        shape.push_back(0);
      }
      shape[llvm::find(labels, label) - labels.begin()] = array->shape[axis];
    }
  const int64_t groups = shape[0], rows = shape[1];
  auto position = [&](const Array &array, ArrayRef<int64_t> axes, ArrayRef<int64_t> index) {
    int64_t at = 0;
    for (auto [axis, label] : llvm::enumerate(axes))
      at = at * array.shape[axis] + index[llvm::find(labels, label) - labels.begin()];
    return at;
  };
  // No group begins before the one in front of it ends, whatever the offsets are: so a row is in one group at most.
  int64_t r = 0;
  for (int64_t g = 0; g < groups; ++g) {
    r = std::max(r, int64_t(offsets.data[g]));
    for (const int64_t end = std::min(rows, int64_t(offsets.data[g + 1])); r < end; ++r) {
      shape[0] = shape[1] = 1;
      forEachIndex(shape, [&](ArrayRef<int64_t> others, int64_t) {
        Index index(others);
        index[0] = g, index[1] = r;
        y.data[position(y, op.getOutAxes(), index)] +=
            term(a.data[position(a, op.getAAxes(), index)] * b.data[position(b, op.getBAxes(), index)]);
      });
    }
  }
}

} // namespace

SmallVector<Extent> GroupedContractOp::iterationSpace() {
  SmallVector<Extent> space;
  for (int64_t label : labelsOf(*this))
    space.push_back(extentOf(*this, label));
  return space;
}
// Which group a row is in is no access that an index gives, so there are none.
SmallVector<Access> GroupedContractOp::accesses() { return {}; }
// Each row is in one group.
Cost GroupedContractOp::cost() {
  Extent points = Extent::constant(getContext(), 2);
  for (int64_t label : labelsOf(*this))
    if (label != int64_t(getGroup()))
      points = points * extentOf(*this, label);
  return {points, true};
}

void GroupedContractOp::evaluate(Operands v, Array &y, const Setting &) {
  sumInto(*this, v, y, [](double x) { return x; });
}
Array GroupedContractOp::magnitude(Operands v, const Array &result) {
  Array y(result.shape);
  sumInto(*this, v, y, [](double x) { return std::fabs(x); });
  return y;
}
double GroupedContractOp::errorFactor() { return 16; }

// The second operand's gradient comes first, as contract's.
LogicalResult GroupedContractOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(3, {});
  if (Value dy = upstream[0]) {
    gradients[1] = GroupedContractOp::create(builder, getLoc(), getB().getType(), getA(), dy, getOffsets(),
                                             getAAxes(), getOutAxes(), getBAxes(), getRow(), getGroup());
    gradients[0] = GroupedContractOp::create(builder, getLoc(), getA().getType(), dy, getB(), getOffsets(),
                                             getOutAxes(), getBAxes(), getAAxes(), getRow(), getGroup());
  }
  return success();
}

// Every row with every group: each operand with rows gets the groups as one more axis, along which it is 0 but in the row's
// own group. So what is in a row that is in no group, or in another one's rows, be it NaN, reaches no other result.
SmallVector<Value> GroupedContractOp::decompose(OpBuilder &b) {
  Location loc = getLoc();
  const int64_t row = getRow(), group = getGroup();
  const Extent groups = extentOf(*this, group);
  Value own = flow::segmentOfRow(b, loc, getOffsets(), extentOf(*this, row));
  auto spread = [&](Value &x, SmallVector<int64_t> &axes) {
    const auto *at = llvm::find(axes, row);
    if (at == axes.end())
      return;
    SmallVector<Extent> extents{groups};
    llvm::append_range(extents, extentsOf(x));
    Value inGroup =
        flow::compare(b, loc, Predicate::eq, flow::broadcast(b, loc, own, extents, {1 + (at - axes.begin())}),
                      flow::iota(b, loc, extents, 0, b.getI32Type()));
    Value wide = flow::broadcastAlong(b, loc, x, extents, {0});
    x = flow::select(b, loc, inGroup, wide, flow::zerosLike(b, loc, wide));
    axes.insert(axes.begin(), group);
  };
  Value left = getA(), right = getB();
  SmallVector<int64_t> leftAxes(getAAxes()), rightAxes(getBAxes());
  spread(left, leftAxes);
  spread(right, rightAxes);
  return {flow::contract(b, loc, left, leftAxes, right, rightAxes, getOutAxes())};
}

/// Whether an operand's first axis, and no other, belongs to the rows that an offset counts.
static bool readsRows(OpOperand &use) {
  auto product = dyn_cast<GroupedContractOp>(use.getOwner());
  if (!product || use.getOperandNumber() > 1)
    return false;
  ArrayRef<int64_t> own = product.getAAxes(), other = product.getBAxes(), out = product.getOutAxes();
  if (use.getOperandNumber() == 1)
    std::swap(own, other);
  const int64_t row = product.getRow(), group = product.getGroup();
  const bool ofSums = llvm::is_contained(out, group);
  return own.front() == row && llvm::none_of(own.drop_front(), [&](int64_t label) {
           const bool inOut = llvm::is_contained(out, label), inOther = llvm::is_contained(other, label);
           return label == group || (ofSums ? inOther && !inOut : inOut && !inOther);
         });
}

bool isRowLoad(Operation *op) {
  auto gather = dyn_cast<GatherOp>(op);
  if (!gather || rankOf(gather.getIndex()) != 1 || !elementOf(gather.getY()).isF32() || gather->use_empty())
    return false;
  SmallVector<Value> open{gather.getY()};
  while (!open.empty())
    for (OpOperand &use : open.pop_back_val().getUses()) {
      if (isa<BarrierOp>(use.getOwner()))
        open.push_back(use.getOwner()->getResult(0));
      else if (!readsRows(use))
        return false;
    }
  return true;
}

void GroupedContractOp::buildRandomCase(RandomCase &r) {
  // Labels 0 (rows) and 1 (groups), and others as contract's.
  SmallVector<Extent> extents{r.extent(6), r.extent(4)};
  SmallVector<int64_t> a, b, out;
  const int64_t form = r.number(0, 2);
  (form == 0 ? a : form == 1 ? b : out).push_back(1);
  for (auto *axes : {&a, &b, &out})
    if (axes->empty())
      axes->push_back(0);
  for (int64_t label = 2, end = 2 + r.number(0, 3); label < end; ++label) {
    extents.push_back(r.extent(4));
    const int64_t kind = r.number(0, 3);
    if (kind != 2)
      a.push_back(label);
    if (kind != 1)
      b.push_back(label);
    if (kind != 3)
      out.push_back(label);
  }
  for (auto *axes : {&a, &b, &out})
    if (axes->size() > 1 && r.coin())
      std::swap(axes->front(), (*axes)[r.number(0, int64_t(axes->size()) - 1)]);
  auto pick = [&](ArrayRef<int64_t> labels) {
    SmallVector<Extent> picked;
    for (int64_t label : labels)
      picked.push_back(extents[label]);
    return picked;
  };
  const int64_t last = r.valueOf(extents[0]);
  int64_t at = r.number(0, 1);
  Value x = r.values(pick(a)), y = r.values(pick(b));
  Value offsets = r.input({extents[1] + r.constant(1)}, r.builder.getI32Type(), [&] {
    const int64_t now = std::min(at, last);
    at += r.number(0, 3);
    return double(now);
  });
  r.result(flow::groupedContract(r.builder, r.location, x, a, y, b, offsets, out, 0, 1));
}

} // namespace flow
