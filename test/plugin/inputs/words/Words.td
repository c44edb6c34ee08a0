// Words of each class that takes a dialect; all of them become ops that there are, so that the plugin has no op of the graph.
include "dialects/moe/MoeOpBase.td"

def Words_Dialect : Dialect {
  let name = "words";
  let cppNamespace = "::words";
}

def Words_HalfOp : Moe_Unary<"half", "x / 2", Words_Dialect>;
def Words_ScaledOp : Moe_Plain<"scaled", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$by), "$x", "by", Words_Dialect> {
  let summary = "x times a number, 2 unless given";
}
def Words_DistanceOp : Moe_Binary<"distance", "|a - b|", Words_Dialect>;
def Words_TotalOp : Moe_Reduce<"total", "the sum over all axes of a sample", Words_Dialect>;
def Words_RemarkOp : Moe_Effect<"remark", (ins Moe_Value:$x), "$x", [], Words_Dialect> {
  let summary = "nothing at all";
}
