include "Dialect.td"

def Extra_RollOp : Moe_Plain<"roll", (ins Moe_Value:$x, Moe_Expr:$by, OptionalAttr<Moe_Expr>:$axis), "$x", "by!, axis",
                             Extra_Dialect> {
  let summary = "elements moved `by` places along an axis, the last unless given; those beyond the end come in at the start";
}
def Extra_FlowRollOp : Flow_ComputeOp<"flow.roll", "rule", "view", [AllTypesMatch<["x", "y"]>,
    PredOpTrait<"an axis of the operand", CPred<"$axis.getInt() < $_self.x.getRank()">>], "free", 0, Extra_Dialect> {
  let summary = "y[i] = x[(i - by) mod n] along an axis of n elements";
  let arguments = (ins Flow_Tensor:$x, I64Attr:$by, ConfinedAttr<I64Attr, [IntNonNegative]>:$axis);
  let results = (outs Flow_Tensor:$y);
  let assemblyFormat = "$x `by` $by `along` $axis attr-dict `:` type($x)";
}
