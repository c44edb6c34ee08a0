// A reduction with two results: the smallest and the largest of each row, found in one pass.
include "dialects/flow/FlowOpBase.td"

def Several_Dialect : Dialect {
  let name = "several";
  let cppNamespace = "::several";
}

def Several_MinMaxOp : Flow_ComputeOp<"min_max", "rule", "reduction", [], "simple", 1, Several_Dialect, ["buildElement", "buildFinish"]> {
  let summary = "the smallest and the largest along an axis";
  let arguments = (ins Flow_Float:$x, I64Attr:$axis);
  let results = (outs Flow_Float:$low, Flow_Float:$high);
  let assemblyFormat = "$x `along` $axis attr-dict `:` type($x) `->` type($low) `,` type($high)";
}
