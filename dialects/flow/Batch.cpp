// Mode `every`: each op with a leading axis of experts. Most ops only move their axes by one; convolutions
// and windows take the axis into the batch where their image alone carries it; what is left is done expert by
// expert.
#include "dialects/flow/Build.h"

using namespace mlir;
using namespace flow;

namespace {

/// The axis in front, copied along where the value does not carry it.
Value lead(OpBuilder &builder, Location location, Value value, bool carries, int64_t experts) {
  if (carries)
    return value;
  SmallVector<Extent> extents{Extent::constant(builder.getContext(), experts)};
  llvm::append_range(extents, extentsOf(value));
  return broadcastTo(builder, location, value, extents);
}

Type leadType(Type type, int64_t experts) {
  SmallVector<Extent> extents{Extent::constant(type.getContext(), experts)};
  llvm::append_range(extents, extentsOf(type));
  return tensorType(extents, cast<RankedTensorType>(type).getElementType());
}

SmallVector<int64_t> withFirst(int64_t first, ArrayRef<int64_t> rest, int64_t plus = 0) {
  SmallVector<int64_t> list{first};
  for (int64_t value : rest)
    list.push_back(value + plus);
  return list;
}

SmallVector<int64_t> shifted(ArrayRef<int64_t> axes) {
  SmallVector<int64_t> list;
  for (int64_t axis : axes)
    list.push_back(axis + 1);
  return list;
}

/// The op once an expert, on slices of what carries the axis.
Value byExpert(Operation *op, OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
               int64_t experts) {
  Location location = op->getLoc();
  SmallVector<Value> all;
  for (int64_t expert = 0; expert < experts; ++expert) {
    IRMapping own;
    for (auto [old, operand, carried] : llvm::zip(op->getOperands(), operands, carries)) {
      Value mine = operand;
      if (carried) {
        mine = slice(builder, location, operand, 0, expert, Extent::constant(builder.getContext(), 1));
        mine = reshape(builder, location, mine, extentsOf(old));
      }
      own.map(old, mine);
    }
    Operation *copy = builder.clone(*op, own);
    all.push_back(expandAxes(builder, location, copy->getResult(0), {0}));
  }
  return concat(builder, location, all, 0);
}

/// [experts, B, ...] as [experts * B, ...], through the op, and apart again: for ops that treat each image
/// alone.
template <typename Build>
Value throughBatch(OpBuilder &builder, Location location, Value x, int64_t experts, Build build) {
  SmallVector<Extent> extents = extentsOf(x);
  Extent batch = extents[1];
  extents[1] = extents[0] * extents[1];
  Value y = build(reshape(builder, location, x, ArrayRef(extents).drop_front()));
  SmallVector<Extent> apart{Extent::constant(builder.getContext(), experts), batch};
  llvm::append_range(apart, ArrayRef(extentsOf(y)).drop_front());
  return reshape(builder, location, y, apart);
}

Type mergedBatch(Type type, int64_t experts) {
  SmallVector<Extent> extents = extentsOf(type);
  extents[0] = extents[0] * experts;
  return tensorType(extents, cast<RankedTensorType>(type).getElementType());
}

} // namespace

LogicalResult flow::batchElementwise(Operation *op, OpBuilder &builder, ValueRange operands,
                                     ArrayRef<bool> carries, int64_t experts, Value &result) {
  SmallVector<Value> led;
  for (auto [old, operand, carried] : llvm::zip(op->getOperands(), operands, carries)) {
    bool scalar = rankOf(old) == 0 && rankOf(op->getResult(0)) != 0; // reverse_gradient's scale, one for all
    if (scalar && carried)
      return failure();
    led.push_back(scalar ? operand : lead(builder, op->getLoc(), operand, carried, experts));
  }
  // A 0-d reverse_gradient has a 0-d scale beside its 0-d operand.
  if (isa<ReverseGradientOp>(op) && rankOf(op->getResult(0)) == 0) {
    if (carries[1])
      return failure();
    led[1] = operands[1];
  }
  OperationState state(op->getLoc(), op->getName(), led, leadType(op->getResult(0).getType(), experts),
                       op->getAttrs());
  result = builder.create(state)->getResult(0);
  return success();
}

LogicalResult ConstantOp::buildBatched(OpBuilder &, ValueRange, ArrayRef<bool>, int64_t, Value &) {
  return failure();
}
LogicalResult IotaOp::buildBatched(OpBuilder &, ValueRange, ArrayRef<bool>, int64_t, Value &) {
  return failure();
}
LogicalResult ExtentOp::buildBatched(OpBuilder &, ValueRange, ArrayRef<bool>, int64_t, Value &) {
  return failure();
}

