// The ops of `flow`. An entry is one graph in SSA order without control flow: boundary ops name what goes in and out,
// the others compute on ranked tensors. Broadcasting, conversions and layouts of axes are explicit. Each op's
// constraints are numbered; the verifiers (Verify.cpp) and their tests name the numbers.
#ifndef FLOW_OPS_TD
#define FLOW_OPS_TD
include "dialects/flow/FlowOpBase.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

class Flow_BoundaryOp<string mnemonic, list<Trait> traits = []>
    : Op<Flow_Dialect, mnemonic, traits # [Flow_Boundary]>;

// program and boundary

def Flow_ProgramOp : Flow_BoundaryOp<"program", [Symbol, SymbolTable, NoTerminator, SingleBlock, IsolatedFromAbove]> {
  let summary = "a model's entries; its attributes are what was chosen at compile time";
  let arguments = (ins SymbolNameAttr:$sym_name);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name attr-dict-with-keyword $body";
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name)>];
  let hasVerifier = 1;
}

def Flow_TargetOp : Flow_BoundaryOp<"target", [SymbolTable, NoTerminator, SingleBlock, IsolatedFromAbove,
                                               HasParent<"ProgramOp">]> {
  let summary = "the entries as they are compiled for one target, from the forming of groups on";
  let description = "`name` is the target as a command line spells it, such as `cpu:x86-64-v3`.";
  let arguments = (ins StrAttr:$name);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$name attr-dict-with-keyword $body";
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name)>];
}

def Flow_EntryOp : Flow_BoundaryOp<"entry", [Symbol, NoTerminator, SingleBlock, IsolatedFromAbove,
                                             ParentOneOf<["ProgramOp", "TargetOp"]>]> {
  let summary = "one graph: what `moert` runs by name";
  let arguments = (ins SymbolNameAttr:$sym_name, Flow_EntryKind:$kind,
                       OptionalAttr<TypedArrayAttrBase<Flow_CapacityAttr, "a list of limits to the rows of experts">>:$capacities);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name $kind attr-dict-with-keyword $body";
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::flow::EntryKind":$kind)>];
  let hasRegionVerifier = 1;
}

def Flow_InputOp : Flow_BoundaryOp<"input", [Pure]> {
  let summary = "a tensor that the entry is given by name";
  let arguments = (ins StrAttr:$name);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$name attr-dict `:` type($y)";
}

def Flow_ParameterOp : Flow_BoundaryOp<"parameter", [Pure]> {
  let summary = "a weight, by its path; static in shape";
  let arguments = (ins StrAttr:$path, Flow_InitAttr:$init, UnitAttr:$frozen);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$path custom<Init>($init) (`frozen` $frozen^)? attr-dict `:` type($y)";
  let hasVerifier = 1;
}

def Flow_StateOp : Flow_BoundaryOp<"state", [Pure]> {
  let summary = "a tensor that outlives a step and is no weight; `of` names the parameter that it belongs to";
  let arguments = (ins StrAttr:$path, Flow_StateKind:$kind, Flow_InitAttr:$init, OptionalAttr<StrAttr>:$of);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$path $kind custom<Init>($init) (`of` $of^)? attr-dict `:` type($y)";
  let hasVerifier = 1;
}

def Flow_ScalarOp : Flow_BoundaryOp<"scalar", [Pure, Flow_NumberInterface]> {
  let summary = "a number given with every step: a recipe's key, the step, or the progress";
  let arguments = (ins StrAttr:$key, Flow_ScalarKind:$kind, F64Attr:$fallback);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$key $kind `,` $fallback attr-dict `:` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = "::flow::Number number() { return {{}, {}, getKeyAttr()}; }";
}

def Flow_OutputOp : Flow_BoundaryOp<"output"> {
  let summary = "names a result of the entry";
  let description = [{
    `of` is the part of a training step that the result belongs to. Differentiation sets it on all results, to backward where they
    depend on a gradient, the optimiser to update on results that report an update. A result that is added later without it is
    forward, unless its value needs what only the other parts need. In an inference entry, an `exposed` output is a value
    that the author's `expose` names: it is there for reports and is no result of the model.
  }];
  let arguments = (ins StrAttr:$name, Flow_Tensor:$x, OptionalAttr<Flow_Part>:$part, UnitAttr:$exposed);
  let assemblyFormat = "$name $x (`of` $part^)? (`exposed` $exposed^)? attr-dict `:` type($x)";
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::Value":$x), [{
    build($_builder, $_state, $_builder.getStringAttr(name), x, ::flow::PartAttr(), ::mlir::UnitAttr());
  }]>];
}

