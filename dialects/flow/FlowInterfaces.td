// Interfaces by which an op states everything that is known about it, each fact once: how it is differentiated, computed
// and evaluated, what it costs, which random cases test it, and how exact it is. Boundary ops, which only connect the
// graph to names, have none of these; a test checks that all other ops have them.
#ifndef FLOW_INTERFACES_TD
#define FLOW_INTERFACES_TD
include "mlir/IR/OpBase.td"

// An op that connects the graph to the outside or to regions, and computes nothing.
def Flow_Boundary : NativeOpTrait<"Boundary"> { let cppNamespace = "::flow"; }
// Each result element depends only on the operands' elements at the same index.
def Flow_Elementwise : NativeOpTrait<"Elementwise"> { let cppNamespace = "::flow"; }
// The result equals the first operand. Such an op only steers differentiation or scheduling.
def Flow_Identity : NativeOpTrait<"Identity"> { let cppNamespace = "::flow"; }

def Flow_GradientInterface : OpInterface<"GradientInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    `rule`: `buildGradient` emits the vector-Jacobian product. `inactive`: no derivative flows. There is none, or
    it is 0 wherever there is one (integers, masks, random numbers); or the op is the identity, and so a `stop_gradient`.
    `surrogate`: the rule of another function than the one computed. A rule uses forward values freely
    and decides nothing about memory.
  }];
  let methods = [
    InterfaceMethod<"rule, inactive or surrogate", "::flow::GradientKind", "gradientKind">,
    InterfaceMethod<[{
      Given one gradient per result (null where none flows), sets one gradient per operand (null: none flows there). At
      the builder's insertion point, all forward values and all upstream gradients are available.
    }], "::llvm::LogicalResult", "buildGradient",
      (ins "::mlir::OpBuilder &":$builder, "::llvm::ArrayRef<::mlir::Value>":$upstream,
           "::llvm::SmallVectorImpl<::mlir::Value> &":$gradients), [{}], [{
        gradients.assign($_op->getNumOperands(), {});
        return ::mlir::success();
      }]>,
    InterfaceMethod<[{
      What the rule multiplies a gradient by: constant, product, finite or any. Only what may be infinite or NaN for
      finite operands is masked behind a select.
    }], "::flow::Slope", "slope", (ins), [{}], [{ return ::flow::defaultSlope($_op); }]>,
  ];
}

def Flow_ComputeInterface : OpInterface<"ComputeInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    How an element of a result follows from elements of the operands, for every back end. The iteration space is
    the results' axes followed by the reduced ones; several results of an op that is no emitter have one shape.
    `accesses` says which element of each operand a point needs; `buildScalar` emits arith and math ops on scalars or
    on vectors of one shape alike.
  }];
  let methods = [
    InterfaceMethod<"elementwise, view, reduction, generator, emitter or composite", "::flow::ComputeKind", "computeKind">,
    InterfaceMethod<"the iteration space: result axes, then reduced axes",
                    "::llvm::SmallVector<::flow::Extent>", "iterationSpace", (ins), [{}],
                    [{ return ::flow::extentsOf($_op->getResult(0)); }]>,
    InterfaceMethod<[{
      One access per operand, over the iteration space. A view of several operands (concat) takes the element of the
      first operand whose access is valid, and at every point one of them is. An operand that is read only for the
      accesses of others, such as the index of a gather, does not count. An emitter whose results are no sums of
      products of its operands' elements has no accesses.
    }], "::llvm::SmallVector<::flow::Access>", "accesses", (ins), [{}],
        [{ return ::flow::sameIndexAccesses($_op); }]>,
    InterfaceMethod<"dimensions of the space whose index is itself a number that elements follow from",
                    "::llvm::SmallVector<unsigned>", "indexDims", (ins), [{}], [{ return {}; }]>,
    InterfaceMethod<[{
      An elementwise op's value at one point from the operands' elements there, and a generator's from the point's i32
      indices along `indexDims`; else null.
    }],
      "::mlir::Value", "buildScalar",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$location, "::mlir::ValueRange":$operands), [{}],
      [{ return {}; }]>,
    InterfaceMethod<"what an element costs where it is computed once more", "::flow::Effort", "effort">,
    InterfaceMethod<"whether an emitter's kernel may compute elementwise ops of its result as well", "bool",
                    "takesEpilogue", (ins), [{}], [{ return true; }]>,
    InterfaceMethod<[{
      Whether `decompose` computes the results by other ops: those of a composite, and those of an emitter that some
      targets may have no kernel for.
    }], "bool", "decomposes", (ins), [{}], [{ return $_op.computeKind() == ::flow::ComputeKind::composite; }]>,
    InterfaceMethod<"the results, computed by other ops at the builder's insertion point",
      "::llvm::SmallVector<::mlir::Value>", "decompose", (ins "::mlir::OpBuilder &":$builder), [{}],
      [{ return {}; }]>,
  ];
}

