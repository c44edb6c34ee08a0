// Layers, models, and the ops without results that end or annotate a body.
#ifndef MOE_STRUCTURE_OPS_TD
#define MOE_STRUCTURE_OPS_TD
include "dialects/moe/MoeOpBase.td"

class Moe_Body<string name, dag args, string format, list<Trait> traits = []>
    : Op<Moe_Dialect, name, traits # [OpAsmOpInterface, NoTerminator, SingleBlock]> {
  bit compiled = 1;
  string planned = "";
  list<string> plannedWords = [];
  let arguments = args;
  let regions = (region AnyRegion:$body);
  let assemblyFormat = format # " attr-dict-with-keyword";
  let hasRegionVerifier = 1;
  let extraClassDeclaration = "static ::llvm::StringRef getDefaultDialect() { return \"moe\"; }";
}

def Moe_LayerOp : Moe_Body<"layer", (ins SymbolNameAttr:$sym_name, Moe_Params:$params, OptionalAttr<Moe_Places>:$patterns),
    "$sym_name `` custom<Params>($params) `` custom<Header>($patterns, $body)", [Symbol, IsolatedFromAbove]> {
  let summary = "a layer: a body over values, with sizes, numbers and layers as parameters";
  let description = [{
    A layer is used by name in `apply`, `chain`, `experts` and `hyper`. The parameters of its ops are named by the path of
    names that leads to them.

    In `<dim, hidden = 64, drop: number = 0.0, @ffn = @Mlp<dim>>` there are two sizes, a number and a layer. Whoever uses the
    layer may omit those with a default. Without braces, it is a declaration of a layer in another file.

    A value may have a pattern, which is the shape of a sample: `moe.layer @Pool<slots>(%x: [tokens, dim])`. A name in it that
    no parameter has is bound to the size of that axis, wherever the layer is used; any other expression is the size that the
    axis must have, and so is a name that occurs again. `_` is any size.
  }];
}

def Moe_ModelOp : Moe_Body<"model", (ins SymbolNameAttr:$sym_name, Moe_Params:$params, Moe_Inputs:$inputs),
    "$sym_name `` custom<Params>($params) `` custom<Signature>($inputs, $body)", [Symbol, IsolatedFromAbove]> {
  let summary = "a model: typed inputs, parameters with defaults, and a body that ends with `return`";
  let description = [{
    Inputs are `image[channels, height, width]` or `vector[length]`. Parameters are written as a layer's, and each has a
    default: `moe.model @net<classes = 10, drop: number = 0.1, @head = @Mlp<64>>(%image: image[1, 28, 28])`.

    `%image: image[3, 224, 224] mean [0.485, 0.456, 0.406] deviation [0.229, 0.224, 0.225]` subtracts the mean of each channel
    and divides by its deviation, in every entry; `%image` is the result. One number stands for all channels.
  }];
  let planned = "inputs of the kind `index`";
}

def Moe_ObjectiveOp : Moe_Body<"objective", (ins SymbolNameAttr:$sym_name, Moe_Params:$params),
    "$sym_name `` custom<Params>($params) `` custom<Body>($body)", [Symbol, IsolatedFromAbove]> {
  let summary = "the text of one training step";
  let compiled = 0;
}

def Moe_EntryOp : Moe_Body<"entry", (ins SymbolNameAttr:$sym_name), "$sym_name $body"> {
  let summary = "another way to run the model for inference: the model's body plus its own";
  let compiled = 0;
}

