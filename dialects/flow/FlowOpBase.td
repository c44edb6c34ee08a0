// The base class of ops that compute, in `flow` and in plugins' dialects. It declares the interface methods that an op of
// its kind has to implement, so a definition only has the op's operands and syntax; the methods are in C++.
#ifndef FLOW_OP_BASE_TD
#define FLOW_OP_BASE_TD
include "dialects/flow/Flow.td"
include "dialects/flow/FlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

// An op that computes.
//   gradient  rule, inactive or surrogate. With rule and surrogate, the op implements buildGradient.
//   compute   its ComputeKind. An elementwise op implements buildScalar and has the trait Flow_Elementwise among `traits`; a
//             reduction implements iterationSpace, accumulators and buildCombine, a composite decompose and cost. An op
//             that reads operands at other indices than its own implements accesses.
//   effort    the cost of computing an element again.
//   several   1 if it has several results; it then implements evaluate and magnitude for all of them, otherwise for the one.
//   dialect   the dialect of a plugin's op.
//   own       the methods of ReductionInterface that the op implements although they have a default.
//   slope     its Slope, which says whether a gradient of 0 may become NaN in its rule. Unless given, it is `any`, which
//             is right for every op, and `constant` for a view; a better one saves a mask where the op stands before a select.
// Every op implements evaluate and buildRandomCase, and every op but a view errorFactor and magnitude: a view only copies, so
// its error is 0. The linker says which of these functions an op lacks.
class Flow_ComputeOp<string mnemonic, string gradient, string compute, list<Trait> traits = [],
                     string effort = !if(!eq(compute, "generator"), "free", "simple"), bit several = 0,
                     Dialect dialect = Flow_Dialect, list<string> own = [], string slope = "">
    : Op<dialect, mnemonic, traits # [Pure, Flow_GradientInterface, Flow_ComputeInterface, Flow_CostInterface,
                                      Flow_EvaluateInterface, Flow_TruthInterface]
                          # !if(!eq(compute, "reduction"), [DeclareOpInterfaceMethods<Flow_ReductionInterface, own>], [])> {
  string gradientKind = [{ ::flow::GradientKind gradientKind() { return ::flow::GradientKind::}] # gradient # [{; } }];
  string gradientRule = !if(!eq(gradient, "inactive"), "", [{
    ::llvm::LogicalResult buildGradient(::mlir::OpBuilder &builder, ::llvm::ArrayRef<::mlir::Value> upstream,
                                        ::llvm::SmallVectorImpl<::mlir::Value> &gradients);
  }]);
  string slopeFact = !if(!empty(slope), "", [{ ::flow::Slope slope() { return ::flow::Slope::}] # slope # [{; } }]);
  string computeKind = [{ ::flow::ComputeKind computeKind() { return ::flow::ComputeKind::}] # compute # [{; } }];
  string effortKind = [{ ::flow::Effort effort() { return ::flow::Effort::}] # effort # [{; } }];
  string scalarBody = !if(!eq(compute, "elementwise"), [{
    ::mlir::Value buildScalar(::mlir::OpBuilder &builder, ::mlir::Location location, ::mlir::ValueRange operands);
  }], "");
  bit readsElsewhere = !not(!or(!eq(compute, "elementwise"), !eq(compute, "generator"), !eq(compute, "composite")));
  string accessMaps = !if(readsElsewhere, [{
    ::llvm::SmallVector<::flow::Access> accesses();
  }], "");
  string space = !if(!or(!eq(compute, "reduction"), !eq(compute, "emitter")), [{
    ::llvm::SmallVector<::flow::Extent> iterationSpace();
  }], "");
  string ownCost = !if(!or(!eq(compute, "emitter"), !eq(compute, "composite")), [{ ::flow::Cost cost(); }], "");
  string parts = !if(!eq(compute, "composite"), [{
    ::llvm::SmallVector<::mlir::Value> decompose(::mlir::OpBuilder &builder);
  }], "");
  string evaluation = !if(several, [{
    void evaluate(::llvm::ArrayRef<const ::flow::Array *> operands, ::llvm::MutableArrayRef<::flow::Array> results,
                  const ::flow::Setting &setting);
  }], [{
    void evaluate(::llvm::ArrayRef<const ::flow::Array *> operands, ::flow::Array &result,
                  const ::flow::Setting &setting);
    void evaluate(::llvm::ArrayRef<const ::flow::Array *> operands, ::llvm::MutableArrayRef<::flow::Array> results,
                  const ::flow::Setting &setting) {
      evaluate(operands, results.front(), setting);
    }
  }]);
  string truth = [{ static void buildRandomCase(::flow::RandomCase &random); }]
      # !if(!eq(compute, "view"), "double errorFactor() { return 0; }", "double errorFactor();")
      # !if(several, [{
    ::llvm::SmallVector<::flow::Array> magnitude(::llvm::ArrayRef<const ::flow::Array *> operands,
                                                 ::llvm::ArrayRef<::flow::Array> results);
  }], [{
    ::llvm::SmallVector<::flow::Array> magnitude(::llvm::ArrayRef<const ::flow::Array *> operands,
                                                 ::llvm::ArrayRef<::flow::Array> results) {
      return {magnitude(operands, results.front())};
    }
  }] # !if(!eq(compute, "view"), [{
    ::flow::Array magnitude(::llvm::ArrayRef<const ::flow::Array *>, const ::flow::Array &result) {
      return ::flow::sizesOf(result);
    }
  }], [{
    ::flow::Array magnitude(::llvm::ArrayRef<const ::flow::Array *> operands, const ::flow::Array &result);
  }]));
  string facts = gradientKind # gradientRule # slopeFact # computeKind # effortKind # scalarBody # accessMaps # space # ownCost
                 # parts # evaluation # truth;
  let extraClassDeclaration = facts;
}

// A reduction of x along one axis, which the result lacks. `yields` and `element` are the result's type.
class Flow_AxisReductionOp<string mnemonic, string gradient, string meaning, string effort = "simple",
                           Dialect dialect = Flow_Dialect, list<string> own = [], TypeConstraint yields = Flow_Float,
                           string element = "::mlir::getElementTypeOrSelf(x.getType())", string slope = "">
    : Flow_ComputeOp<mnemonic, gradient, "reduction", [], effort, 0, dialect, own, slope> {
  let summary = meaning;
  let arguments = (ins Flow_Float:$x, I64Attr:$axis);
  let results = (outs yields:$y);
  let assemblyFormat = "$x `along` $axis attr-dict `:` type($x) `->` type($y)";
  let builders = [OpBuilder<(ins "::mlir::Value":$x, "int64_t":$axis), [{
    build($_builder, $_state, ::flow::withElement(::flow::reducedType(x.getType(), axis), }] # element # [{), x, axis);
  }]>];
  let space = [{
    ::llvm::SmallVector<::flow::Extent> iterationSpace() { return ::flow::reductionSpace(getX(), int64_t(getAxis())); }
  }];
  let accessMaps = [{
    ::llvm::SmallVector<::flow::Access> accesses() { return {::flow::reductionAccess(getX(), int64_t(getAxis()))}; }
  }];
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::verify() { return ::flow::verifyAxisReduction(*this, getX(), getAxis(), getY()); }
  }];
}
#endif
