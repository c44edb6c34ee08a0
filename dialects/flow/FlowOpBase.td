// The class of ops that compute: `flow`'s own, and those of plugins' dialects. It declares what the interfaces ask of an
// op of its kind, so that a definition holds what is the op's own: operands, syntax, and the facts in C++.
#ifndef FLOW_OP_BASE_TD
#define FLOW_OP_BASE_TD
include "dialects/flow/Flow.td"
include "dialects/flow/FlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

// An op that computes. `gradient` is its kind: rule, inactive or surrogate; the first and the last write buildGradient.
// `compute` is its ComputeKind; an elementwise op writes buildScalar, a reduction accumulators and buildCombine, a
// composite decompose, whatever reads its operands at other places than its own index writes accesses. `effort` is what
// computing it once more costs. An op with one result writes evaluate and magnitude for that one; `several` says that
// it has more and writes them for all. A view copies, so its error is 0 without being stated. `dialect` is a plugin's own
// where the op is a plugin's; `own` names the methods of ReductionInterface that the op writes although they have a default.
class Flow_ComputeOp<string mnemonic, string gradient, string compute, list<Trait> traits = [],
                     string effort = !if(!eq(compute, "generator"), "free", "simple"), bit several = 0,
                     Dialect dialect = Flow_Dialect, list<string> own = []>
    : Op<dialect, mnemonic, traits # [Pure, Flow_GradientInterface, Flow_ComputeInterface, Flow_CostInterface,
                                      Flow_EvaluateInterface, Flow_TruthInterface]
                          # !if(!eq(compute, "reduction"), [DeclareOpInterfaceMethods<Flow_ReductionInterface, own>], [])> {
  string gradientKind = [{ ::flow::GradientKind gradientKind() { return ::flow::GradientKind::}] # gradient # [{; } }];
  string gradientRule = !if(!eq(gradient, "inactive"), "", [{
    ::llvm::LogicalResult buildGradient(::mlir::OpBuilder &builder, ::llvm::ArrayRef<::mlir::Value> upstream,
                                        ::llvm::SmallVectorImpl<::mlir::Value> &gradients);
  }]);
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
  string facts = gradientKind # gradientRule # computeKind # effortKind # scalarBody # accessMaps # space # ownCost
                 # parts # evaluation # truth;
  let extraClassDeclaration = facts;
}

// A reduction of x along one axis, which the result lacks. `yields` and `element` are the result's type.
class Flow_AxisReductionOp<string mnemonic, string gradient, string meaning, string effort = "simple",
                           Dialect dialect = Flow_Dialect, list<string> own = [], TypeConstraint yields = Flow_Float,
                           string element = "::mlir::getElementTypeOrSelf(x.getType())">
    : Flow_ComputeOp<mnemonic, gradient, "reduction", [], effort, 0, dialect, own> {
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
