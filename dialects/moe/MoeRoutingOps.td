// Mixtures of experts: routing, dispatch, experts, combination, and hypernetworks that write experts' weights.
#ifndef MOE_ROUTING_OPS_TD
#define MOE_ROUTING_OPS_TD
include "dialects/moe/MoeParameterOps.td"

def Moe_RouteOp : Moe_Owner<"route",
    (ins Moe_Value:$x, StrAttr:$kind, Optional<Moe_Value>:$keys, OptionalAttr<Moe_Expr>:$experts,
     OptionalAttr<Moe_Expr>:$top, OptionalAttr<Moe_Expr>:$proj, OptionalAttr<Moe_Expr>:$capacity,
     OptionalAttr<Moe_Expr>:$noise, OptionalAttr<Moe_Expr>:$eps, UnitAttr:$prioritized), ""> {
  let assemblyFormat = "custom<Path>($path, $mode) `(` $x `)` custom<Word>($kind) `` custom<KeysOptions>($keys, "
    # "prop-dict, \"MOE_KEYS(experts, top, proj, capacity, noise, eps, prioritized?)\") attr-dict";
  let summary = "scores every expert for every row";
  let description = [{
    Routers: `distance, keys = %keys [, eps = 1e-6]`: scores -log(|x - key|^2 + eps), gates their softmax (HMOE, equation
    2); it owns no parameters. `linear, experts = n`: scores x W^T without bias; it owns `weight` [experts, features], with
    torch's initial values. Not compiled yet: `cosine, experts = n, proj = 256` (Tutel's), and `top`, `capacity`, `noise`
    and `prioritized`, which belong to routing to some experts only.
  }];
}
def Moe_DispatchOp : Moe_Plain<"dispatch", (ins Moe_Value:$route, Moe_Value:$x), "$route `,` $x"> {
  let summary = "sends rows to the experts that the routing chose";
  let compiled = 0;
}
def Moe_ExpertsOp : Moe_Applies<"experts",
    (ins Variadic<Moe_Value>:$x, Moe_Expr:$layer, Optional<Moe_Value>:$weights, OptionalAttr<Moe_Expr>:$count),
    "`(` $x `)`" # Moe_Clause<"layer">.s # "$layer (`weights` $weights^)?", "count"> {
  let summary = "one layer as many experts";
  let description = [{
    On dispatched rows, each row's own experts; on a plain value, every expert on every row. `weights %theta` takes
    generated weights; otherwise the op owns the layer's parameters with a leading expert axis, `count` of them (unless a
    dispatch says how many; dispatched rows are not compiled yet). What an expert computes with weights of its own differs
    by expert, and `conv`, `patches`, `unfold`, `max_pool`, `mean_pool` and `group_norm` are not compiled yet on such a value.
    So an expert is at most one `conv` or `patches` deep: it stands on the expert's input, and behind it come other ops, such
    as `relu`, `mean` over pixels, `flatten`, `linear`. `unfold` and pooling stand on the expert's input too; `group_norm`
    only before `experts`. Deeper stages stand before `experts`, which share them. `route`, `hyper` and `experts` are not
    compiled yet inside an expert.
  }];
}
def Moe_CombineOp : Moe_Plain<"combine", (ins Moe_Value:$route, Moe_Value:$x), "$route `,` $x"> {
  let summary = "the sum of the experts' results, weighted by the gates";
}
def Moe_SelectOp : Moe_Plain<"select", (ins Moe_Value:$route, Moe_Expr:$top, UnitAttr:$unscaled), "$route",
                              "top!, unscaled?"> {
  let summary = "the routing to the best experts only";
  let compiled = 0;
}
def Moe_HyperOp : Moe_Owner<"hyper",
    (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$trunk, OptionalAttr<Moe_Expr>:$target, OptionalAttr<Moe_Expr>:$init),
    "`(` $x `)` (`trunk` $trunk^)? (`for` $target^)? (`init` $init^)?"> {
  let summary = "a hypernetwork: writes one set of a layer's weights for each row of its input";
  let description = [{
    `hyper @hyper(%keys) trunk @Trunk for @Classifier<classes> init hyperfan_in`; its input has no batch (weights
    written for each sample are not compiled yet). `trunk` and `for` are both needed: a second use of a hypernetwork,
    without them, is not compiled yet. The trunk is applied under `hyper.trunk`;
    each generated tensor has a last linear of its own, `hyper.out.<path>`, with `weight` [elements, width] and `bias`
    [elements]. `hyperfan_in(gain)` (Chang et al., ICLR 2020; gain 1 unless given) draws weights uniformly with variance
    gain / (b fan-in width), b being 2 if the layer has a generated bias, those that write a bias with gain / (2 width), and
    sets the biases to zero; without `init` these linears have torch's initial values.
  }];
}
#endif