def Moe_YieldOp : Moe_Effect<"yield", (ins Variadic<Moe_Value>:$values), "$values"> {
  let summary = "ends a layer's body and names its results";
}
def Moe_ReturnOp : Moe_Effect<"return", (ins Variadic<Moe_Value>:$values, StrArrayAttr:$names),
                              "custom<Named>($values, $names)"> {
  let summary = "ends a model's body and names its results: `return logits = %y`";
}
def Moe_ExposeOp : Moe_Effect<"expose", (ins SymbolNameAttr:$label, Moe_Value:$x), "$label $x"> {
  let summary = "makes an inner value an output of the model's inference entry, for reports";
  let description = [{
    The output's name is the path, and `moert infer --output` writes it. Of a routing over all experts, the gates are exposed.
    Of one with `top = k`, each row's choices are: f32 [rows..., k, 2], the expert's number and the gate that its result is
    multiplied by, the best expert first. The gate of a pair that is dropped is 0.
  }];
}
def Moe_AuxOp : Moe_Effect<"aux", (ins SymbolNameAttr:$label, OptionalAttr<StrAttr>:$rule, Moe_Value:$x, Moe_Exprs:$args,
                                Variadic<Moe_Value>:$sized),
                           Moe_Sized # "$label (custom<OptionalWord>($rule)^)? $x `,` custom<Exprs>($args, ref($sized))"> {
  let summary = "an auxiliary loss with a weight that the recipe may change";
  let description = [{
    The rule says what the loss is:

    - `aux @entropy entropy %route, weight`: the mean entropy of the gates.
    - `aux @balance balance_kl %route, weight`: the divergence of the mean gates from uniform, KL(mean p || 1/K) (HMOE,
      equation 4).
    - `aux @balance importance_load %route, weight`: Tutel's loss of a routing with noise, half of the squared variation
      coefficient of the experts' importance (the sum of their gates) and half of that of their load (the expected number of
      rows whose noisy score of the expert is above the last chosen one's). As published, gates are compared with scores;
      `importance_load %route, corrected, weight` compares scores.
    - `aux @balance gshard %route, weight`: experts * the sum over experts of mean gate * share of the rows that choose it
      first, before any is dropped.
    - `aux @z z_loss %route, weight`: the mean squared log of the sum of e^score, without noise.
    - `aux @x cross_entropy %logits, label, weight`: the mean cross entropy with `label` or `domain`. Rows whose label is -1
      are left out. Of a routing, the scores are taken.
    - `aux @x %value, weight`, without a rule: the mean over the batch of a value with one number per sample, or a value that
      is a single number.

    The weight is a number, a ramp, or a product of these. A ramp, `ramp(from, to, until = 0.5)`, rises or falls linearly in
    the training's progress, and stays at `to` from `until` on, which is 1 unless given. The constant factor of the weight is
    the default of the recipe's key `aux.<path>`. A weight that is zero at compile time removes the loss, and all ops that
    nothing else uses.
  }];
}
def Moe_DefaultOp : Moe_Effect<"default", (ins StrAttr:$op, Moe_Expr:$weight, OptionalAttr<Moe_Expr>:$bias),
                               "custom<Word>($op) $weight (`,` $bias^)?"> {
  let summary = "the initial values of all `linear` or `conv` ops in this model: `default linear trunc_normal(0.02), zeros`";
  let description = "The first rule is that of `weight`, the second that of `bias` (torch's unless given).";
}
def Moe_UpdateOp : Moe_Effect<"update", (ins StrAttr:$group, Moe_Value:$loss, OptionalAttr<Moe_Expr>:$reset,
                                         OptionalAttr<Moe_Expr>:$when, OptionalAttr<Moe_Expr>:$is),
    "custom<Word>($group) `by` $loss (`reset_at` $reset^)? (`when` custom<Condition>($when, $is)^)?"> {
  let summary = "ends an objective: updates a group of parameters by the gradient of a loss";
  let compiled = 0;
}
def Moe_CallOp : Moe_Plain<"call", (ins StrAttr:$callee, Variadic<Moe_Value>:$x), "custom<Word>($callee) `` `(` $x `)`", "",
                           Moe_Dialect, [AttrSizedOperandSegments]> {
  let summary = "the model, called by an objective";
  let compiled = 0;
}
def Moe_SwitchOp : Moe_Plain<"switch", (ins Moe_Expr:$on, Moe_Expr:$before, Moe_Expr:$at, Moe_Expr:$after),
                             Moe_In<"on">.s # "`,`" # Moe_In<"before">.s # "`,` `at`" # Moe_In<"at">.s # "`,`" # Moe_In<"after">.s> {
  let summary = "a number that changes at a step: `switch step, 1.0, at anneal, lambda`";
  let compiled = 0;
}
#endif
