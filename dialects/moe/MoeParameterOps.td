// Ops that own parameters, and those that apply layers. The name is the parameter path: `linear @fc1` owns `fc1.weight` and
// `fc1.bias`. `shared @fc1` uses the parameters of an earlier op. `frozen @fc1` gives its parameters, new ones or those of an
// earlier op, no gradient.
#ifndef MOE_PARAMETER_OPS_TD
#define MOE_PARAMETER_OPS_TD
include "dialects/moe/MoeOpBase.td"

def Moe_LinearOp : Moe_Owner<"linear",
    (ins Moe_Value:$x, Moe_Expr:$to, OptionalAttr<Moe_Expr>:$init, OptionalAttr<Moe_Expr>:$init_bias, UnitAttr:$no_bias),
    "`(` $x `)`", "no_bias?, to:to!, init:init+init_bias"> {
  let summary = "y = x W^T + b on the last axis";
  let description = [{
    Owns `weight` [to, features] and, unless `no_bias`, `bias` [to].

    The initial values are those of `init` (the rule of `weight`, then that of `bias`), else of the model's `default linear`,
    else torch's (uniform within 1 / sqrt(features), both). The rules are:

    - `zeros`, `ones` and `constant(c)`
    - `uniform(low, high)`
    - `normal(deviation)`, and `trunc_normal(deviation)`, which is cut off at two deviations
    - `fan_in(gain)`: uniform with variance gain / fan-in. The fan-in of a linear is `features`.
    - `torch`: torch's own, also of a layer in a model with another `default linear`: `init torch, torch`
  }];
}
def Moe_ConvOp : Moe_Owner<"conv",
    (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$kernel, OptionalAttr<Moe_Expr>:$stride, OptionalAttr<Moe_Expr>:$pad,
     OptionalAttr<Moe_Expr>:$groups, UnitAttr:$no_bias, Moe_Expr:$to, OptionalAttr<Moe_Expr>:$init,
     OptionalAttr<Moe_Expr>:$init_bias),
    "`(` $x `)`", "kernel, stride, pad, groups, no_bias?, to:to!, init:init+init_bias"> {
  let summary = "2-D convolution (cross-correlation) of an image: [channels, h, w] to [to, oh, ow]";
  let description = [{
    Owns `weight` [to, channels / groups, kernel, kernel] and, unless `no_bias`, `bias` [to].

    - `groups` is 1 unless given, and divides the channels and `to`: both are cut into as many equal parts, and each part of the
      result is a convolution of the same part of the channels. With as many groups as channels the convolution is depthwise.
    - `kernel` is 3, `stride` 1 and `pad` (kernel - 1) / 2 (zeros on each side) unless given; oh = (h + 2 pad - kernel) /
      stride + 1, rounded down.
    - Initial values are written as those of `linear`, with `default conv` in the place of `default linear` and a fan-in of
      channels / groups * kernel * kernel.
    - It is not possible on a value that differs by expert (see `experts`).
  }];
}
def Moe_PatchesOp : Moe_Owner<"patches", (ins Moe_Value:$x, Moe_Expr:$size, Moe_Expr:$to), "`(` $x `)`", "size!, to:to!"> {
  let summary = "cuts an image into square patches and embeds each linearly: [channels, h, w] to [patches, to]";
  let description = [{
    Owns `proj.weight` [to, channels, size, size] and `proj.bias` [to], timm's keys; initial values are torch's. `size`
    divides h and w. Not possible on a value that differs by expert (see `experts`).
  }];
}
def Moe_LayerNormOp : Moe_Owner<"layer_norm", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$eps), "`(` $x `)`", "eps"> {
  let summary = "normalises the last axis";
  let description = "Owns `weight` [features], ones at first, and `bias` [features], zeros. `eps` is 1e-5 unless given.";
}
def Moe_GroupNormOp : Moe_Owner<"group_norm", (ins Moe_Value:$x, Moe_Expr:$groups, OptionalAttr<Moe_Expr>:$eps), "`(` $x `)`",
                                "groups!, eps"> {
  let summary = "normalises groups of channels of an image";
  let description = [{
    Owns `weight` [channels], ones at first, and `bias` [channels], zeros. `groups` divides the channels. `eps` is 1e-5
    unless given. No op normalises over the batch. Not possible on a value that differs by expert, nor with weights that
    do: an expert's layer cannot contain it (see `experts`).
  }];
}
def Moe_LayerScaleOp : Moe_Owner<"layer_scale", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$init), "`(` $x `)`", "init:init"> {
  let summary = "x times a weight of each feature, of the last axis (Touvron et al., 2021)";
  let description = "Owns `gamma` [features], which is 1e-5 at first unless `init` says otherwise; rules as linear's, but `fan_in` and `torch`.";
}
def Moe_AttentionOp : Moe_Owner<"attention", (ins Moe_Value:$x, Moe_Expr:$heads, UnitAttr:$no_qkv_bias), "`(` $x `)`",
                                "heads!, no_qkv_bias?"> {
  let summary = "multi-head self-attention: every token [.., tokens, features] is replaced by a mixture of all";
  let description = [{
    Owns `qkv.weight` [3 * features, features], `qkv.bias` [3 * features] unless `no_qkv_bias`, `proj.weight` [features, features]
    and `proj.bias` [features], timm's keys. The outputs of `qkv` are those of q, then k, then v, each [heads, features / heads];
    the result is `proj` of softmax(q k^T / sqrt(features / heads)) v. `heads` divides the features. Initial values are those of
    `default linear`, else torch's.
  }];
}
def Moe_ParamOp : Moe_Owner<"param", (ins Moe_Expr:$shape, Moe_Expr:$init), Moe_In<"shape">.s # Moe_In<"init">.s> {
  let summary = "a free parameter: `param @keys [experts, vec] normal(1.0)`";
  let description = "Owns the tensor of that name and shape; rules as linear's, but `fan_in` and `torch`.";
}
def Moe_StateOp : Moe_Owner<"state", (ins Moe_Expr:$shape, Moe_Expr:$init), Moe_In<"shape">.s # Moe_In<"init">.s> {
  let summary = "a buffer: a tensor that is saved with the model, is no parameter and has no gradient: `state @bias [experts] zeros`";
  let description = [{
    Rules as `param`'s. `assign` gives it the value that it has after a training step; without one it stays as it is. It is part of
    `model.safetensors`, beside the parameters. It has no place in the layers of experts, nor in those that `hyper` generates
    weights for.
  }];
}
def Moe_AssignOp : Moe_Effect<"assign", (ins SymbolNameAttr:$label, Moe_Value:$x), "$label $x"> {
  let summary = "the value that a buffer has after the training step: `assign @bias %new`";
  let description = [{
    The name is that of a `state` of the same layer or model, and the value has its shape and is the same for all samples. The step
    itself, and its gradients, see the old value. A step that is refused, since its loss, gradients or new buffers are not finite, leaves the
    buffer as it was, and inference never changes it. No gradient passes.
  }];
}

