// Ops that parse and verify but that elaboration does not support: they say so at the author's line.
#include "dialects/moe/MoeDialect.h"

using namespace mlir;
using namespace moe;

static LogicalResult unsupported(Operation *op) {
  return op->emitError() << "'" << op->getName().stripDialect() << "' is not supported yet by elaboration";
}

LogicalResult LinearOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ConvOp::expand(Expander &) { return unsupported(*this); }
LogicalResult PatchesOp::expand(Expander &) { return unsupported(*this); }
LogicalResult LayerNormOp::expand(Expander &) { return unsupported(*this); }
LogicalResult GroupNormOp::expand(Expander &) { return unsupported(*this); }
LogicalResult AttentionOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ParamOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ApplyOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ChainOp::expand(Expander &) { return unsupported(*this); }
LogicalResult RouteOp::expand(Expander &) { return unsupported(*this); }
LogicalResult DispatchOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ExpertsOp::expand(Expander &) { return unsupported(*this); }
LogicalResult CombineOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SelectOp::expand(Expander &) { return unsupported(*this); }
LogicalResult HyperOp::expand(Expander &) { return unsupported(*this); }
LogicalResult YieldOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ReturnOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ExposeOp::expand(Expander &) { return unsupported(*this); }
LogicalResult AuxOp::expand(Expander &) { return unsupported(*this); }
LogicalResult DefaultOp::expand(Expander &) { return unsupported(*this); }
LogicalResult UpdateOp::expand(Expander &) { return unsupported(*this); }
LogicalResult CallOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SwitchOp::expand(Expander &) { return unsupported(*this); }
LogicalResult NegOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ExpOp::expand(Expander &) { return unsupported(*this); }
LogicalResult LogOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SqrtOp::expand(Expander &) { return unsupported(*this); }
LogicalResult AbsOp::expand(Expander &) { return unsupported(*this); }
LogicalResult TanhOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SigmoidOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ReluOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SiluOp::expand(Expander &) { return unsupported(*this); }
LogicalResult GeluOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SoftmaxOp::expand(Expander &) { return unsupported(*this); }
LogicalResult FlattenOp::expand(Expander &) { return unsupported(*this); }
LogicalResult StopGradientOp::expand(Expander &) { return unsupported(*this); }
LogicalResult AddOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SubOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MulOp::expand(Expander &) { return unsupported(*this); }
LogicalResult DivOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MatmulOp::expand(Expander &) { return unsupported(*this); }
LogicalResult PrependOp::expand(Expander &) { return unsupported(*this); }
LogicalResult CrossEntropyOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MeanOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SumOp::expand(Expander &) { return unsupported(*this); }
LogicalResult VarianceOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MaxOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ConcatOp::expand(Expander &) { return unsupported(*this); }
LogicalResult SliceOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ReshapeOp::expand(Expander &) { return unsupported(*this); }
LogicalResult TransposeOp::expand(Expander &) { return unsupported(*this); }
LogicalResult TakeOp::expand(Expander &) { return unsupported(*this); }
LogicalResult WhereOp::expand(Expander &) { return unsupported(*this); }
LogicalResult UnfoldOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MaxPoolOp::expand(Expander &) { return unsupported(*this); }
LogicalResult MeanPoolOp::expand(Expander &) { return unsupported(*this); }
LogicalResult DropoutOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ResidualOp::expand(Expander &) { return unsupported(*this); }
LogicalResult BernoulliOp::expand(Expander &) { return unsupported(*this); }
LogicalResult UniformOp::expand(Expander &) { return unsupported(*this); }
LogicalResult ReverseGradientOp::expand(Expander &) { return unsupported(*this); }
