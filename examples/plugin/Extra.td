// The plugin's dialect and its ops. Ops of the language and of the graph may share a dialect: an author writes
// `extra.roll`, and elaboration makes `extra.flow.roll` of it.
include "dialects/flow/FlowOpBase.td"
include "dialects/moe/MoeOpBase.td"

def Extra_Dialect : Dialect {
  let name = "extra";
  let cppNamespace = "::extra";
  let summary = "an example of a plugin";
}

// softsign

def Extra_SoftsignWord : Moe_Unary<"softsign", "x / (1 + |x|)", Extra_Dialect>;
def Extra_SoftsignOp : Flow_ComputeOp<"flow.softsign", "rule", "elementwise", [Flow_Elementwise, SameOperandsAndResultType],
                                      "slow", 0, Extra_Dialect> {
  let summary = "x / (1 + |x|)";
  let arguments = (ins Flow_Float:$x);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

// roll

def Extra_RollWord : Moe_AlongAxis<"roll", "elements moved `by` places along an axis, round its end",
                                   (ins Moe_Expr:$by), "by!", Extra_Dialect>;
def Extra_RollOp : Flow_ComputeOp<"flow.roll", "rule", "view", [SameOperandsAndResultType,
    PredOpTrait<"an axis of the operand", CPred<"$axis < ::flow::extentsOf($x).size()">>], "free", 0, Extra_Dialect> {
  let summary = "y[i] = x[(i - by) mod n] along an axis of n elements";
  let arguments = (ins Flow_Tensor:$x, I64Attr:$by, I64Attr:$axis);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$x `by` $by `along` $axis attr-dict `:` type($x)";
  let hasCanonicalizeMethod = 1;
}

// log_sum_exp

def Extra_LogSumExpWord : Moe_AlongAxis<"log_sum_exp", "log(sum(e^x)) along an axis", dialect = Extra_Dialect>;
def Extra_LogSumExpOp : Flow_AxisReductionOp<"flow.log_sum_exp", "rule", "log(sum(e^x)) along an axis, in one pass",
    "transcendental", Extra_Dialect, ["buildElement", "buildFinish"]>;
