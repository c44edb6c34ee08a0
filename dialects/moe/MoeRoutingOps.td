// Mixtures of experts: routers, experts, the combination of their results, and hypernetworks that generate their weights.
#ifndef MOE_ROUTING_OPS_TD
#define MOE_ROUTING_OPS_TD
include "dialects/moe/MoeParameterOps.td"

def Moe_RouteOp : Moe_Owner<"route",
    (ins Moe_Value:$x, StrAttr:$kind, Optional<Moe_Value>:$keys, OptionalAttr<Moe_Expr>:$experts,
     OptionalAttr<Moe_Expr>:$top, OptionalAttr<Moe_Expr>:$proj, OptionalAttr<Moe_Expr>:$capacity,
     OptionalAttr<Moe_Expr>:$noise, OptionalAttr<Moe_Expr>:$eps, UnitAttr:$prioritized),
    "`(` $x `)`", "kind*, keys%, experts, top, proj, capacity, noise, eps, prioritized?", "", [AttrSizedOperandSegments],
    Moe_Dialect, "keys"> {
  let summary = "the router (gating network): computes one score per expert for each sample, and the gates, their softmax";
  let description = [{
    There are two routers:

    - `distance, keys = %keys [, eps = 1e-6]`: the scores are -log(|x - key|^2 + eps) (HMOE, equation 2). It owns no
      parameters.
    - `linear, experts = n`: the scores are x W^T without bias. It owns `weight` [experts, features], with torch's initial
      values.
  }];
  let planned = "the router `cosine, experts = n, proj = 256` (Tutel's); routing of tokens, where a sample is one row today; and routing to a few experts only, with `top`, "
                "`capacity`, `noise` and `prioritized`";
  let plannedWords = ["top", "proj", "capacity", "noise", "prioritized"];
}
def Moe_DispatchOp : Moe_Plain<"dispatch", (ins Moe_Value:$route, Moe_Value:$x), "$route `,` $x"> {
  let summary = "sends rows to the experts that the routing chose";
  let compiled = 0;
}
def Moe_ExpertsOp : Moe_Applies<"experts",
    (ins Variadic<Moe_Value>:$x, Moe_Expr:$layer, Optional<Moe_Value>:$weights, OptionalAttr<Moe_Expr>:$count),
    "count, layer:layer!, weights:%"> {
  let summary = "applies one layer once per expert, each time with that expert's weights";
  let description = [{
    Every expert is applied to every sample. With `weights %theta`, the weights are those that a `hyper` generates. Otherwise
    the op owns the layer's parameters, with a leading axis of `count` experts.

    A value that an expert computes with its own weights *differs by expert*. Some ops are not possible on such a value, and
    some layers have to be arranged accordingly:

    - `conv`, `patches`, `unfold`, `max_pool` and `mean_pool` can be applied to the input of an expert's layer only. Other ops
      may follow, such as `relu`, `mean` over pixels, `flatten` and `linear`.
    - `group_norm` is possible before `experts` only.
    - An expert's layer has no `route`, `hyper` or `experts`.

    Deeper convolutional parts stand before `experts`, where all experts share them.
  }];
  let planned = "experts that are applied to dispatched samples only; the ops that an expert's layer cannot contain";
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
    "`(` $x `)`", "trunk:trunk, for:target, init:init"> {
  let summary = "a hypernetwork: generates one set of a layer's weights for each row of its input, one row per expert";
  let description = [{
    For example, `hyper @hyper(%keys) trunk @Trunk for @Classifier<classes> init hyperfan_in`. The input has no batch, and
    `trunk` and `for` are both needed.

    - The trunk, a layer, is applied under the path `hyper.trunk`. It makes `width` features of each row.
    - Each tensor that is generated has a `linear` of its own, `hyper.out.<path>`, with `weight` [elements, width] and `bias`
      [elements].

    `init hyperfan_in(gain)` (Chang et al., ICLR 2020; gain 1 unless given) sets the initial values of these linears:

    - The weights that generate a weight are uniform with variance gain / (b fan-in width), where b is 2 if the layer has a
      generated bias and 1 otherwise.
    - The weights that generate a bias are uniform with variance gain / (2 width).
    - All biases are zero.

    Without `init`, these linears have torch's initial values.
  }];
  let planned = "weights that are generated for each sample; a second use of a hypernetwork, without `trunk` and `for`";
}
#endif
