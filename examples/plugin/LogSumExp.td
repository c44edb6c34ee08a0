include "Dialect.td"

def Extra_LogSumExpOp : Moe_Plain<"log_sum_exp", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$axis), "$x", "axis",
                                  Extra_Dialect> {
  let summary = "log(sum(e^x)) over an axis, the last unless given, which is dropped";
}
def Extra_FlowLogSumExpOp : Flow_ComputeOp<"flow.log_sum_exp", "rule", "reduction", dialect = Extra_Dialect,
    traits = [PredOpTrait<"a result without the axis", CPred<"$y.getType() == ::flow::reducedType($x.getType(), $axis)">>],
    effort = "transcendental", own = ["buildElement", "buildFinish"]> {
  let summary = "log(sum(e^x)) over an axis, in one pass";
  let arguments = (ins Flow_Float:$x, I64Attr:$axis);
  let results = (outs Flow_Float:$y);
  let assemblyFormat = "$x `over` $axis attr-dict `:` type($x) `->` type($y)";
}
