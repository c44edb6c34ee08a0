// What authors see where a model's sizes and shapes do not fit: each at its line, with the other place as a note.
// RUN: moe-opt %s --moe-elaborate --split-input-file --verify-diagnostics

// expected-error@+1 {{expected a model, found none: write 'moe.model @name(%image: image[3, 224, 224]) { ... }'}}
module {
}
// -----
moe.model @m<dim = 0>(%x: vector[8]) {
  // expected-error@+1 {{expected a size from 1 to 2147483647 for 'to', found 0 from 'dim'}}
  %y = linear @fc(%x) to dim
  return logits = %y
}
// -----
moe.model @m<dim = 3>(%x: vector[8]) {
  // expected-error@+1 {{expected a size from 1 to 2147483647 for 'to', found -1 from 'dim - 4'}}
  %y = linear @fc(%x) to dim - 4
  return logits = %y
}
// -----
moe.model @m<dim = 7>(%x: vector[8]) {
  // expected-error@+1 {{expected an exact quotient, found 7 / 2 in 'dim / 2'}}
  %y = linear @fc(%x) to dim / 2
  return logits = %y
}
// -----
moe.model @m<dim = 7>(%x: vector[8]) {
  // expected-error@+1 {{expected a positive divisor of a size, found 7 / 0 in 'dim / (dim - 7)'}}
  %y = linear @fc(%x) to dim / (dim - 7)
  return logits = %y
}
// -----
moe.model @m<dim = 4294967296>(%x: vector[8]) {
  // expected-error@+1 {{expected a size that fits into 64 bits, found 4294967296 * 4294967296 in 'dim * dim'}}
  %y = linear @fc(%x) to dim * dim
  return logits = %y
}
// -----
moe.model @m<dim = 2000000000>(%x: vector[8]) {
  // expected-error@+1 {{expected a parameter of at most 2147483647 elements, found 'fc.weight' of [2000000000, 8]}}
  %y = linear @fc(%x) to dim
  return logits = %y
}
// -----
// expected-error@+1 {{expected a size from 1 to 2147483647 for an axis of input 'x', found 0 from 'dim'}}
moe.model @m<dim = 0>(%x: vector[dim]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected a size for parameter 'dim', found 1.5}}
moe.model @m<dim = 1.5>(%x: vector[8]) {
  return logits = %x
}
// -----
moe.model @m(%x: vector[8], %z: vector[8]) {
  // expected-note@+1 {{made here: [3]}}
  %a = linear @a(%x) to 3
  // expected-note@+1 {{made here: [4]}}
  %b = linear @b(%z) to 4
  // expected-error@+1 {{expected equal sizes, or 1, in every axis counted from the last, found [3] and [4]}}
  %y = add %a, %b
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected an image [channels, height, width], found [8]}}
  %y = conv @c(%x) kernel = 3 to 4
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 4, 4]}}
moe.model @m(%x: image[1, 4, 4]) {
  // expected-error@+1 {{expected an image of at least 7x7 for kernel 7 and pad 0, found [1, 4, 4]}}
  %y = conv @c(%x) kernel = 7, pad = 0 to 4
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [6, 4, 4]}}
moe.model @m(%x: image[6, 4, 4]) {
  // expected-error@+1 {{expected 'groups' that divides 6 channels, found 4}}
  %y = group_norm @n(%x) groups = 4
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{declared here}}
  %a = linear @fc(%x) to 4
  // expected-error@+1 {{expected parameter 'fc.weight' of [4, 8], found a use of [4, 4]}}
  %y = linear shared @fc(%a) to 4
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Two(%a, %b) {
  yield %a, %b
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{layer '@Two' takes 2 values, 1 given}}
  %y = apply @two(%x) layer @Two
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Two(%a) {
  yield %a, %a
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{layer '@Two' yields 2 values, 1 named here}}
  %y = apply @two(%x) layer @Two
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Elsewhere(%a)
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{layer '@Elsewhere' is only declared; name the file that has its body as well}}
  %y = apply @e(%x) layer @Elsewhere
  return logits = %y
}
// -----
moe.layer @Inner<dim>(%a) {
  // expected-error@+1 {{expected a size from 1 to 2147483647 for 'to', found 0 from 'dim'}}
  %b = linear @fc(%a) to dim
  yield %b
}
moe.layer @Outer<dim>(%a) {
  // expected-note@+1 {{applied here as 'outer.inner'}}
  %b = apply @inner(%a) layer @Inner<dim>
  yield %b
}
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{applied here as 'outer'}}
  %y = apply @outer(%x) layer @Outer<0>
  return logits = %y
}
// -----
// A layer that is given itself as a parameter is no cycle of names.
moe.layer @Omega<@f>(%a) {
  // expected-error@+2 {{expected layers to nest at most 200 deep, found more; does '@Omega' call itself?}}
  // expected-note@+1 {{applied here as}}
  %b = apply @again(%a) layer @f<@f>
  yield %b
}
moe.model @m(%x: vector[8]) {
  %y = apply @omega(%x) layer @Omega<@Omega>
  return logits = %y
}
// -----
moe.layer @One(%a) {
  yield %a
}
moe.model @m<n = 5000>(%x: vector[8]) {
  // expected-error@+1 {{expected a count from 0 to 4096, found 5000 from 'n'}}
  %y = chain @c(%x) [n * @One]
  return logits = %y
}
// -----
moe.layer @One(%a) {
  yield %a
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected at most 4096 layers in a chain, found 10000}}
  %y = chain @c(%x) [100 * [100 * @One]]
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  %k = param @keys [4, 8] normal(1.0)
  // expected-error@+1 {{unknown router 'distanse' (did you mean 'distance'?); there are: distance, linear, cosine}}
  %r = route @gate(%x) distanse, keys = %k
  return logits = %x
}
// -----
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: [4, 6]}}
  %k = param @keys [4, 6] normal(1.0)
  // expected-error@+1 {{expected keys [experts, 8] for values of 8 features, found [4, 6]}}
  %r = route @gate(%x) distance, keys = %k
  return logits = %x
}
// -----
moe.layer @Classifier(%z) {
  %y = linear @fc(%z) to 3
  yield %y
}
moe.model @m(%x: vector[8]) {
  %k = param @keys [4, 8] normal(1.0)
  // expected-note@+1 {{made here: a routing over 4 experts}}
  %r = route @gate(%x) distance, keys = %k
  // expected-note@+1 {{made here: 5 experts of [3]}}
  %e = experts @e(%x) layer @Classifier count = 5
  // expected-error@+1 {{expected results of 4 experts, found 5 experts of [3]}}
  %y = combine %r, %e
  return logits = %y
}
// -----
moe.layer @Classifier(%z) {
  %y = linear @fc(%z) to 3
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{experts with weights of their own need 'count = n' on a value that was not dispatched}}
  %e = experts @e(%x) layer @Classifier
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  %y = linear @fc(%x) to 3
  // expected-error@+1 {{unknown auxiliary loss 'entrop' (did you mean 'entropy'?); there are: entropy, balance_kl, cross_entropy, importance_load, gshard, z_loss, or none for a plain value}}
  aux @e entrop %y, 0.1
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  %y = linear @fc(%x) to 3
  // expected-error@+1 {{expected a routing, found [8]; 'route' makes one}}
  aux @e entropy %x, 0.1
  return logits = %y
}
// -----
// expected-error@+1 {{expected scores [classes] of each sample as result 'logits', found [1, 4, 4]}}
moe.model @m(%x: image[1, 4, 4]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected a loss that depends on a parameter that is not frozen, found none; there is nothing to train}}
moe.model @m(%x: vector[4]) {
  return logits = %x
}
// -----
moe.model @m(%x: vector[4]) {
  %y = linear @fc(%x) to 3
  return logits = %y
  // expected-error@+1 {{entry '@max' is not compiled yet; only the model's own body is ('main')}}
  entry @max {
    return logits = %y
  }
}
// -----
moe.model @m(%x: vector[24]) {
  // expected-note@+1 {{made here: [4, 6]}}
  %t = reshape %x to [4, 6]
  // expected-error@+1 {{expected 'heads' that divides 6 features, found 4}}
  %y = attention @a(%t) heads = 4
  return logits = %y
}
// -----
moe.model @m(%x: vector[24]) {
  %t = reshape %x to [4, 6]
  // expected-error@+1 {{expected a size from 1 to 2147483647 for 'heads', found 0}}
  %y = attention @a(%t) heads = 0
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [24]}}
moe.model @m(%x: vector[24]) {
  // expected-error@+1 {{expected tokens [.., tokens, features], found [24]}}
  %y = attention @a(%x) heads = 2
  return logits = %y
}
// -----
moe.model @m(%x: vector[24]) {
  // expected-note@+1 {{made here: [4, 6]}}
  %t = reshape %x to [4, 6]
  // expected-note@+1 {{made here: [6, 4]}}
  %u = reshape %x to [6, 4]
  // expected-error@+1 {{expected q and k with as many features, found [4, 6] and [6, 4]}}
  %y = attend %t, %u, %u heads = 2
  return logits = %y
}
// -----
moe.model @m(%x: vector[24]) {
  // expected-note@+1 {{made here: [4, 6]}}
  %t = reshape %x to [4, 6]
  // expected-note@+1 {{made here: [8, 3]}}
  %u = reshape %x to [8, 3]
  // expected-error@+1 {{expected k and v with as many tokens, found [4, 6] and [8, 3]}}
  %y = attend %t, %t, %u heads = 3
  return logits = %y
}
// -----
moe.model @m(%x: vector[24]) {
  %t = reshape %x to [4, 6]
  // expected-note@+1 {{made here: [4, 1]}}
  %u = slice %t start = 0, size = 1
  // expected-error@+1 {{expected 'heads' that divides 1 features, found 3}}
  %y = attend %t, %t, %u heads = 3
  return logits = %y
}
// -----
moe.model @m(%x: vector[24]) {
  // expected-note@+1 {{made here: [4, 6]}}
  %t = reshape %x to [4, 6]
  // expected-note@+1 {{made here: [2, 2, 6]}}
  %u = reshape %x to [2, 2, 6]
  // expected-error@+1 {{expected the same axes in front of the tokens of q and of v, found [4, 6] and [2, 2, 6]}}
  %y = attend %t, %t, %u heads = 3
  return logits = %y
}
// -----
// expected-note@+1 {{the first is here}}
moe.model @a(%x: vector[4]) {
  return logits = %x
}
// expected-error@+1 {{expected one model in all files, found '@a' and '@b'}}
moe.model @b(%x: vector[4]) {
  return logits = %x
}
// -----
moe.model @m(%x: vector[65536]) {
  %column = reshape %x to [65536, 1]
  // expected-error@+1 {{expected a value of at most 2147483647 elements a sample, found [65536, 65536]}}
  %y = mul %column, %x
  return logits = %y
}
// -----
// The two names have one FNV-1a hash, and so have all paths that begin with them: their numbers would be the same.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{the other one is here}}
  %a = linear @costarring(%x) to 8
  // expected-error@+1 {{expected initial values of their own, found that 'liquid.weight' and 'costarring.weight' share a random stream; rename one of them}}
  %b = linear @liquid(%a) to 3
  return logits = %b
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a probability from 0 to less than 1, found 1.5}}
  %d = dropout %x, 1.5
  %y = linear @fc(%d) to 2
  return logits = %y
}
// -----
// The next number of 32 bits below 1 is 1 - 2^-24; half way to it is the least that rounds to 1.
moe.model @m(%x: vector[8]) {
  %c = dropout %x, 0.99999997
  // expected-error@+1 {{expected a probability from 0 to less than 1, found 0.999999971, which is 1 in 32-bit floating point; give at most 0.9999999}}
  %d = dropout %c, 0.999999971
  %y = linear @fc(%d) to 2
  return logits = %y
}
// -----
moe.model @m<p: number = 0.9999999999>(%x: vector[8]) {
  %a = linear @fc(%x) to 8
  // expected-error@+1 {{found 0.9999999999, which is 1 in 32-bit floating point}}
  %b = residual %x, %a drop_path = p
  %y = linear @head(%b) to 2
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a finite number of 32-bit floating point, found 1.5 / 0 in '1.5 / 0.0'}}
  %d = dropout %x, 1.5 / 0.0
  %y = linear @fc(%d) to 2
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-warning@+1 {{result 'logits' has one class, whose cross entropy is always 0: objective 'erm' teaches it nothing}}
  %y = linear @fc(%x) to 1
  return logits = %y
}
// -----
// expected-error@+1 {{expected another name for parameter 'gradients': programs record their gradients under it}}
moe.model @m<gradients = 3>(%x: vector[8]) {
  %y = linear @fc(%x) to gradients
  return logits = %y
}
// -----
// expected-error@+1 {{expected another name for parameter 'aux.b': programs record their auxiliary losses under such names}}
moe.model @m<aux.b = 3>(%x: vector[8]) {
  %y = linear @fc(%x) to aux.b
  return logits = %y
}
// -----
moe.model @m<c: number = 1e20>(%x: vector[8]) {
  // expected-error@+1 {{expected a finite number of 32-bit floating point, found 1e+20 * 1e+20 in 'c * c'}}
  %y = linear @fc(%x) to 3 init constant(c * c)
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected initial values that 32-bit floating point holds, found 'uniform(-3e38, 3e38)'}}
  %y = linear @fc(%x) to 3 init uniform(-3e38, 3e38)
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected initial values that 32-bit floating point holds, found 'normal(1e38)'}}
  %y = linear @fc(%x) to 3 init normal(1e38)
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a finite number of 32-bit floating point that is not so small that it would be 0, found 1e-30 * 1e-30 in '1e-30 * 1e-30'}}
  %n = layer_norm @n(%x) eps = 1e-30 * 1e-30
  %y = linear @fc(%n) to 3
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a ramp whose rise 32-bit floating point holds, found 'ramp(-3e38, 3e38)'}}
  %n = reverse_gradient %x by ramp(-3e38, 3e38)
  %y = linear @fc(%n) to 3
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected factors whose product 32-bit floating point holds, found '1e30 * (1e30 * ramp(0, 1))'}}
  %n = reverse_gradient %x by 1e30 * (1e30 * ramp(0, 1))
  %y = linear @fc(%n) to 3
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a low end below the high end by what 32-bit floating point holds, found -3e+38 and 3e+38}}
  %u = uniform [8], -3e38, 3e38
  %y = linear @fc(%u) to 3
  return logits = %y
}
// -----
moe.model @m(%x: image[1, 4, 4]) {
  // expected-error@+1 {{expected 'pad' of 0 or more, found -1}}
  %y = conv @c(%x) kernel = 3, pad = -1 to 4
  return logits = %y
}
// -----
moe.model @m(%x: image[1, 4, 4]) {
  // expected-error@+1 {{expected 'pad' from 0 to less than the kernel (2), found 2}}
  %y = max_pool %x kernel = 2, pad = 2
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 4, 4]}}
moe.model @m(%x: image[1, 4, 4]) {
  // expected-error@+1 {{expected an image of at most 2147483647 elements with 'pad' 4611686018427387904, found [1, 4, 4]}}
  %y = conv @c(%x) kernel = 3, pad = 4611686018427387904, stride = 1000000 to 4
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 4, 4]}}
moe.model @m(%x: image[1, 4, 4]) {
  // expected-error@+1 {{expected an image of at most 2147483647 elements with 'pad' 30000, found [1, 4, 4]}}
  %y = unfold %x kernel = 3, pad = 30000, stride = 10000
  return logits = %y
}
// -----
// A parameter without a kind is a size; its own default may say that a number was meant.
// expected-error@+1 {{expected a size for parameter 'balance', found 0.1; a number is written 'balance: number = 0.1'}}
moe.model @m<balance = 0.1>(%x: vector[8]) {
  return logits = %x
}
// -----
moe.layer @Half<dim>(%x) {
  yield %x
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a size for parameter 'dim', found 0.5}}
  %y = apply @h(%x) layer @Half<0.5>
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{'route ... cosine' needs 'experts = n'}}
  %r = route @gate(%x) cosine, top = 1
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected 'top' of at most the number of experts, 4, found 5}}
  %r = route @gate(%x) linear, experts = 4, top = 5
  return logits = %x
}
// -----
// An expert is one convolution deep.
moe.layer @Two(%x) {
  %a = conv @c1(%x) to 4
  // expected-note@+1 {{made here: 3 experts of [4, 8, 8]}}
  %r = relu %a
  // expected-error@+1 {{'conv' is not compiled yet on a value that already differs by expert; put it before 'experts', or first in the expert's layer}}
  %b = conv @c2(%r) to 4
  yield %b
}
moe.model @m(%x: image[1, 8, 8]) {
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%x) layer @Two count = 3
  return logits = %x
}
// -----
moe.layer @Pooled(%x) {
  // expected-note@+1 {{made here: 3 experts of [4, 8, 8]}}
  %a = conv @c1(%x) to 4
  // expected-error@+1 {{'max_pool' is not compiled yet on a value that already differs by expert; put it before 'experts', or first in the expert's layer}}
  %b = max_pool %a kernel = 2
  yield %b
}
moe.model @m(%x: image[1, 8, 8]) {
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%x) layer @Pooled count = 3
  return logits = %x
}
// -----
moe.layer @Normed(%x) {
  // expected-error@+1 {{'group_norm' is not compiled yet with weights that differ by expert; put it before 'experts'}}
  %a = group_norm @n(%x) groups = 2
  yield %a
}
moe.model @m(%x: image[2, 8, 8]) {
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%x) layer @Normed count = 3
  return logits = %x
}
// -----
// What the reference of `experts` says to be compiled is no error.
moe.layer @Pooled(%x) {
  %p = max_pool %x kernel = 2
  %a = conv @c1(%p) to 4
  %r = relu %a
  %m = mean %r over pixels
  %f = flatten %r
  %j = concat %m, %f
  %n = layer_norm @n(%j)
  %y = linear @fc(%n) to 5
  yield %y
}
moe.model @m(%x: image[2, 8, 8]) {
  %v = flatten %x
  %r = route @gate(%v) linear, experts = 3
  %e = experts @e(%x) layer @Pooled count = 3
  %y = combine %r, %e
  return logits = %y
}
// -----
// Weights are generated for a layer with all of its arguments, those of layers among them.
moe.layer @Wide<dim>(%x) {
  %y = linear @fc(%x) to dim
  yield %y
}
moe.layer @Of<@inner>(%x) {
  %y = apply @i(%x) layer @inner
  yield %y
}
moe.layer @Trunk(%k) {
  yield %k
}
moe.model @m(%x: vector[8]) {
  %k = param @keys [4, 8] normal(1.0)
  // expected-note@+1 {{generated here}}
  %t = hyper @h(%k) trunk @Trunk for @Of<@Wide<3>>
  // expected-error@+1 {{expected the layer that the weights are generated for, '@Of' with the same arguments, found '@Of<@Wide<5>>'}}
  %e = experts @e(%x) layer @Of<@Wide<5>> weights %t
  return logits = %x
}
// -----
// What optimizers call their own states cannot be a parameter, whichever of them trains the model.
moe.layer @L(%x) {
  // expected-error@+1 {{expected another name for parameter 'adam.correction1': optimizers keep states of their own under it}}
  %c = param @correction1 [1] ones
  %y = mul %x, %c
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{applied here as 'adam'}}
  %q = apply @adam(%x) layer @L
  %l = linear @fc(%q) to 3
  return logits = %l
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{expected another name for parameter 'adam.m:fc.weight'}}
  %y = linear @"m:fc"(%x) to 3
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{applied here as 'adam'}}
  %l = apply @adam(%x) layer @L
  return logits = %l
}
// -----
moe.model @m(%x: vector[8]) {
  %l = linear @fc(%x) to 3
  %m = mean %l
  // expected-error@+1 {{expected another name for this auxiliary loss: 'erm' is the objective's, and 'loss.erm' its part of the loss}}
  aux @erm %m, 0.1
  return logits = %l
}
// -----
moe.layer @L(%x) {
  %m = mean %x
  // expected-error@+2 {{expected each auxiliary loss once, found 's.a' a second time; a layer that is applied 'shared' cannot have one, so move it behind the layer}}
  // expected-note@+1 {{the first is here}}
  aux @a %m, 0.1
  yield %x
}
moe.model @m(%x: vector[8]) {
  %l = linear @fc(%x) to 3
  %u = apply @s(%l) layer @L
  // expected-note@+1 {{applied here as 's'}}
  %v = apply shared @s(%u) layer @L
  return logits = %v
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here}}
  %a = reshape %x to [2, 4]
  %w = linear @wide(%x) to 16
  %b = reshape %w to [2, 8]
  // expected-note@+1 {{made here}}
  %c = reshape %x to [4, 2]
  // expected-error@+1 {{expected equal sizes in every axis but 1, found [2, 4] and [4, 2]}}
  %d = concat %a, %b, %c axis = 1
  %f = flatten %d
  return logits = %f
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected an exposed value's path without '/', since its output is written to a file of that name, found 'a/b'}}
  expose @"a/b" %x
  %y = linear @fc(%x) to 3
  return logits = %y
}
// -----
// The name of a layer's use is a part of the path.
moe.layer @Lin(%x) {
  %y = linear @fc(%x) to 4
  // expected-error@+1 {{expected an exposed value's path without '/', since its output is written to a file of that name, found 'h/i.e'}}
  expose @e %y
  yield %y
}
moe.model @m(%x: vector[4]) {
  // expected-note@+1 {{applied here as 'h/i'}}
  %y = apply @"h/i"(%x) layer @Lin
  return logits = %y
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a name that no result of the model has, found 'logits'; both are outputs of the entry}}
  expose @logits %x
  // expected-note@+1 {{the result is here}}
  %y = linear @fc(%x) to 3
  return logits = %y
}
// -----
moe.layer @Lin(%x) {
  %y = linear @fc(%x) to 4
  // expected-note@+2 {{the first is here}}
  // expected-error@+1 {{expected each exposed value once, found 'h.e' a second time; a layer that is applied 'shared' cannot have one, so move it behind the layer}}
  expose @e %y
  yield %y
}
moe.model @m(%x: vector[4]) {
  %q = apply @h(%x) layer @Lin
  // expected-note@+1 {{applied here as 'h'}}
  %r = apply shared @h(%q) layer @Lin
  return logits = %r
}