LogicalResult RandomOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t,
                                     Value &result) {
  result = random(builder, getLoc(), getKind(), uint32_t(getStream()), extentsOf(operands[0]), operands[0]);
  return success();
}

LogicalResult BroadcastOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>,
                                        int64_t experts, Value &result) {
  result = BroadcastOp::create(builder, getLoc(), leadType(getType(), experts), operands[0],
                               withFirst(0, getDims(), 1));
  return success();
}
LogicalResult ReshapeOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>,
                                      int64_t experts, Value &result) {
  result = ReshapeOp::create(builder, getLoc(), leadType(getType(), experts), operands[0]);
  return success();
}
LogicalResult TransposeOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>,
                                        int64_t experts, Value &result) {
  result = TransposeOp::create(builder, getLoc(), leadType(getType(), experts), operands[0],
                               withFirst(0, getPerm(), 1));
  return success();
}
LogicalResult SliceOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t experts,
                                    Value &result) {
  result = SliceOp::create(builder, getLoc(), leadType(getType(), experts), operands[0],
                           withFirst(0, getStarts()), withFirst(1, getStrides()));
  return success();
}
LogicalResult PadOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t experts,
                                  Value &result) {
  auto extents = extentsOf(leadType(getType(), experts));
  result = pad(builder, getLoc(), operands[0], withFirst(0, getLow()), withFirst(0, getInterior()), extents,
               getValue().convertToDouble());
  return success();
}
LogicalResult ConcatOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                     int64_t experts, Value &result) {
  SmallVector<Value> led;
  for (auto [operand, carried] : llvm::zip(operands, carries))
    led.push_back(lead(builder, getLoc(), operand, carried, experts));
  result = concat(builder, getLoc(), led, int64_t(getAxis()) + 1);
  return success();
}
LogicalResult ReduceOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t,
                                     Value &result) {
  result =
      ReduceOp::create(builder, getLoc(), leadType(getType(), *Extent::of(operands[0], 0).constantValue()),
                       getKind(), operands[0], shifted(getAxes()));
  return success();
}
LogicalResult ArgmaxOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t,
                                     Value &result) {
  result = argmax(builder, getLoc(), operands[0], int64_t(getAxis()) + 1);
  return success();
}

LogicalResult GatherOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                     int64_t experts, Value &result) {
  if (carries[0])
    result = byExpert(*this, builder, operands, carries, experts);
  else
    result = gather(builder, getLoc(), operands[0], operands[1]);
  return success();
}
LogicalResult ScatterAddOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                         int64_t experts, Value &result) {
  result = byExpert(*this, builder, operands, carries, experts);
  return success();
}

LogicalResult ContractOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                       int64_t experts, Value &result) {
  int64_t label = 0;
  for (ArrayRef<int64_t> axes : {getAAxes(), getBAxes()})
    for (int64_t used : axes)
      label = std::max(label, used + 1);
  SmallVector<int64_t> a(getAAxes()), b(getBAxes());
  if (carries[0])
    a.insert(a.begin(), label);
  if (carries[1])
    b.insert(b.begin(), label);
  result = contract(builder, getLoc(), operands[0], a, operands[1], b, withFirst(label, getOutAxes()));
  return success();
}

LogicalResult ConvOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                   int64_t experts, Value &result) {
  if (carries[1])
    result = byExpert(*this, builder, operands, carries, experts);
  else
    result = throughBatch(builder, getLoc(), operands[0], experts, [&](Value x) {
      return conv(builder, getLoc(), x, operands[1], getStrides(), getPads());
    });
  return success();
}
LogicalResult ConvInputGradOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                            int64_t experts, Value &result) {
  if (carries[1])
    result = byExpert(*this, builder, operands, carries, experts);
  else
    result = throughBatch(builder, getLoc(), operands[0], experts, [&](Value dy) {
      return convInputGrad(builder, getLoc(), dy, operands[1], getStrides(), getPads(),
                           mergedBatch(getType(), experts));
    });
  return success();
}
LogicalResult ConvWeightGradOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool> carries,
                                             int64_t experts, Value &result) {
  result = byExpert(*this, builder, operands, carries, experts);
  return success();
}
LogicalResult WindowOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>, int64_t experts,
                                     Value &result) {
  result = throughBatch(builder, getLoc(), operands[0], experts, [&](Value x) {
    return window(builder, getLoc(), x, getSize(), getStrides(), getPads(), getValue().convertToDouble());
  });
  return success();
}
LogicalResult WindowSumOp::buildBatched(OpBuilder &builder, ValueRange operands, ArrayRef<bool>,
                                        int64_t experts, Value &result) {
  result = throughBatch(builder, getLoc(), operands[0], experts, [&](Value windows) {
    return windowSum(builder, getLoc(), windows, getStrides(), getPads(), mergedBatch(getType(), experts));
  });
  return success();
}