def Flow_NumberInterface : OpInterface<"NumberInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    An op all of whose elements are one number, which is known without computing anything: a constant, a size, or a
    number that is given with every step. Back ends use it where it is read.
  }];
  let methods = [InterfaceMethod<"the number", "::flow::Number", "number">];
}

def Flow_ReductionInterface : OpInterface<"ReductionInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    A reduction carries one or several accumulators over the reduced axes. What a point adds is a set of accumulators
    as well, so that partial results combine in any tree; back ends choose one that only shapes decide. All of it works
    on scalars or on vectors of one shape alike.
  }];
  let methods = [
    InterfaceMethod<"the accumulators, with the start that combining leaves every other as it is",
                    "::llvm::SmallVector<::flow::Accumulator>", "accumulators">,
    InterfaceMethod<[{
      What one point adds: from the operands' elements (those that are no index of another's), and the point's i32
      indices along `indexDims`.
    }], "::llvm::SmallVector<::mlir::Value>", "buildElement",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$location, "::mlir::ValueRange":$operands,
           "::mlir::ValueRange":$indices), [{}], [{ return ::llvm::SmallVector<::mlir::Value>(operands); }]>,
    InterfaceMethod<"two sets of accumulators as one", "::llvm::SmallVector<::mlir::Value>", "buildCombine",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$location, "::mlir::ValueRange":$x,
           "::mlir::ValueRange":$y)>,
    InterfaceMethod<"the results from the accumulators, one each", "::llvm::SmallVector<::mlir::Value>", "buildFinish",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$location, "::mlir::ValueRange":$accumulators), [{}],
      [{ return {accumulators.front()}; }]>,
    InterfaceMethod<"whether combining is the addition of floating-point numbers, whose rounding back ends compensate",
                    "bool", "sumsReals", (ins), [{}], [{ return false; }]>,
  ];
}

def Flow_EvaluateInterface : OpInterface<"EvaluateInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    The op's meaning in f64, in obvious code that never uses the scalar body.
  }];
  let methods = [
    InterfaceMethod<"fills the results, whose shapes are set", "void", "evaluate",
      (ins "::llvm::ArrayRef<const ::flow::Array *>":$operands, "::llvm::MutableArrayRef<::flow::Array>":$results,
           "const ::flow::Setting &":$setting)>,
  ];
}

def Flow_CostInterface : OpInterface<"CostInterface"> {
  let cppNamespace = "::flow";
  let methods = [
    InterfaceMethod<"arithmetic, a multiply-add as two", "::flow::Cost", "cost",
                    (ins), [{}], [{ return ::flow::elementwiseCost($_op); }]>,
  ];
}

def Flow_TruthInterface : OpInterface<"TruthInterface"> {
  let cppNamespace = "::flow";
  let description = [{
    What tests need: random cases away from kinks and ties, and the bound of compiled f32 code against the evaluator,
    `errorFactor() * eps * magnitude` with eps = 2^-24. An element's magnitude is the sum of its terms' absolute
    values; for an op that sums nothing, the value that its error is relative to.
  }];
  let methods = [
    StaticInterfaceMethod<"adds one op with random attributes and operands to the case", "void", "buildRandomCase",
                          (ins "::flow::RandomCase &":$random)>,
    InterfaceMethod<"c in the bound c * eps * sum|terms|; 0 where all results are exact", "double", "errorFactor">,
    InterfaceMethod<"sum|terms| of every element of each result; `results` are the evaluator's",
      "::llvm::SmallVector<::flow::Array>", "magnitude",
      (ins "::llvm::ArrayRef<const ::flow::Array *>":$operands, "::llvm::ArrayRef<::flow::Array>":$results)>,
  ];
}
#endif