// -----

// The loss depends on the first layer through a stop_gradient alone, and on the second not at all.
moe.model @stopped<classes = 10>(%image: image[1, 28, 28]) {
  %x = flatten %image
  // expected-warning @below {{parameter 'fc1.weight' is not trained: the loss does not depend on it, or only through a stop_gradient}}
  // expected-warning @below {{parameter 'fc1.bias' is not trained}}
  %h = linear @fc1(%x) to 16
  %s = stop_gradient %h
  // expected-warning @below {{parameter 'other.weight' is not trained}}
  // expected-warning @below {{parameter 'other.bias' is not trained}}
  %o = linear @other(%s) to 2
  %logits = linear @fc2(%s) to classes
  return logits = %logits, other = %o
}
// -----
// A product of numbers is no 0 that the author has not written.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a finite number of 32-bit floating point that is not so small that it would be 0, found 1e-30 * 1e-30 in '1e-30 * 1e-30'}}
  %y = mul %x, 1e-30 * 1e-30
  return logits = %y
}
// -----
// Rules of later ops have no values of their own.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected sizes of values in the ops of a body only, found 'size(0, 0)'}}
  default linear normal(1 / size(0, 0))
  %y = linear @fc(%x) to 4
  return logits = %y
}
// -----
// torch's rule counts inputs.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{'torch' needs inputs to count, and 'param' has none; use normal or uniform}}
  %p = param @p [8] torch
  %y = add %x, %p
  return logits = %y
}
// -----
// Patches have a size, no kernel.
moe.model @m(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected a size from 1 to 2147483647 for 'size', found 0}}
  %y = patches @p(%image) size = 0 to 4
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 2, 8]}}
moe.model @m(%image: image[1, 2, 8]) {
  // expected-error@+1 {{expected an image of at least 4x4, the size of a patch, found [1, 2, 8]}}
  %y = patches @p(%image) size = 4 to 4
  return logits = %y
}
