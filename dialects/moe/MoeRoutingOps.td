// Mixtures of experts: routers, experts, the combination of their results, and hypernetworks that generate their weights.
#ifndef MOE_ROUTING_OPS_TD
#define MOE_ROUTING_OPS_TD
include "dialects/moe/MoeParameterOps.td"

def Moe_RouteOp : Moe_Owner<"route",
    (ins Moe_Value:$x, StrAttr:$kind, Optional<Moe_Value>:$keys, OptionalAttr<Moe_Expr>:$experts,
     OptionalAttr<Moe_Expr>:$top, OptionalAttr<StrAttr>:$choose, Optional<Moe_Value>:$select_bias, OptionalAttr<Moe_Expr>:$proj, OptionalAttr<Moe_Expr>:$capacity,
     OptionalAttr<Moe_Expr>:$noise, OptionalAttr<Moe_Expr>:$eps, OptionalAttr<Moe_Expr>:$alignment, UnitAttr:$prioritized,
     UnitAttr:$sigmoid, UnitAttr:$prescore, UnitAttr:$unnormalized),
    "`(` $x `)`", "kind*, keys%, experts, top, choose^rows by, proj, capacity, alignment, noise, eps, select_bias%, "
    "prioritized?, sigmoid?, prescore?, unnormalized?", "", [AttrSizedOperandSegments],
    Moe_Dialect, ["keys", "select_bias"]> {
  let summary = "the router (gating network): computes one score per expert for each sample, and the gates, their softmax";
  let description = [{
    `x` is a vector of each sample, or of each token: all axes but the last are rows. There are three routers:

    - `distance, keys = %keys [, eps = 1e-6]`: the scores are -log(|x - key|^2 + eps) (HMOE, equation 2). It owns no
      parameters.
    - `linear, experts = n`: the scores are x W^T without bias. It owns `weight` [experts, features], with the initial values
      of a linear.
    - `cosine, experts = n [, proj = 256]`: the scores are cosines, times a scale that is learnt (Tutel, gates/cosine_top.py).
      q is `cosine_projector.weight` [proj, features] times x plus `cosine_projector.bias` [proj], and the cosines are those of q
      with the columns of `sim_matrix` [proj, experts], which is normal(0.01) at first. The scale is e to the power of
      `temperature` [1]; it begins as 2 and is at most 100.

    Without `top`, every expert is applied to every row, and the gates are the softmax of the scores (`sigmoid`: sigmoids).
    With `top = k`, the rows are sent to k experts each, by `dispatch`:

    - `noise = s` adds normal numbers of deviation s / experts to the scores in training. The experts of the k largest scores
      are chosen; of equal ones, the lower. Their gates are divided by their sum if k > 1, unless `unnormalized`.
    - The gates multiply what the experts give, or, with `prescore`, what they get.
    - `capacity = f` limits the rows of an expert to k * floor(f * ceil(rows / experts)), rounded up to a multiple of
      `alignment`, where `rows` are all of the batch. What is beyond is dropped: the expert adds nothing to the row. All first
      choices come before second ones, and lower rows before higher ones; with `prioritized`, rows with a higher largest gate
      first. 0 drops nothing, as does no capacity, and a negative factor is the same as a positive one. An inference entry drops
      nothing.
    - `select_bias = %bias`, a value [experts], is added to the gates by which experts are chosen, and to nothing else: a buffer
      that balances the experts (Wang et al., 2024, arXiv 2408.15664). No gradient passes.

    With `choose = rows by image`, the experts choose (Zhou et al., 2022, arXiv 2202.09368): each takes the floor(f * tokens / experts)
    tokens of an image whose gates are the largest, where f is `capacity`, 1 unless given; of equal ones, the first. A token may be taken by
    several experts, or by none: its result is the sum of what they give, by gates that are not divided, or zeros.
  }];
}
def Moe_DispatchOp : Moe_Plain<"dispatch", (ins Moe_Value:$route, Moe_Value:$x), "$route `,` $x"> {
  let summary = "sends rows to the experts that the routing chose";
  let description = [{
    The value has the axes of tokens that the routing has seen, in front of axes of its own: of a routing of samples, one of samples,
    also with all its tokens. What comes out is for `experts`, and what they make of it for `combine`.
  }];
}
def Moe_ExpertsOp : Moe_Applies<"experts",
    (ins Variadic<Moe_Value>:$x, OptionalAttr<Moe_Expr>:$layer, OptionalAttr<Moe_Expr>:$layers, Optional<Moe_Value>:$weights,
     OptionalAttr<Moe_Expr>:$count),
    "count, layer:layer, layers:layers, weights:%"> {
  let hasVerifier = 1;
  let summary = "applies a layer once per expert, each time with that expert's weights";
  let description = [{
    On values that `dispatch` has sent, each expert is applied to its own rows, else to every sample. With `weights %theta`, the weights are
    those that a `hyper` generates. Otherwise the op owns the layer's parameters, with a leading axis of experts, as many as the routing
    has, or `count`.

    Experts may be of several layers, which yield values of one shape: `layers [2 * @Mlp<dim, 512>, @Mlp<dim, 2048>]` is two small
    experts and a large one. The parameters of each item of the list are named by its place, and have an axis of its experts:
    `experts.0.fc1.weight` [2, 512, dim], `experts.1.fc1.weight` [1, 2048, dim]. A list in the list, `2 * [@A, @B]`, is as many items as it
    has when written out.

    In an expert's layer, dispatched rows take the place of samples. Of values that were not dispatched, one that an expert computes with its
    own weights *differs by expert*. Some ops are not possible on such a value, and
    some layers have to be arranged accordingly:

    - `conv`, `patches`, `unfold`, `max_pool` and `mean_pool` can be applied to the input of an expert's layer only. Other ops
      may follow, such as `relu`, `mean` over pixels, `flatten` and `linear`.
    - `group_norm` is possible before `experts` only.
    - An expert's layer has no `route`, `hyper` or `experts`.

    Deeper convolutional parts stand before `experts`, where all experts share them.
  }];
  let planned = "the ops that an expert's layer cannot contain";
}
def Moe_CombineOp : Moe_Plain<"combine", (ins Moe_Value:$route, Moe_Value:$x), "$route `,` $x"> {
  let summary = "the sum of the experts' results, weighted by the gates";
  let description = "Of dispatched rows, the sum over the experts that each row was sent to; zeros where it was sent to none.";
}
def Moe_SelectOp : Moe_Plain<"select", (ins Moe_Value:$route, Moe_Expr:$top, UnitAttr:$unscaled), "$route",
                              "top!, unscaled?"> {
  let summary = "of a routing over all experts, that to the best of each row";
  let description = [{
    `select %route top = 1` sends each row to the expert with its largest score, of equal ones the lower. The results are multiplied by
    the gates, which are divided by their sum if `top` is above 1, or with `unscaled` by nothing.
  }];
}
def Moe_CountsOp : Moe_Plain<"counts", (ins Moe_Value:$route), "$route"> {
  let summary = "how many rows of the batch a routing sends to each expert, before any is dropped: [experts], the same for all samples";
  let description = "In inference, of the batch that is inferred. No gradient passes.";
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