def Flow_AssignOp : Flow_BoundaryOp<"assign"> {
  let summary = "the value that a parameter or state has after the step";
  let description = [{
    `when` names the update's predicate: an output that is 1 if the update was made, and 0 if it was skipped, in which
    case x is the old value. All assignments with the same predicate form one update; an entry may have several.
  }];
  let arguments = (ins StrAttr:$path, Flow_Float:$x, OptionalAttr<StrAttr>:$when);
  let assemblyFormat = "$path $x (`when` $when^)? attr-dict `:` type($x)";
  let builders = [OpBuilder<(ins "::llvm::StringRef":$path, "::mlir::Value":$x, CArg<"::llvm::StringRef", "{}">:$when), [{
    build($_builder, $_state, $_builder.getStringAttr(path), x,
          when.empty() ? ::mlir::StringAttr() : $_builder.getStringAttr(when));
  }]>];
}

def Flow_ExposeOp : Flow_BoundaryOp<"expose"> {
  let summary = "names an inner value for reports";
  let description = "`of` is the part of a training step that the value belongs to, as for an output.";
  let arguments = (ins StrAttr:$name, Flow_Tensor:$x, OptionalAttr<Flow_Part>:$part);
  let assemblyFormat = "$name $x (`of` $part^)? attr-dict `:` type($x)";
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::Value":$x),
                            [{ build($_builder, $_state, $_builder.getStringAttr(name), x, ::flow::PartAttr()); }]>];
}

// generators

def Flow_ConstantOp : Flow_ComputeOp<"constant", "inactive", "generator", [ConstantLike, Flow_NumberInterface]> {
  let summary = "a splat; masks take 0 and 1, indices whole numbers";
  let arguments = (ins F64Attr:$value);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$value attr-dict `:` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "::flow::Number number() { return {getValue().convertToDouble()}; }";
}

def Flow_IotaOp : Flow_ComputeOp<"iota", "inactive", "generator"> {
  let summary = "the index along an axis";
  let arguments = (ins I64Attr:$axis);
  let results = (outs Flow_Number:$y);
  let assemblyFormat = "$axis attr-dict `:` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = facts # [{
    ::llvm::SmallVector<unsigned> indexDims();
    ::mlir::Value buildScalar(::mlir::OpBuilder &builder, ::mlir::Location location, ::mlir::ValueRange indices);
  }];
}

def Flow_ExtentOp : Flow_ComputeOp<"extent", "inactive", "generator", [Flow_NumberInterface]> {
  let summary = "a size as a number, such as the divisor of a mean";
  let arguments = (ins Flow_ExtentAttr:$extent);
  let results = (outs Flow_Number:$y);
  let assemblyFormat = "custom<ExtentText>($extent) attr-dict `:` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "::flow::Number number() { return {{}, getExtent().getExtent()}; }";
}

def Flow_RandomOp : Flow_ComputeOp<"random", "inactive", "generator", [], "transcendental"> {
  let summary = "Philox numbers of a stream; the logical index is the row-major one unless given";
  let description = [{
    `index` has the first axes of the result, all or some. It replaces the row-major index of these axes: the logical index of an
    element is index * (the elements behind an index) + the row-major index along the other axes. So rows that were moved
    keep the numbers that they would have had.
  }];
  let arguments = (ins Flow_RandomKind:$kind, I64Attr:$stream, Optional<Flow_Index>:$index);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$kind $stream (`at` $index^ `:` type($index))? attr-dict `->` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "::llvm::SmallVector<unsigned> indexDims();";
}

// elementwise

