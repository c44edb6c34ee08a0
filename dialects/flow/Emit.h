// A builder with a location, and one short method per op, so that formulas in gradient rules and composites
// are readable. The operands of binary methods must have the same type; `constantLike` and `spread` help with
// that.
#pragma once
#include "dialects/flow/Flow.h"

namespace flow {

struct Emit {
  mlir::OpBuilder &b;
  mlir::Location loc;
  using Value = mlir::Value;

  Value constant(mlir::Type type, double value) {
    return ConstantOp::create(b, loc, type, b.getF64FloatAttr(value));
  }
  Value constantLike(Value x, double value) { return constant(x.getType(), value); }
  Value zeros(mlir::Type type) { return constant(type, 0); }
  /// tensor<f32>
  mlir::RankedTensorType scalarType() { return mlir::RankedTensorType::get({}, b.getF32Type()); }
  Value scalar(double value) { return constant(scalarType(), value); }

  template <typename Op> Value unary(Value x) { return Op::create(b, loc, x.getType(), x); }
  template <typename Op> Value binary(Value x, Value y) { return Op::create(b, loc, x.getType(), x, y); }
  Value neg(Value x) { return unary<NegOp>(x); }
  Value exp(Value x) { return unary<ExpOp>(x); }
  Value log(Value x) { return unary<LogOp>(x); }
  Value sqrt(Value x) { return unary<SqrtOp>(x); }
  Value rsqrt(Value x) { return unary<RsqrtOp>(x); }
  Value geluSlope(Value x) { return unary<GeluSlopeOp>(x); }
  Value erf(Value x) { return unary<ErfOp>(x); }
  Value sigmoid(Value x) { return unary<SigmoidOp>(x); }
  Value stop(Value x) { return unary<StopGradientOp>(x); }
  Value add(Value x, Value y) { return binary<AddOp>(x, y); }
  Value sub(Value x, Value y) { return binary<SubOp>(x, y); }
  Value mul(Value x, Value y) { return binary<MulOp>(x, y); }
  Value div(Value x, Value y) { return binary<DivOp>(x, y); }
  Value pow(Value x, Value y) { return binary<PowOp>(x, y); }
  Value maximum(Value x, Value y) { return binary<MaximumOp>(x, y); }
  Value minimum(Value x, Value y) { return binary<MinimumOp>(x, y); }
  Value both(Value x, Value y) { return binary<AndOp>(x, y); }
  Value add(Value x, double c) { return add(x, constantLike(x, c)); }
  Value sub(Value x, double c) { return sub(x, constantLike(x, c)); }
  Value mul(Value x, double c) { return mul(x, constantLike(x, c)); }
  /// c - x
  Value subFrom(double c, Value x) { return sub(constantLike(x, c), x); }

  mlir::Type maskType(Value x) { return withElement(x.getType(), b.getI1Type()); }
  Value compare(Predicate predicate, Value x, Value y) {
    return CompareOp::create(b, loc, maskType(x), predicate, x, y);
  }
  Value compare(Predicate predicate, Value x, double c) { return compare(predicate, x, constantLike(x, c)); }
  Value select(Value mask, Value x, Value y) { return SelectOp::create(b, loc, x.getType(), mask, x, y); }
  /// x where the mask holds, else 0
  Value keep(Value mask, Value x) { return select(mask, x, zeros(x.getType())); }
  Value isFinite(Value x) { return IsFiniteOp::create(b, loc, maskType(x), x); }
  Value toFloat(Value x) { return ConvertOp::create(b, loc, withElement(x.getType(), b.getF32Type()), x); }

  Value reduce(ReduceKind kind, Value x, llvm::ArrayRef<int64_t> axes);
  Value sum(Value x, llvm::ArrayRef<int64_t> axes) { return reduce(ReduceKind::sum, x, axes); }
  /// The sum of all elements: tensor<f32>.
  Value sumAll(Value x);
  /// Broadcasts to a type; `dims` is the result axis of each axis of x. Returns x if nothing changes.
  Value broadcast(Value x, mlir::Type type, llvm::ArrayRef<int64_t> dims);
  /// Broadcasts a 0-d x to the shape of another value.
  Value spread(Value x, Value like) { return broadcast(x, withElement(like.getType(), elementOf(x)), {}); }
  /// Broadcasts the result of a reduction over `axes` back to the shape of `like`.
  Value spreadOver(Value x, Value like, llvm::ArrayRef<int64_t> axes);
  Value reshape(Value x, mlir::Type type);
  /// The product of some extents of x as a number: tensor<f32>.
  Value count(Value x, llvm::ArrayRef<int64_t> axes);

  static mlir::Type elementOf(Value x) {
    return mlir::cast<mlir::RankedTensorType>(x.getType()).getElementType();
  }
  static int64_t rankOf(Value x) { return mlir::cast<mlir::RankedTensorType>(x.getType()).getRank(); }
};

/// The axes below `rank` that are not in `axes`, ascending.
llvm::SmallVector<int64_t> otherAxes(int64_t rank, llvm::ArrayRef<int64_t> axes);

} // namespace flow
