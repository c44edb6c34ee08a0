// Ordinary ops on tensors. Axes are those of a sample: the batch, and an expert axis where there is one, come along.
#ifndef MOE_TENSOR_OPS_TD
#define MOE_TENSOR_OPS_TD
include "dialects/moe/MoeOpBase.td"

def Moe_NegOp : Moe_Unary<"neg", "-x">;
def Moe_ExpOp : Moe_Unary<"exp", "e^x">;
def Moe_LogOp : Moe_Unary<"log", "the natural logarithm">;
def Moe_SqrtOp : Moe_Unary<"sqrt", "the square root">;
def Moe_AbsOp : Moe_Unary<"abs", "the absolute value">;
def Moe_TanhOp : Moe_Unary<"tanh", "the hyperbolic tangent">;
def Moe_SigmoidOp : Moe_Unary<"sigmoid", "1 / (1 + e^-x)">;
def Moe_ReluOp : Moe_Unary<"relu", "max(x, 0)">;
def Moe_SiluOp : Moe_Unary<"silu", "x sigmoid(x)">;
def Moe_GeluOp : Moe_Unary<"gelu", "x Phi(x), by the error function">;
def Moe_SignOp : Moe_Unary<"sign", "-1, 0 or 1, as x is below, at or above 0; no gradient passes">;
def Moe_SoftmaxOp : Moe_Unary<"softmax", "softmax over the last axis">;
def Moe_FlattenOp : Moe_Unary<"flatten", "all axes of a sample as one">;
def Moe_StopGradientOp : Moe_Unary<"stop_gradient", "the value; no gradient passes">;

def Moe_AddOp : Moe_Elementwise<"add", "a, b", "a + b; the values are broadcast to each other: an axis of size 1, or a missing leading axis, becomes as long as the other's"> {
  let description = "One of the two may be a number or an expression of numbers and sizes: `add %x, 0.5`, `mul 2 * gain, %x`.";
}
def Moe_SubOp : Moe_Elementwise<"sub", "a, b", "a - b; broadcast, and numbers, as in `add`: `sub 1, %x`">;
def Moe_MulOp : Moe_Elementwise<"mul", "a, b", "a times b; broadcast, and numbers, as in `add`">;
def Moe_DivOp : Moe_Elementwise<"div", "a, b", "a / b; broadcast, and numbers, as in `add`">;
def Moe_MatmulOp : Moe_Binary<"matmul", "the matrix product of the last two axes"> {
  let description = [{
    The axes before them are broadcast as in `add`. A value of one axis is a vector: a row on the left, a column on the right,
    and the result lacks that axis; of two vectors it is the scalar product.
  }];
}
def Moe_AttendOp : Moe_Plain<"attend", (ins Moe_Value:$q, Moe_Value:$k, Moe_Value:$v, Moe_Expr:$heads, OptionalAttr<Moe_Expr>:$scale),
                             "$q `,` $k `,` $v", "heads!, scale"> {
  let summary = "multi-head attention without parameters: softmax(scale q k^T) v in each head";
  let description = [{
    q is [.., rows, features], k [.., keys, features] and v [.., keys, features of its own]; the result is [.., rows, v's features]. A
    head has a share of neighbouring features: `heads` divides the features of q and k, and those of v. `scale` is 1 / sqrt(features /
    heads) unless given. Axes in front of the tokens are the same in all three, but q, k or v may be without a batch, such as a `param`.
  }];
}
def Moe_PrependOp : Moe_Plain<"prepend", (ins Variadic<Moe_Value>:$x), "$x", "", Moe_Dialect, [AttrSizedOperandSegments]> {
  let summary = "the tokens of all values, one after the other: `prepend %cls, %registers, %patches`";
  let description = [{
    All but the last may be without a batch, such as a `param` [tokens, features] or [1, tokens, features]: they are then the
    same for every sample.
  }];
}
def Moe_CrossEntropyOp : Moe_Plain<"cross_entropy", (ins Moe_Value:$a, Moe_Value:$b), "$a `,` $b"> {
  let summary = "cross entropy of each row, in an objective; a model has `aux @x cross_entropy`";
  let compiled = 0;
}

def Moe_ClampOp : Moe_Plain<"clamp", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$min, OptionalAttr<Moe_Expr>:$max), "$x",
                            "min, max"> {
  let summary = "x, but at least `min` and at most `max`: `clamp %x min = 0, max = 6`";
  let description = "One of the two may be missing. What is cut off has the gradient 0.";
}
def Moe_NormalizeOp : Moe_Plain<"normalize", (ins Moe_Value:$x, OptionalAttr<Moe_Expr>:$eps, OptionalAttr<Moe_Expr>:$axes),
                                "$x", "eps, over:axes"> {
  let summary = "x / max(|x|, eps), where |x| is the Euclidean norm over the last axis, or over axes as mean's";
  let description = [{
    `eps` is the floor on the norm, 1e-12 unless given. The mean and deviation of pixels are no matter of this op, but stand at
    the model's input.
  }];
}

def Moe_MeanOp : Moe_Reduce<"mean", "the mean over axes"> {
  let description = [{
    `over pixels` (the last two axes of an image), `over features` (the last axis), `over tokens` (the first), `over
    experts`, `over 0` or `over [0, 2]` (axes of a sample, the batch not counted; negative ones count from the end). Without
    `over`, the mean is over all axes of a sample and leaves one number per sample; the mean of each channel is
    `mean %maps over pixels`.
  }];
  let planned = "`over rows` and `over domains`, in objectives";
}
def Moe_SumOp : Moe_Reduce<"sum", "the sum, over axes as mean's">;
def Moe_VarianceOp : Moe_Reduce<"variance", "the mean squared distance from the mean, over axes as mean's">;
def Moe_MaxOp : Moe_Reduce<"max", "the largest, over axes as mean's">;