class Flow_UnaryOp<string mnemonic, string gradient, string meaning, string slope, string effort = "simple">
    : Flow_ComputeOp<mnemonic, gradient, "elementwise", [Flow_Elementwise, AllTypesMatch<["x", "y"]>], effort, slope = slope> {
  let summary = meaning;
  let arguments = (ins Flow_Float:$x);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x attr-dict `:` type($x)";
  let hasFolder = 1;
}
def Flow_NegOp : Flow_UnaryOp<"neg", "rule", "-x", "constant">;
def Flow_ExpOp : Flow_UnaryOp<"exp", "rule", "e to the x", "any", "transcendental">;
def Flow_LogOp : Flow_UnaryOp<"log", "rule", "the natural logarithm", "any", "transcendental">;
def Flow_SqrtOp : Flow_UnaryOp<"sqrt", "rule", "the square root", "any", "slow">;
def Flow_RsqrtOp : Flow_UnaryOp<"rsqrt", "rule", "1 / sqrt(x)", "any", "slow">;
def Flow_TanhOp : Flow_UnaryOp<"tanh", "rule", "the hyperbolic tangent", "finite", "transcendental">;
def Flow_SigmoidOp : Flow_UnaryOp<"sigmoid", "rule", "1 / (1 + exp(-x))", "finite", "transcendental">;
def Flow_ReluOp : Flow_UnaryOp<"relu", "rule", "max(x, 0)", "constant">;
def Flow_SiluOp : Flow_UnaryOp<"silu", "rule", "x * sigmoid(x)", "finite", "transcendental">;
def Flow_GeluOp : Flow_UnaryOp<"gelu", "rule", "x * (1 + erf(x / sqrt(2))) / 2", "finite", "transcendental">;
def Flow_GeluSlopeOp : Flow_UnaryOp<"gelu_slope", "rule", "Phi(x) + x phi(x), the derivative of gelu", "finite", "transcendental">;
def Flow_ErfOp : Flow_UnaryOp<"erf", "rule", "the error function", "finite", "transcendental">;
def Flow_AbsOp : Flow_UnaryOp<"abs", "rule", "|x|; its derivative at 0 is 0", "constant">;
def Flow_NotOp : Flow_UnaryOp<"not", "inactive", "the other truth value", "constant"> {
  let arguments = (ins Flow_Mask:$x);
  let results = (outs Flow_Mask:$y);
}

def Flow_IsFiniteOp : Flow_ComputeOp<"is_finite", "inactive", "elementwise", [Flow_Elementwise,
    TypesMatchWith<"a mask of the operand's shape", "x", "y", "::flow::withElement($_self, ::mlir::IntegerType::get($_self.getContext(), 1))">]> {
  let summary = "neither infinite nor NaN";
  let arguments = (ins Flow_Float:$x);
  let results = (outs Flow_Mask:$y);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

class Flow_BinaryOp<string mnemonic, string gradient, string meaning, string slope, list<Trait> traits = [], string effort = "simple">
    : Flow_ComputeOp<mnemonic, gradient, "elementwise", traits # [Flow_Elementwise, AllTypesMatch<["a", "b", "y"]>], effort, slope = slope> {
  let summary = meaning;
  let arguments = (ins Flow_Number:$a, Flow_Number:$b);
  let results = (outs Flow_Number:$y);
  let assemblyFormat = "$a `,` $b attr-dict `:` type($a)";
  let hasFolder = 1;
}
def Flow_AddOp : Flow_BinaryOp<"add", "rule", "a + b", "constant", [Commutative]>;
def Flow_SubOp : Flow_BinaryOp<"sub", "rule", "a - b", "constant">;
def Flow_MulOp : Flow_BinaryOp<"mul", "rule", "a * b", "product", [Commutative]>;
def Flow_DivOp : Flow_BinaryOp<"div", "rule", "a / b", "", [], "slow"> {
  let arguments = (ins Flow_Float:$a, Flow_Float:$b);
  let results = (outs Flow_Float:$y);
  let extraClassDeclaration = facts # [{
    /// A division by a number that is known is a product.
    ::flow::Slope slope() { return ::flow::isKnownNonzero(getB()) ? ::flow::Slope::constant : ::flow::Slope::any; }
  }];
}
def Flow_MaximumOp : Flow_BinaryOp<"maximum", "rule", "the larger; NaN where either is; a tie shares its gradient by halves", "constant", [Commutative]>;
def Flow_MinimumOp : Flow_BinaryOp<"minimum", "rule", "the smaller; NaN where either is; a tie shares its gradient by halves", "constant", [Commutative]>;
def Flow_PowOp : Flow_BinaryOp<"pow", "rule", "a to the b, for a > 0", "any", [], "transcendental"> {
  let arguments = (ins Flow_Float:$a, Flow_Float:$b);
  let results = (outs Flow_Float:$y);
}
def Flow_AndOp : Flow_BinaryOp<"and", "inactive", "both", "constant", [Commutative]> {
  let arguments = (ins Flow_Mask:$a, Flow_Mask:$b);
  let results = (outs Flow_Mask:$y);
}
def Flow_OrOp : Flow_BinaryOp<"or", "inactive", "either", "constant", [Commutative]> {
  let arguments = (ins Flow_Mask:$a, Flow_Mask:$b);
  let results = (outs Flow_Mask:$y);
}