class Moe_Applies<string name, dag args, string keys>
    : Moe_Owner<name, args, "`(` $x `)`", keys, " `` custom<Results>(type($y))", [AttrSizedOperandSegments], Moe_Dialect,
                ["weights"]> {
  let results = (outs Variadic<Moe_Value>:$y);
}
def Moe_ApplyOp : Moe_Applies<"apply", (ins Variadic<Moe_Value>:$x, Moe_Expr:$layer, Optional<Moe_Value>:$weights),
                              "layer:layer!, weights:%"> {
  let summary = "applies a layer under a name: `apply @mlp(%x) layer @Mlp<8, 32>`";
  let description = "The layer's parameters are named `mlp.<name>`.";
  let planned = "`weights %theta` behind the layer, for weights that `hyper` generates for each sample";
  let plannedWords = ["weights"];
}
def Moe_ChainOp : Moe_Owner<"chain",
    (ins Moe_Value:$x, Moe_Expr:$list, Variadic<Moe_Value>:$with, OptionalAttr<StrAttr>:$ramp, OptionalAttr<Moe_Expr>:$first,
     OptionalAttr<Moe_Expr>:$last),
    "`(` $x `)`" # Moe_In<"list">.s # " `` custom<ChainWords>($with, $ramp, $first, $last, ref($sized))", "", "",
    [AttrSizedOperandSegments]> {
  let summary = "a stack of layers, each on the result of the one before";
  let description = [{
    `chain @blocks(%x) [@A<64>, 2 * @B, n * [@A<8>, @B]]`. The layers are named `blocks.0`, `blocks.1`, ... Counts are size
    expressions and may be 0. `ramp drop from 0.0 to 0.1` gives the number parameter `drop` of the layers that have it
    values that rise linearly over the whole stack. `with %a, %b` gives every layer these values as well, behind the one that
    goes through the stack, such as a routing that several blocks use.
  }];
}
#endif
