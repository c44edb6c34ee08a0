// The dialect `flow`: its attributes, enumerations and the classes that its ops are made of. Ops are in FlowOps.td,
// their interfaces in FlowInterfaces.td. A tensor's dynamic extents are expressions over the batch's symbols, carried
// in the type's encoding, so that equal sizes are identical types.
#ifndef FLOW_TD
#define FLOW_TD
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/TensorEncoding.td"

def Flow_Dialect : Dialect {
  let name = "flow";
  let cppNamespace = "::flow";
  let summary = "the dataflow graph: ops on ranked tensors, with explicit parameters";
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{
    /// The symbols of sizes beside D and N, numbered in the order in which they were first seen.
    unsigned symbolNumber(::llvm::StringRef name);
    ::llvm::StringRef symbolName(unsigned number);

  private:
    std::mutex symbolsMutex;
    ::llvm::StringMap<unsigned> symbolNumbers;
    std::deque<std::string> symbolNames; ///< by number; a deque, so that references stay valid

  public:
  }];
}

// attributes

def Flow_DimsAttr : AttrDef<Flow_Dialect, "Dims", [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let mnemonic = "dims";
  let summary = "a tensor's extents as expressions: tensor<?x10xf32, #flow.dims<[B, 10]>>";
  let parameters = (ins ArrayRefParameter<"::flow::Extent">:$dims);
  let hasCustomAssemblyFormat = 1;
}

def Flow_ExtentAttr : AttrDef<Flow_Dialect, "Extent"> {
  let mnemonic = "extent";
  let summary = "one size as an expression: #flow.extent<B * 10>";
  let parameters = (ins "::flow::Extent":$extent);
  let hasCustomAssemblyFormat = 1;
}

def Flow_InitKind : I32EnumAttr<"InitKind", "how initial values are drawn", [
  I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"uniform", 1>, I32EnumAttrCase<"normal", 2>,
  I32EnumAttrCase<"trunc_normal", 3>]> { let cppNamespace = "::flow"; }

def Flow_InitAttr : AttrDef<Flow_Dialect, "Init"> {
  let mnemonic = "init";
  let summary = "an initial value's rule: uniform(-0.1, 0.1)";
  let description = [{
    `constant(a)`; `uniform(a, b)` in [a, b); `normal(mean, deviation)`; `trunc_normal(mean, deviation)`, cut at two
    deviations. The values follow from the seed and the path (docs/architecture.md, "Random numbers").
  }];
  let parameters = (ins "::flow::InitKind":$kind, "::mlir::FloatAttr":$a, "::mlir::FloatAttr":$b);
  let hasCustomAssemblyFormat = 1;
  let builders = [AttrBuilder<(ins "::flow::InitKind":$kind, CArg<"double", "0">:$a, CArg<"double", "0">:$b), [{
    auto f64 = ::mlir::Float64Type::get($_ctxt);
    return $_get($_ctxt, kind, ::mlir::FloatAttr::get(f64, a), ::mlir::FloatAttr::get(f64, b));
  }]>];
}

def Flow_CapacityAttr : AttrDef<Flow_Dialect, "Capacity"> {
  let mnemonic = "capacity";
  let summary = "a limit to the rows that each expert of a routing takes, as flow.capacity computes it";
  let description = [{
    `rows` are all rows of the batch that the routing sees. An entry lists the limits of its routings, so that a batch for
    which an expert would take no row can be refused before it is computed.
  }];
  let parameters = (ins "::mlir::StringAttr":$routing, "::flow::ExtentAttr":$rows, "int64_t":$experts, "int64_t":$top,
                        "::mlir::FloatAttr":$factor, "int64_t":$alignment);
  let assemblyFormat = [{
    `<` $routing `rows` $rows `experts` $experts `top` $top `factor` $factor `alignment` $alignment `>`
  }];
  let genVerifyDecl = 1;
}

def Flow_EntryKind : I32EnumAttr<"EntryKind", "what an entry is run for", [
  I32EnumAttrCase<"infer", 0>, I32EnumAttrCase<"train", 1>]> { let cppNamespace = "::flow"; }
def Flow_StateKind : I32EnumAttr<"StateKind", "what a state that is no parameter is for", [
  I32EnumAttrCase<"buffer", 1>, I32EnumAttrCase<"optimizer", 2>, I32EnumAttrCase<"objective", 3>,
  I32EnumAttrCase<"average", 4>]> { let cppNamespace = "::flow"; }
def Flow_ScalarKind : I32EnumAttr<"ScalarKind", "where a number that needs no recompile comes from", [
  I32EnumAttrCase<"recipe", 0>, I32EnumAttrCase<"step", 1>, I32EnumAttrCase<"progress", 2>]> {
  let cppNamespace = "::flow";
}
def Flow_Part : I32EnumAttr<"Part", "the part of a training step that a result belongs to", [
  I32EnumAttrCase<"forward", 0>, I32EnumAttrCase<"backward", 1>, I32EnumAttrCase<"update", 2>]> {
  let cppNamespace = "::flow";
}
def Flow_Predicate : I32EnumAttr<"Predicate", "a comparison", [
  I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>, I32EnumAttrCase<"lt", 2>, I32EnumAttrCase<"le", 3>,
  I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]> { let cppNamespace = "::flow"; }
def Flow_ReduceKind : I32EnumAttr<"ReduceKind", "a reduction's combiner", [
  I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"max", 1>, I32EnumAttrCase<"min", 2>]> { let cppNamespace = "::flow"; }
def Flow_RandomKind : I32EnumAttr<"RandomKind", "a distribution: [0, 1), or mean 0 and deviation 1", [
  I32EnumAttrCase<"uniform", 0>, I32EnumAttrCase<"normal", 1>]> { let cppNamespace = "::flow"; }

// tensors

def Flow_Tensor : RankedTensorOf<[F32, I1, I32]>;
def Flow_Number : RankedTensorOf<[F32, I32]>;
def Flow_Float : RankedTensorOf<[F32]>;
def Flow_Mask : RankedTensorOf<[I1]>;
def Flow_Index : RankedTensorOf<[I32]>;
#endif