def Moe_ConcatOp : Moe_Plain<"concat", (ins Variadic<Moe_Value>:$x, OptionalAttr<Moe_Expr>:$axis), "$x", "axis",
                             Moe_Dialect, [AttrSizedOperandSegments]> {
  let summary = "values one after the other along an axis, the last unless given";
}
def Moe_SliceOp : Moe_AlongAxis<"slice", "`size` elements from `start` along an axis, each `step`th",
    (ins Moe_Expr:$start, Moe_Expr:$size, OptionalAttr<Moe_Expr>:$step), "start!, size!, step"> {
  let description = "`axis` is the last and `step` 1 unless given.";
}
def Moe_ReshapeOp : Moe_Plain<"reshape", (ins Moe_Value:$x, Moe_Expr:$shape), "$x", "to:shape!"> {
  let summary = "the same elements in another shape: `reshape %x to [4, dim / 4]`; the size of one axis may be `-1`, which stands for what is left";
}
def Moe_TransposeOp : Moe_Plain<"transpose", (ins Moe_Value:$x, Moe_Expr:$order), "$x", "to:order!"> {
  let summary = "axes in another order: `transpose %x to [1, 0]`";
}
def Moe_TakeOp : Moe_Plain<"take", (ins Moe_Value:$x, Moe_Expr:$token), "$x", "token!"> {
  let summary = "one token: element `token` of the first axis of a sample; a negative one counts from the end";
}
def Moe_WhereOp : Moe_Elementwise<"where", "mask, a, b",
    "a where mask is not 0, else b; what is not chosen has the gradient 0, even where its slope is infinite, but not through matrix products, convolutions and attention. Broadcast, and numbers, as in `add`">;
def Moe_UnfoldOp : Moe_Plain<"unfold",
    (ins Moe_Value:$x, Moe_Expr:$kernel, OptionalAttr<Moe_Expr>:$stride, OptionalAttr<Moe_Expr>:$pad), "$x",
    "kernel!, stride, pad"> {
  let summary = "windows of an image as axes: [c, h, w] to [c, oh, ow, kernel, kernel]";
  let description = [{
    `stride` is 1 and `pad` 0 (zeros) unless given; sizes as conv's. Not possible on a value that differs by expert (see
    `experts`).
  }];
}
class Moe_Pool<string name, string what>
    : Moe_Plain<name, (ins Moe_Value:$x, Moe_Expr:$kernel, OptionalAttr<Moe_Expr>:$stride, OptionalAttr<Moe_Expr>:$pad), "$x",
                "kernel!, stride, pad"> {
  let summary = what;
  let description = [{
    `stride` is the kernel and `pad` 0 unless given; sizes as conv's. `pad` is less than the kernel. Not possible on a
    value that differs by expert (see `experts`).
  }];
}
def Moe_MaxPoolOp : Moe_Pool<"max_pool", "the largest of each window of an image, padding left out">;
def Moe_MeanPoolOp : Moe_Pool<"mean_pool", "the mean of each window of an image, padding included as zeros">;

def Moe_DropoutOp : Moe_Plain<"dropout", (ins Moe_Value:$x, Moe_Expr:$rate), "$x `,`" # Moe_In<"rate">.s> {
  let summary = "in training, zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate)";
  let description = "`%kept = dropout %x, 0.1`. `rate` is from 0 to less than 1; in inference the value is unchanged.";
}
def Moe_ResidualOp : Moe_Plain<"residual", (ins Moe_Value:$x, Moe_Value:$branch, OptionalAttr<Moe_Expr>:$drop_path),
                               "$x `,` $branch", "drop_path"> {
  let summary = "x + branch; in training, `drop_path` is the probability that a sample skips the branch";
  let description = "`drop_path` is 0 unless given; samples that take the branch scale it by 1 / (1 - drop_path).";
}
class Moe_Random<string name, dag args, string format, string what>
    : Moe_Plain<name, !con((ins Moe_Expr:$shape), args), Moe_In<"shape">.s # format> {
  let summary = what # "; in inference its mean";
}
def Moe_BernoulliOp : Moe_Random<"bernoulli", (ins Moe_Expr:$p), "`,`" # Moe_In<"p">.s,
                                 "1 with probability p, else 0, for each sample: `bernoulli [dim], 0.5`">;
def Moe_UniformOp : Moe_Random<"uniform", (ins Moe_Expr:$low, Moe_Expr:$high), "`,`" # Moe_In<"low">.s # "`,`" # Moe_In<"high">.s,
                               "uniform in [low, high), for each sample: `uniform [dim], -1, 1`">;
def Moe_ReverseGradientOp : Moe_Plain<"reverse_gradient", (ins Moe_Value:$x, Moe_Expr:$schedule),
                                       "$x", "by:schedule!"> {
  let summary = "the value; its gradient is multiplied by minus the schedule";
  let description = [{
    `by dann`: 2 / (1 + exp(-10 progress)) - 1 (Ganin et al., 2016). `by 0.5` or `by ramp(0, 1, until = 0.5)`: a number.
  }];
}
#endif
