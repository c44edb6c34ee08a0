// Gradient rules of the bilinear ops. A contraction's gradients are contractions over the same labels;
// convolution, its input gradient and its weight gradient are one trilinear form <conv(x, w), dy> with one
// argument left free, so each of the three is differentiated into the other two, to any order.
#include "dialects/flow/Define.h"
#include "dialects/flow/Emit.h"

using namespace mlir;

namespace flow {
// The second operand's gradient, a weight's in a linear layer, comes first: it is the last reader of the
// first operand, whose memory that one's gradient can then have.
LogicalResult ContractOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0]) {
    gradients[1] = ContractOp::create(builder, getLoc(), getB().getType(), getA(), dy, getAAxes(),
                                      getOutAxes(), getBAxes());
    gradients[0] = ContractOp::create(builder, getLoc(), getA().getType(), dy, getB(), getOutAxes(),
                                      getBAxes(), getAAxes());
  }
  return success();
}

// The weight gradient comes first, as above.
LogicalResult ConvOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dy = upstream[0]) {
    gradients[1] =
        ConvWeightGradOp::create(builder, getLoc(), getW().getType(), getX(), dy, getStrides(), getPads());
    gradients[0] =
        ConvInputGradOp::create(builder, getLoc(), getX().getType(), dy, getW(), getStrides(), getPads());
  }
  return success();
}

LogicalResult ConvInputGradOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dx = upstream[0]) {
    gradients[0] = ConvOp::create(builder, getLoc(), getDy().getType(), dx, getW(), getStrides(), getPads());
    gradients[1] =
        ConvWeightGradOp::create(builder, getLoc(), getW().getType(), dx, getDy(), getStrides(), getPads());
  }
  return success();
}

LogicalResult ConvWeightGradOp::buildGradient(OpBuilder &builder, Upstream upstream, Gradients &gradients) {
  gradients.assign(2, {});
  if (Value dw = upstream[0]) {
    gradients[0] =
        ConvInputGradOp::create(builder, getLoc(), getX().getType(), getDy(), dw, getStrides(), getPads());
    gradients[1] = ConvOp::create(builder, getLoc(), getDy().getType(), getX(), dw, getStrides(), getPads());
  }
  return success();
}

} // namespace flow