def Flow_CompareOp : Flow_ComputeOp<"compare", "inactive", "elementwise", [Flow_Elementwise, AllTypesMatch<["a", "b"]>,
    TypesMatchWith<"a mask of the operands' shape", "a", "y", "::flow::withElement($_self, ::mlir::IntegerType::get($_self.getContext(), 1))">]> {
  let summary = "a comparison; false where either is NaN, but for ne, which is true";
  let arguments = (ins Flow_Predicate:$predicate, Flow_Number:$a, Flow_Number:$b);
  let results = (outs Flow_Mask:$y);
  let assemblyFormat = "$predicate $a `,` $b attr-dict `:` type($a)";
}

def Flow_SelectOp : Flow_ComputeOp<"select", "rule", "elementwise", [Flow_Elementwise, AllTypesMatch<["a", "b", "y"]>,
    TypesMatchWith<"a mask of the operands' shape", "a", "mask", "::flow::withElement($_self, ::mlir::IntegerType::get($_self.getContext(), 1))">],
    slope = "constant"> {
  let summary = "a where the mask holds, else b";
  let arguments = (ins Flow_Mask:$mask, Flow_Tensor:$a, Flow_Tensor:$b);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$mask `,` $a `,` $b attr-dict `:` type($a)";
  let hasFolder = 1;
}

