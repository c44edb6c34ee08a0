// RUN: moe-opt %s --moe-elaborate --split-input-file --verify-diagnostics
// What is wrong with routings, with what is done with them, and with buffers, at its line.

// k above the expert count
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4
  // expected-error@+1 {{expected 'top' of at most the number of experts, 4, found 5}}
  %s = select %r top = 5
  return logits = %x
}
// -----
// A routing of some experts is no routing over all.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: a routing to 2 of 4 experts}}
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-error@+1 {{expected a routing over all experts to select from, found a routing to 2 of 4 experts}}
  %s = select %r top = 1
  return logits = %x
}
// -----
// Every expert has every row.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: a routing over 4 experts}}
  %r = route @gate(%x) linear, experts = 4
  // expected-error@+1 {{expected a routing to some experts of each row to count, found one over all 4, each of which has every row}}
  %n = counts %r
  return logits = %x
}
// -----
// Rows that the routing has not seen.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  %r = route @gate(%t) linear, experts = 4, top = 1
  // expected-note@+1 {{made here: [1, 4]}}
  %o = slice %t start = 0, size = 1, axis = 0
  // expected-error@+1 {{expected a value of the rows that routing 'gate' has seen, [2, ...], found [1, 4]}}
  %s = dispatch %r, %o
  return logits = %x
}
// -----
// Nor samples, where tokens were routed.
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  %r = route @gate(%t) linear, experts = 4, top = 1
  // expected-error@+1 {{expected a value of the rows that routing 'gate' has seen, [2, ...], found [8]}}
  %s = dispatch %r, %x
  return logits = %x
}
// -----
// A parameter has no rows.
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-note@+1 {{made here: [8]}}
  %p = param @p [8] ones
  // expected-error@+1 {{expected a value of each sample, outside of experts, found [8]}}
  %s = dispatch %r, %p
  return logits = %x
}
// -----
// A routing over all experts dispatches nothing.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: a routing over 4 experts}}
  %r = route @gate(%x) linear, experts = 4
  // expected-error@+1 {{expected a routing to some experts of each row, found one over all 4; write 'top = 1' in 'route', or 'experts ... count = 4' on the value itself}}
  %s = dispatch %r, %x
  return logits = %x
}
// -----
// Rows come back by the routing that sent them.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-note@+1 {{made here: a routing to 2 of 4 experts}}
  %q = route @other(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-note@+1 {{made here: rows [8] that routing 'gate' dispatched}}
  %e = experts @e(%s) layer @Lin<8>
  // expected-error@+1 {{expected rows that this routing dispatched, found those of routing 'gate'}}
  %c = combine %q, %e
  return logits = %x
}
// -----
// Rows are no tensor.
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-note@+1 {{made here: rows [8] that routing 'gate' dispatched}}
  %s = dispatch %r, %x
  // expected-error@+1 {{expected a tensor, found rows [8] that routing 'gate' dispatched; what is computed of each row belongs into the layer of 'experts'}}
  %e = relu %s
  return logits = %x
}
// -----
// Rows of two dispatches.
moe.layer @Two(%a, %b) {
  %y = add %a, %b
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %q = route @other(%x) linear, experts = 4, top = 2
  // expected-note@+1 {{made here: rows [8] that routing 'gate' dispatched}}
  %s = dispatch %r, %x
  // expected-note@+1 {{made here: rows [8] that routing 'other' dispatched}}
  %t = dispatch %q, %x
  // expected-error@+1 {{expected rows that one 'dispatch' has in one order, or samples, for all values of the experts}}
  %e = experts @e(%s, %t) layer @Two
  return logits = %x
}
// -----
// As many experts as the routing has.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-error@+1 {{expected as many experts as routing 'gate' has, 4, found 3 in '[2 * @Lin<8>, @Lin<8>]'}}
  %e = experts @e(%s) layers [2 * @Lin<8>, @Lin<8>]
  return logits = %x
}
// -----
// The same, by count.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-error@+1 {{expected as many experts as routing 'gate' has, 4, found 3; 'count' may be omitted}}
  %e = experts @e(%s) count = 3 layer @Lin<8>
  return logits = %x
}
// -----
// No experts at all.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-error@+1 {{expected at least one expert, found none in '[0 * @Lin<8>]'}}
  %e = experts @e(%s) layers [0 * @Lin<8>]
  return logits = %x
}
// -----
// Results of different shapes.
moe.layer @Lin<to>(%x) {
  // expected-note@+2 {{the one is made here}}
  // expected-note@+1 {{the other is made here}}
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-error@+1 {{expected experts that all yield values of one shape, found [8] of '@Lin' and [4] of '@Lin'}}
  %e = experts @e(%s) layers [2 * @Lin<8>, 2 * @Lin<4>]
  return logits = %x
}
// -----
// The same where nothing was dispatched.
moe.layer @Lin<to>(%x) {
  // expected-note@+2 {{the one is made here}}
  // expected-note@+1 {{the other is made here}}
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected experts that all yield values of one shape, found 2 experts of [8] of '@Lin' and 2 experts of [4] of '@Lin'}}
  %e = experts @e(%x) layers [2 * @Lin<8>, 2 * @Lin<4>]
  return logits = %x
}
// -----
// Different numbers of results.
// expected-note@+1 {{the one is made here}}
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
// expected-note@+1 {{the other is made here}}
moe.layer @Pair(%x) {
  yield %x, %x
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-error@+1 {{expected experts that all yield values of one shape, found 1 value of '@Lin' and 2 values of '@Pair'}}
  %e = experts @e(%s) layers [3 * @Lin<8>, @Pair]
  return logits = %x
}
// -----
// A list says how many experts there are.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{'count' is of experts of one layer; the list says how many there are}}
  %e = experts @e(%x) layers [2 * @Lin<8>] count = 2
  return logits = %x
}
// -----
// One layer, or several.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected either 'layer @Layer', for all experts, or 'layers [2 * @A, @B]', found both}}
  %e = experts @e(%x) layer @Lin<8> layers [2 * @Lin<8>]
  return logits = %x
}
// -----
// But some.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected either 'layer @Layer', for all experts, or 'layers [2 * @A, @B]', found neither}}
  %e = experts @e(%x) count = 2
  return logits = %x
}
// -----
// A list is of layers.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a layer, a list, or a count times one of them, found '2'}}
  %e = experts @e(%x) layers [2, 3]
  return logits = %x
}
// -----
// Generated weights of as many experts as the routing has.
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %keys = param @keys [3, 5] normal(1.0)
  // expected-note@+1 {{generated here}}
  %w = hyper @h(%keys) trunk @Lin<6> for @Lin<8>
  %s = dispatch %r, %x
  // expected-error@+1 {{expected weights of as many experts as routing 'gate' has, 4, found 3}}
  %e = experts @e(%s) layer @Lin<8> weights %w
  return logits = %x
}
// -----
// Numbers of routings are of 32 bits.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e39}}
  %r = route @gate(%x) linear, experts = 4, top = 1, noise = 1e39
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e39}}
  %r = route @gate(%x) linear, experts = 4, top = 1, capacity = 1e39
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e39}}
  %s = state @s [4] constant(1e39)
  return logits = %x
}
// -----
// A buffer has one value after a step.
moe.model @m(%x: vector[8]) {
  %s = state @s [4] zeros
  // expected-note@+1 {{first used here}}
  assign @s %s
  // expected-error@+1 {{buffer '@s' is assigned twice in a step}}
  assign @s %s
  return logits = %x
}
// -----
// Also where a layer is applied again with the same buffer.
moe.layer @Buffered(%x) {
  %s = state @s [8] zeros
  %t = add %s, 1
  // expected-error@+2 {{buffer 'a.s' is assigned twice in a step}}
  // expected-note@+1 {{the first is here}}
  assign @s %t
  %y = add %x, %s
  yield %y
}
moe.model @m(%x: vector[8]) {
  %a = apply @a(%x) layer @Buffered
  // expected-note@+1 {{applied here as 'a'}}
  %b = apply shared @a(%a) layer @Buffered
  return logits = %x
}
// -----
// What is assigned is a buffer.
moe.model @m(%x: vector[8]) {
  %t = param @t [4] zeros
  // expected-error@+1 {{expected a buffer that 'state @s' declares before, found none with the path 's'}}
  assign @s %t
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  %t = param @t [4] zeros
  // expected-error@+1 {{expected a buffer that 'state @t' declares before, found a parameter, which the optimizer updates}}
  assign @t %t
  return logits = %x
}
// -----
// A buffer is the same for all samples.
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  %s = state @s [8] zeros
  // expected-error@+1 {{expected a value of [8], the same for all samples, as buffer 's' is, found [8] of each sample}}
  assign @s %x
  return logits = %x
}
// -----
// It keeps its shape.
moe.model @m(%x: vector[8]) {
  %s = state @s [8] zeros
  // expected-note@+1 {{made here: [4]}}
  %t = param @t [4] zeros
  // expected-error@+1 {{expected a value of [8], the same for all samples, as buffer 's' is, found [4]}}
  assign @s %t
  return logits = %x
}
// -----
// It has no gradient that could be frozen.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{a buffer has no gradient; remove 'frozen'}}
  %s = state frozen @s [8] zeros
  return logits = %x
}
// -----
// It is none of an expert's weights.
moe.layer @Own(%x) {
  // expected-error@+1 {{'state' is not compiled yet inside experts; put it before them}}
  %s = state @s [8] zeros
  %y = add %x, %s
  yield %y
}
moe.model @m(%x: vector[8]) {
  // expected-note@+2 {{the experts}}
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%x) count = 2 layer @Own
  return logits = %x
}
// -----
// A path is a parameter's or a buffer's.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{declared here}}
  %s = state @s [8] zeros
  // expected-error@+1 {{expected 's' to be a parameter, found a buffer of that name}}
  %p = param shared @s [8] zeros
  return logits = %x
}
// -----
// Its initial value counts no inputs.
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{'fan_in' needs inputs to count, and 'state' has none; use normal or uniform}}
  %s = state @s [8] fan_in(1)
  return logits = %x
}
// -----
// Experts choose tokens.
// expected-note@+1 {{made here: [8]}}
moe.model @m(%x: vector[8]) {
  // expected-error@+1 {{expected tokens [tokens, features] of which experts choose some, found one vector of each sample}}
  %r = route @gate(%x) linear, experts = 4, choose = rows by image
  return logits = %x
}
// -----
// Of an image.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-error@+1 {{expected 'choose = rows by image', found 'rows by batch'}}
  %r = route @gate(%t) linear, experts = 4, choose = rows by batch
  return logits = %x
}
// -----
// Either rows choose or experts.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-error@+1 {{expected either 'top', by which rows choose experts, or 'choose', by which experts choose rows, found both}}
  %r = route @gate(%t) linear, experts = 2, top = 1, choose = rows by image
  return logits = %x
}
// -----
// Each expert takes a token.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-error@+1 {{expected a capacity by which each expert takes at least one token of an image and at most all 2, found 0.5, which is 0 for each of 2 experts}}
  %r = route @gate(%t) linear, experts = 2, choose = rows by image, capacity = 0.5
  return logits = %x
}
// -----
// None takes one twice.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-error@+1 {{expected a capacity by which each expert takes at least one token of an image and at most all 2, found 3, which is 3 for each of 2 experts}}
  %r = route @gate(%t) linear, experts = 2, choose = rows by image, capacity = 3
  return logits = %x
}
// -----
// Options of rows that choose.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-error@+1 {{'prioritized' is of routings in which rows choose, not experts: write 'top = 1' instead of 'choose'}}
  %r = route @gate(%t) linear, experts = 2, choose = rows by image, prioritized
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  %b = param @b [2] zeros
  // expected-error@+1 {{'select_bias' is of routings in which rows choose, not experts: write 'top = 1' instead of 'choose'}}
  %r = route @gate(%t) linear, experts = 2, choose = rows by image, select_bias = %b
  return logits = %x
}
// -----
// Options of a choice, where there is none.
moe.model @m(%x: vector[8]) {
  %b = param @b [4] zeros
  // expected-error@+1 {{'select_bias' is of routings to some experts of each row: write 'top = 1' as well}}
  %r = route @gate(%x) linear, experts = 4, select_bias = %b
  return logits = %x
}
// -----
// A bias of each expert.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: [3]}}
  %b = state @b [3] zeros
  // expected-error@+1 {{expected 'select_bias' of [4], the same for all samples, found [3]}}
  %r = route @gate(%x) linear, experts = 4, top = 1, select_bias = %b
  return logits = %x
}
// -----
// The same for all samples.
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: [4]}}
  %b = linear @b(%x) to 4
  // expected-error@+1 {{expected 'select_bias' of [4], the same for all samples, found [4] of each sample}}
  %r = route @gate(%x) linear, experts = 4, top = 1, select_bias = %b
  return logits = %x
}
// -----
// Losses of rows that choose.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  %r = route @gate(%t) linear, experts = 2, choose = rows by image
  // expected-error@+1 {{'gshard' is of routings in which rows choose; in 'gate' the experts do, and each has as many rows}}
  aux @g gshard %r, 0.1
  return logits = %x
}
// -----
// Labels are of samples.
moe.model @m(%x: vector[8]) {
  %t = reshape %x to [2, 4]
  // expected-note@+1 {{made here: a routing over 2 experts}}
  %r = route @gate(%t) linear, experts = 2
  // expected-error@+1 {{expected a routing of samples, since each sample has one 'label', found one of its tokens}}
  aux @g cross_entropy %r, label, 0.1
  return logits = %x
}
// -----
// No noise, no load.
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-error@+1 {{'importance_load' is of routings with 'noise', over several experts, by softmax; 'gate' has no noise; 'gshard' needs none of it}}
  aux @g importance_load %r, 0.1
  return logits = %x
}
// -----
// Noise so small that scores divided by it are infinite.
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2, noise = 1e-40
  // expected-error@+1 {{expected noise that scores can be divided by in 32-bit floating point for 'importance_load', found 2.5e-41 for each of 4 experts; write a larger 'noise'}}
  aux @g importance_load %r, 0.1
  return logits = %x
}
// -----
// No grouped form.
moe.layer @Conv(%x) {
  // expected-error@+1 {{'conv' is not compiled yet on a value that already differs by expert; put it before 'dispatch'}}
  %y = conv @c(%x) to 4
  yield %y
}
moe.model @m(%x: image[3, 4, 8]) {
  %v = mean %x over pixels
  %r = route @gate(%v) linear, experts = 4, top = 1
  // expected-note@+1 {{made here: [3, 4, 8]}}
  %s = dispatch %r, %x
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Conv
  return logits = %x
}
// -----
moe.layer @Norm(%x) {
  // expected-error@+1 {{'group_norm' is not compiled yet with weights that differ by expert; put it before 'experts'}}
  %y = group_norm @n(%x) groups = 1
  yield %y
}
moe.model @m(%x: image[3, 4, 8]) {
  %v = mean %x over pixels
  %r = route @gate(%v) linear, experts = 4, top = 1
  %s = dispatch %r, %x
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Norm
  return logits = %x
}
// -----
moe.layer @Inner(%x) {
  // expected-error@+1 {{'route' is not compiled yet inside experts}}
  %r = route @gate(%x) linear, experts = 4, top = 1
  yield %x
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Inner
  return logits = %x
}
// -----
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.layer @Inner(%x) {
  // expected-error@+1 {{experts inside experts are not compiled yet}}
  %e = experts @f(%x) count = 2 layer @Lin<8>
  yield %x
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-note@+2 {{the outer experts}}
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Inner
  return logits = %x
}
// -----
// A layer that takes one value cannot have two.
// expected-note@+1 {{declared here}}
moe.layer @Lin<to>(%x) {
  %y = linear @fc(%x) to to
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  // expected-error@+1 {{layer '@Lin' takes 1 values, 2 given}}
  %c = chain @c(%x) [2 * @Lin<8>] with %r
  return logits = %x
}
// -----
// Losses and reports are of samples.
moe.layer @Aux(%x) {
  %y = linear @fc(%x) to 8
  %m = mean %y
  // expected-error@+1 {{'aux' is not compiled yet in experts on dispatched rows, which are no samples; put it behind 'combine'}}
  aux @a %m, 0.1
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-note@+2 {{the experts}}
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Aux
  return logits = %x
}
// -----
moe.layer @Exposed(%x) {
  %y = linear @fc(%x) to 8
  // expected-error@+1 {{'expose' is not compiled yet in experts on dispatched rows, which are no samples; put it behind 'combine'}}
  expose @a %y
  yield %y
}
moe.model @m(%x: vector[8]) {
  %r = route @gate(%x) linear, experts = 4, top = 2
  %s = dispatch %r, %x
  // expected-note@+2 {{the experts}}
  // expected-note@+1 {{applied here as 'e'}}
  %e = experts @e(%s) layer @Exposed
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: a routing to 1 of 4 experts}}
  %r = route @gate(%x) linear, experts = 4, top = 1
  // expected-error@+1 {{expected the routing first, then the value: 'combine %route, %x', found them the other way round}}
  %y = combine %x, %r
  return logits = %x
}
// -----
moe.model @m(%x: vector[8]) {
  // expected-note@+1 {{made here: a routing to 1 of 4 experts}}
  %r = route @gate(%x) linear, experts = 4, top = 1
  // expected-error@+1 {{expected the routing first, then the value: 'dispatch %route, %x', found them the other way round}}
  %y = dispatch %x, %r
  return logits = %x
}