def Flow_ConvertOp : Flow_ComputeOp<"convert", "rule", "elementwise", [Flow_Elementwise], slope = "constant"> {
  let summary = "another element type: masks become 0 and 1, numbers are cut towards zero, a mask is x != 0";
  let arguments = (ins Flow_Tensor:$x);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

class Flow_IdentityOp<string mnemonic, string gradient, string meaning, string effort = "simple">
    : Flow_ComputeOp<mnemonic, gradient, "elementwise", [Flow_Elementwise, Flow_Identity, AllTypesMatch<["x", "y"]>], effort,
                     slope = "constant"> {
  let summary = meaning;
  let arguments = (ins Flow_Tensor:$x);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}
def Flow_StopGradientOp : Flow_IdentityOp<"stop_gradient", "inactive", "x; no derivative flows">;
def Flow_ReverseGradientOp : Flow_ComputeOp<"reverse_gradient", "surrogate", "elementwise", [Flow_Elementwise, Flow_Identity, AllTypesMatch<["x", "y"]>],
    slope = "constant"> {
  let summary = "x; the derivative is that of -scale * x";
  let arguments = (ins Flow_Float:$x, Flow_Float:$scale);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x `by` $scale attr-dict `:` type($x) `,` type($scale)";
  let hasVerifier = 1;
}
def Flow_BarrierOp : Flow_IdentityOp<"barrier", "rule", "x, as a value that CSE does not merge with x", "free"> {
  let description = [{
    Rematerialisation clones forward ops into the backward part. A clone reads its operands through barriers, so that
    common subexpression elimination does not merge it with the original. `segment` is the number of the backward segment
    (the ops between two contractions or convolutions) that reads the clone; barriers of two segments are not merged either.
  }];
  let arguments = (ins Flow_Tensor:$x, I64Attr:$segment);
  let assemblyFormat = "$x $segment attr-dict `:` type($x)";
}
def Flow_SkippableOp : Flow_ComputeOp<"skippable", "rule", "elementwise", [Flow_Elementwise, Flow_Identity, AllTypesMatch<["x", "y"]>,
    TypesMatchWith<"a mask of x's shape", "x", "live", "::flow::withElement($_self, ::mlir::IntegerType::get($_self.getContext(), 1))">],
    "free", slope = "constant"> {
  let summary = "x; where `live` does not hold, an emitter that reads it may take zeros for it";
  let description = [{
    Fusion puts it before the emitters whose results are the same with zeros there, or are not needed: the products of samples that
    drop path drops. A kernel then leaves out rows, or steps of a sum, that are not live, or does not. `live` is a broadcast of a mask
    in memory. All else takes x as it is.
  }];
  let arguments = (ins Flow_Float:$x, Flow_Mask:$live);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x `where` $live attr-dict `:` type($x)";
}

// structure

class Flow_ViewOp<string mnemonic, string meaning, dag attributes, string text, string effort = "free">
    : Flow_ComputeOp<mnemonic, "rule", "view", [], effort> {
  let summary = meaning;
  let arguments = !con((ins Flow_Tensor:$x), attributes);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$x " # text # " attr-dict `:` type($x) `->` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
}
def Flow_BroadcastOp : Flow_ViewOp<"broadcast", "copies along new axes and along axes of extent 1",
    (ins DenseI64ArrayAttr:$dims), "`to` $dims"> {
  let description = "`dims[i]` is the result axis of operand axis i; they ascend.";
  let hasCanonicalizer = 1;
}
def Flow_ReshapeOp : Flow_ViewOp<"reshape", "the same elements in row-major order", (ins), ""> {
  let hasCanonicalizer = 1;
}
def Flow_TransposeOp : Flow_ViewOp<"transpose", "result axis i is operand axis perm[i]",
    (ins DenseI64ArrayAttr:$perm), "$perm"> {
  let hasCanonicalizer = 1;
}
def Flow_SliceOp : Flow_ViewOp<"slice", "from starts by strides, as many as the result has",
    (ins DenseI64ArrayAttr:$starts, DenseI64ArrayAttr:$strides), "`from` $starts `by` $strides">;
def Flow_PadOp : Flow_ViewOp<"pad", "values before, between and after: the gradient of slice",
    (ins DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$interior, F64Attr:$value),
    "`low` $low `interior` $interior `with` $value", "simple"> {
  let description = [{
    Result index = low + operand index * (interior + 1); the rest holds `value`. What the result has beyond the last
    element is padding as well.
  }];
}

def Flow_ConcatOp : Flow_ComputeOp<"concat", "rule", "view"> {
  let summary = "the operands one after another along an axis";
  let arguments = (ins Variadic<Flow_Tensor>:$xs, I64Attr:$axis);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$xs `along` $axis attr-dict `:` type($xs) `->` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Flow_ReduceOp : Flow_ComputeOp<"reduce", "rule", "reduction", own = ["sumsReals"], slope = "constant"> {
  let summary = "combines along axes and drops them; the first of equal extrema gets the gradient";
  let arguments = (ins Flow_ReduceKind:$kind, Flow_Number:$x, DenseI64ArrayAttr:$axes);
  let results = (outs Flow_Number:$y);
  let assemblyFormat = "$kind $x `over` $axes attr-dict `:` type($x) `->` type($y)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Flow_ArgmaxOp : Flow_AxisReductionOp<"argmax", "inactive",
    "where the largest is along an axis; the lowest index wins a tie; NaN is the largest", "simple", Flow_Dialect,
    ["buildElement", "buildFinish"], Flow_Index, "$_builder.getI32Type()"> {
  let extraClassDeclaration = facts # "::llvm::SmallVector<unsigned> indexDims();";
}

def Flow_GatherOp : Flow_ComputeOp<"gather", "rule", "view", [], "slow"> {
  let summary = "rows of a table by index: [K, ...], [..] -> [.., ...]; an index outside gives zeros";
  let arguments = (ins Flow_Number:$table, Flow_Index:$index);
  let results = (outs Flow_Number:$y);
  let assemblyFormat = "$table `,` $index attr-dict `:` type($table) `,` type($index) `->` type($y)";
  let hasVerifier = 1;
}
def Flow_GatherRowsOp : Flow_ComputeOp<"gather_rows", "rule", "composite", [], "slow", slope = "constant"> {
  let summary = "gather, with the index's inverse, by which its gradient is a gather as well";
  let description = [{
    [K, ...], [..] -> [.., ...]. `inverse` [K, m] lists for each row of the table the places of the index, counted row by row, that
    name the row; -1 is none. Every place that names a row of the table has to be in it once.
  }];
  let arguments = (ins Flow_Float:$table, Flow_Index:$index, Flow_Index:$inverse);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = [{
    $table `,` $index `inverse` $inverse attr-dict `:` type($table) `,` type($index) `,` type($inverse) `->` type($y)
  }];
  let hasVerifier = 1;
}
def Flow_ScatterAddOp : Flow_ComputeOp<"scatter_add", "rule", "composite", [], "slow", slope = "constant"> {
  let summary = "sums rows into [K, ...] by index, in index order: the gradient of gather";
  let description = "A counting sort of the index, a gather of the rows in its order, and a sum of each segment.";
  let arguments = (ins Flow_Index:$index, Flow_Float:$rows);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$index `,` $rows attr-dict `:` type($index) `,` type($rows) `->` type($y)";
  let hasVerifier = 1;
}
def Flow_CountingSortOp : Flow_ComputeOp<"counting_sort", "inactive", "emitter", [], "slow", 1> {
  let summary = "a stable counting sort of keys from 0 to K - 1: the sorted places, where each key's places begin, and the way back";
  let description = [{
    `order` lists the places of `index` sorted by key; places with equal keys keep their order, and keys outside
    0 to K - 1 come last. The places of key k are `order[offsets[k]]` to `order[offsets[k + 1] - 1]`. `positions` is the inverse
    of `order`: `order[positions[i]]` is i.
  }];
  let arguments = (ins Flow_Index:$index);
  let results = (outs Flow_Index:$order, Flow_Index:$offsets, Flow_Index:$positions);
  let assemblyFormat = "$index attr-dict `:` type($index) `->` type($order) `,` type($offsets) `,` type($positions)";
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "bool takesEpilogue() { return false; }";
}
def Flow_SegmentSumOp : Flow_ComputeOp<"segment_sum", "rule", "reduction", slope = "constant"> {
  let summary = "sums rows [P, ...] by segments into [K, ...]: segment k is rows offsets[k] to offsets[k + 1] - 1";
  let description = "`offsets` has K + 1 elements; where it names rows that do not exist, they add nothing.";
  let arguments = (ins Flow_Float:$rows, Flow_Index:$offsets);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$rows `,` $offsets attr-dict `:` type($rows) `,` type($offsets) `->` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "bool sumsReals() { return true; }";
}

def Flow_SegmentRowsOp : Flow_ComputeOp<"segment_rows", "rule", "composite", [], "slow", slope = "constant"> {
  let summary = "a row of a table [K, ...] for each of [P, ...]: that of the segment that the row is in; zeros outside of all";
  let description = "`offsets` has K + 1 elements that do not descend. The gradient is segment_sum.";
  let arguments = (ins Flow_Float:$table, Flow_Index:$offsets);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$table `,` $offsets attr-dict `:` type($table) `,` type($offsets) `->` type($y)";
  let hasVerifier = 1;
}

// routing: which experts a row is sent to, and in which order

def Flow_RankOp : Flow_ComputeOp<"rank", "inactive", "composite"> {
  let summary = "each element's place along an axis in descending order: 0 is the largest; equal ones keep their order, NaN comes last";
  let description = "Every element is compared with every other, so it is meant for short axes; argsort is for long ones.";
  let arguments = (ins Flow_Float:$x, I64Attr:$axis);
  let results = (outs Flow_Index:$y);
  let assemblyFormat = "$x `along` $axis attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
}
def Flow_TopKOp : Flow_ComputeOp<"top_k", "inactive", "composite"> {
  let summary = "where the k largest of the last axis are, in descending order; equal ones keep their order, NaN comes last";
  let arguments = (ins Flow_Float:$x, I64Attr:$k);
  let results = (outs Flow_Index:$y);
  let assemblyFormat = "$k `of` $x attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
}
def Flow_ArgsortOp : Flow_ComputeOp<"argsort", "inactive", "composite", [], "slow", 1> {
  let summary = "the places of a vector's elements in descending order, and each element's rank";
  let description = [{
    A stable sort of the elements as f32: equal ones, 0 and -0 among them, keep their order, and NaN comes last.
    `ranks` is the inverse of `order`. It is made of counting sorts by digits.
  }];
  let arguments = (ins Flow_Float:$x);
  let results = (outs Flow_Index:$order, Flow_Index:$ranks);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($order) `,` type($ranks)";
  let hasVerifier = 1;
}
def Flow_RadixDigitOp : Flow_ComputeOp<"radix_digit", "inactive", "elementwise", [Flow_Elementwise,
    TypesMatchWith<"whole numbers of the operand's shape", "x", "y", "::flow::withElement($_self, ::mlir::IntegerType::get($_self.getContext(), 32))">]> {
  let summary = "some bits of the 32-bit number by which f32 numbers are sorted in descending order";
  let description = "A larger x has a smaller number, 0 and -0 have the same, and NaN has the largest. The digit is its `bits` from bit `shift` on.";
  let arguments = (ins Flow_Float:$x, I64Attr:$shift, I64Attr:$bits);
  let results = (outs Flow_Index:$y);
  let assemblyFormat = "$x `shift` $shift `bits` $bits attr-dict `:` type($x)";
  let hasVerifier = 1;
}
def Flow_CapacityOp : Flow_ComputeOp<"capacity", "inactive", "elementwise", [Flow_Elementwise, AllTypesMatch<["rows", "y"]>]> {
  let summary = "how many rows an expert takes: top * floor(|factor| * ceil(rows / experts)), rounded up to a multiple of `alignment`";
  let description = "Computed in double, as Tutel does (impls/fast_dispatch.py).";
  let arguments = (ins Flow_Index:$rows, I64Attr:$experts, I64Attr:$top, F64Attr:$factor, I64Attr:$alignment);
  let results = (outs Flow_Index:$y);
  let assemblyFormat = "$rows `experts` $experts `top` $top `factor` $factor `alignment` $alignment attr-dict `:` type($rows)";
  let hasVerifier = 1;
}

// contraction and convolution

def Flow_ContractOp : Flow_ComputeOp<"contract", "rule", "emitter", slope = "product"> {
  let summary = "an einsum of two: labels that the result lacks are summed";
  let description = "One label an axis; each label is in at least two of the three, and once in each.";
  let arguments = (ins Flow_Float:$a, Flow_Float:$b, DenseI64ArrayAttr:$a_axes, DenseI64ArrayAttr:$b_axes,
                       DenseI64ArrayAttr:$out_axes);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$a $a_axes `,` $b $b_axes `->` $out_axes attr-dict `:` type($a) `,` type($b) `->` type($y)";
  let hasVerifier = 1;
}

def Flow_GroupedContractOp : Flow_ComputeOp<"grouped_contract", "rule", "emitter", [], "slow", slope = "product"> {
  let summary = "an einsum of two over the pairs of a row and the group, or segment, that the row is in";
  let description = [{
    As `contract`, but of all pairs of an index along the label `row` and one along the label `group` only those take part in which
    the row is in the group: offsets[group] <= row < offsets[group + 1]. `offsets` does not descend. `row` is the label of two of the
    three tensors, and `group` that of the third. So rows are multiplied with the matrix of their group (`group` in b), and a matrix'
    gradient is a sum over the rows of its group (`group` in the result). Rows in no group give zeros, and so do groups without rows.
  }];
  let arguments = (ins Flow_Float:$a, Flow_Float:$b, Flow_Index:$offsets, DenseI64ArrayAttr:$a_axes, DenseI64ArrayAttr:$b_axes,
                       DenseI64ArrayAttr:$out_axes, I64Attr:$row, I64Attr:$group);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = [{
    $a $a_axes `,` $b $b_axes `->` $out_axes `row` $row `group` $group `by` $offsets attr-dict
    `:` type($a) `,` type($b) `,` type($offsets) `->` type($y)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = facts # [{
    bool decomposes() { return true; }
    ::llvm::SmallVector<::mlir::Value> decompose(::mlir::OpBuilder &builder);
  }];
}

class Flow_ConvLikeOp<string mnemonic, string meaning, string first, string second>
    : Flow_ComputeOp<mnemonic, "rule", "emitter", slope = "product"> {
  let summary = meaning;
  let description = "Strides are (vertical, horizontal); pads are top, left, bottom, right.";
  let arguments = !con(!dag(ins, [Flow_Float, Flow_Float], [first, second]),
                       (ins DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads));
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$" # first # " `,` $" # second # " `by` $strides `pads` $pads attr-dict `:` type($" # first
      # ") `,` type($" # second # ") `->` type($y)";
  let hasVerifier = 1;
}
def Flow_ConvOp : Flow_ConvLikeOp<"conv", "cross-correlation of x [B,C,H,W] with w [O,C,KH,KW]", "x", "w">;
def Flow_ConvInputGradOp : Flow_ConvLikeOp<"conv_input_grad", "conv's gradient in x from dy and w", "dy", "w">;
def Flow_ConvWeightGradOp : Flow_ConvLikeOp<"conv_weight_grad", "conv's gradient in w from x and dy", "x", "dy">;

def Flow_WindowOp : Flow_ComputeOp<"window", "rule", "view"> {
  let summary = "windows as axes: [B,C,H,W] -> [B,C,OH,OW,KH,KW]; outside is `value`";
  let description = "Pooling is this and a reduction. Size and strides are (vertical, horizontal); pads as in conv.";
  let arguments = (ins Flow_Float:$x, DenseI64ArrayAttr:$size, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       F64Attr:$value);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x `size` $size `by` $strides `pads` $pads `with` $value attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
}
def Flow_WindowSumOp : Flow_ComputeOp<"window_sum", "rule", "reduction", slope = "constant"> {
  let summary = "adds windows up where they overlap: the gradient of window";
  let arguments = (ins Flow_Float:$x, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x `by` $strides `pads` $pads attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = facts # "bool sumsReals() { return true; }";
}

// attention

class Flow_AttentionLikeOp<string mnemonic, string meaning>
    : Flow_ComputeOp<mnemonic, "rule", "emitter", [], "slow", 1> {
  let summary = meaning;
  let hasVerifier = 1;
  let extraClassDeclaration = facts # [{
    bool takesEpilogue() { return false; }
    bool decomposes() { return true; }
    ::llvm::SmallVector<::mlir::Value> decompose(::mlir::OpBuilder &builder);
  }];
}
def Flow_AttentionOp : Flow_AttentionLikeOp<"attention",
    "softmax(scale q k^T) v in each head, and the logarithm of the sum that each row is divided by"> {
  let description = [{
    `inputs` are q [.., rows, heads * size], k [.., keys, heads * size] and v [.., keys, heads * other], or one value
    [.., rows, 3 * heads * size] in which q, k and v lie side by side along the last axis, as one linear layer gives them. The
    features of a head are neighbours. `y` is [.., rows, heads * other]. `log_sum` [.., rows, heads] is log(sum(exp(scale q k^T)))
    over the keys: with it, the gradient computes the weights again, so that no value with an axis of rows and one of keys has to
    be kept.
  }];
  let arguments = (ins Variadic<Flow_Float>:$inputs, I64Attr:$heads, F64Attr:$scale);
  let results = (outs Flow_Float:$y, Flow_Float:$log_sum);
  let assemblyFormat = "$inputs `heads` $heads `scale` $scale attr-dict `:` functional-type($inputs, results)";
}
def Flow_AttentionGradOp : Flow_AttentionLikeOp<"attention_grad", "attention's gradients in its inputs, each in that input's layout"> {
  let description = [{
    With the weights p = exp(scale q k^T - log_sum) of a head, v's gradient is p^T dy; with ds = scale p (dy v^T - delta), q's is ds k
    and k's ds^T q. `delta` [.., rows, heads] is the sum of dy * y over a head's features, less the gradient of `log_sum`.
  }];
  let arguments = (ins Variadic<Flow_Float>:$inputs, Flow_Float:$log_sum, Flow_Float:$dy, Flow_Float:$delta, I64Attr:$heads,
                       F64Attr:$scale);
  let results = (outs Variadic<Flow_Float>:$gradients);
  let assemblyFormat = [{
    $inputs `from` $log_sum `,` $dy `,` $delta `heads` $heads `scale` $scale attr-dict `:` functional-type(operands, $gradients)
  }];
}

// derivatives and groups

def Flow_GradOp : Flow_BoundaryOp<"grad", [Pure]> {
  let summary = "the derivative of a loss in each of some values; differentiation removes it";
  let arguments = (ins Flow_Float:$loss, Variadic<Flow_Float>:$wrt);
  let results = (outs Variadic<Flow_Float>:$gradients);
  let assemblyFormat = "$loss `wrt` `(` $wrt `)` attr-dict `:` functional-type(operands, $gradients)";
  let hasVerifier = 1;
}

def Flow_GroupOp : Flow_BoundaryOp<"group", [Pure, IsolatedFromAbove, SingleBlock]> {
  let summary = "ops that one kernel runs; inlining every group gives the program back";
  let description = [{
    At most one op of a group is a contraction, convolution or sort, which has an emitter of its own: the group's root. The
    other ops are then the epilogue, which works on the root's result before it is stored. A group without a root becomes
    loops.
  }];
  let arguments = (ins Variadic<Flow_Tensor>:$inputs);
  let results = (outs Variadic<Flow_Tensor>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` `:` functional-type($inputs, $outputs) attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The op that has an emitter of its own; null in a group of loops.
    ::mlir::Operation *getRoot();
  }];
}
def Flow_YieldOp : Flow_BoundaryOp<"yield", [Pure, Terminator, ReturnLike, HasParent<"GroupOp">]> {
  let summary = "a group's results";
  let arguments = (ins Variadic<Flow_Tensor>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}
#endif
