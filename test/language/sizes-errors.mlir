// What is found wrong when a layer is used: patterns, sizes of values, numbers, and the ops that take them.
// RUN: moe-opt %s --moe-elaborate --split-input-file --verify-diagnostics

// expected-note@+1 {{declared here}}
moe.layer @Pool<slots>(%x: [tokens, dim]) {
  %p = param @phi [dim, slots] normal(1.0)
  %y = matmul %x, %p
  yield %y
}
// expected-note@+1 {{made here: [1, 8, 8]}}
moe.model @rank(%image: image[1, 8, 8]) {
  // expected-error@+1 {{layer '@Pool' takes '%x: [tokens, dim]', found [1, 8, 8]}}
  %y = apply @pool(%image) layer @Pool<3>
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Same(%x: [tokens, dim], %y: [dim]) {
  %z = add %x, %y
  yield %z
}
moe.model @same(%image: image[1, 8, 4]) {
  %x = reshape %image to [8, 4]
  // expected-note@+1 {{made here: [32]}}
  %f = flatten %image
  // expected-error@+1 {{layer '@Same' takes '%y: [dim]', found [32]; dim is 4}}
  %y = apply @same(%x, %f) layer @Same
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Given<dim, half = dim / 2>(%x: [2 * half, 8]) {
  yield %x
}
moe.model @given(%image: image[1, 8, 8]) {
  // expected-note@+1 {{made here: [8, 8]}}
  %x = reshape %image to [8, -1]
  // expected-error@+1 {{layer '@Given' takes '%x: [2 * half, 8]', found [8, 8]; 2 * half is 6}}
  %y = apply @a(%x) layer @Given<6>
  return logits = %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Tokens(%x: [tokens, dim]) {
  yield %x
}
moe.model @routing(%image: image[1, 8, 8]) {
  %f = flatten %image
  // expected-note@+1 {{made here: a routing over 3 experts}}
  %r = route @r(%f) linear, experts = 3
  // expected-error@+1 {{layer '@Tokens' takes '%x: [tokens, dim]', found a routing over 3 experts}}
  %y = apply @a(%r) layer @Tokens
  return logits = %y
}
// -----
moe.model @axis(%image: image[1, 8, 8]) {
  // expected-note@+1 {{made here: [64]}}
  %f = flatten %image
  // expected-error@+1 {{expected tokens [tokens, features] for 'size(%f, tokens)', found [64]}}
  %y = linear @a(%f) to size(%f, tokens)
  return logits = %y
}
// -----
moe.model @number(%image: image[1, 8, 8]) {
  // expected-note@+1 {{made here: [64]}}
  %f = flatten %image
  // expected-error@+1 {{expected an axis from -1 to 0 for 'size(%f, 1)', found [64]}}
  %y = mul %f, 1.0 / size(%f, 1)
  return logits = %y
}
// -----
moe.model @experts(%image: image[1, 8, 8]) {
  // expected-note@+1 {{made here: [64]}}
  %f = flatten %image
  // expected-error@+1 {{expected a value that differs by expert for 'size(%f, experts)', found [64]}}
  %y = mul %f, size(%f, experts)
  return logits = %y
}
// -----
moe.model @quotient(%image: image[1, 8, 8]) {
  %f = flatten %image
  // expected-error@+1 {{expected a finite number of 32-bit floating point, found 1 / 0 in '1.0 / (size(%f, 0) - 64)'}}
  %y = mul %f, 1.0 / (size(%f, 0) - 64)
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 8, 8]}}
moe.model @rest(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected a multiple of 5 elements a sample for '[5, -1]', found [1, 8, 8]}}
  %y = reshape %image to [5, -1]
  return logits = %y
}
// -----
moe.model @two(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected one size of -1 in a shape, found two in '[-1, -1]'}}
  %y = reshape %image to [-1, -1]
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [1, 8, 8]}}
moe.model @inner(%image: image[1, 8, 8]) {
  // expected-note@+1 {{made here: [3, 2]}}
  %w = param @w [3, 2] normal(1.0)
  // expected-error@+1 {{expected matrices [.., m, k] and [.., k, n], or vectors [k] in their place, found [1, 8, 8] and [3, 2]}}
  %y = matmul %image, %w
  return logits = %y
}
// -----
// expected-note@+1 {{made here: [3, 8, 8]}}
moe.model @before(%image: image[3, 8, 8]) {
  // expected-note@+1 {{made here: [2, 8, 2]}}
  %w = param @w [2, 8, 2] normal(1.0)
  // expected-error@+1 {{expected equal sizes, or 1, in the axes before those that are multiplied, found [3, 8, 8] and [2, 8, 2]}}
  %y = matmul %image, %w
  return logits = %y
}
// -----
moe.model @floor(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected 'eps' above 0 whose square 32-bit floating point holds, found 1e-30}}
  %y = normalize %image eps = 1e-30
  return logits = %y
}
// -----
moe.model @bounds(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected 'min' of at most 'max', found 2 and 1}}
  %y = clamp %image min = 2, max = 1
  return logits = %y
}
// -----
moe.model @alone(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected a value among the operands of 'mul', found numbers alone; write their result where it is used}}
  %y = mul 2, 3
  return logits = %y
}
// -----
moe.model @open(%image: image[1, 8, 8]) {
  // expected-error@+1 {{expected 'min', 'max' or both, found neither: write 'clamp %x min = 0'}}
  %y = clamp %image
  return logits = %y
}
// -----
// expected-error@+1 {{expected a number, or one for each of 3 channels as 'mean', found 2}}
moe.model @channels(%image: image[3, 8, 8] mean [0.5, 0.5]) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected numbers above 0 as 'deviation', found 0}}
moe.model @deviation(%image: image[3, 8, 8] deviation [0.5, 0.0, 1.0]) {
  return logits = %image
}
// -----
// A list is for an image's mean and deviation. Three numbers are also those of an image in grey; other lists have one for each channel.
// expected-error@+1 {{expected a number, or one for each of 2 channels as 'mean', found 3}}
moe.model @two<mean: numbers = [0.1, 0.2, 0.3]>(%image: image[2, 8, 8] mean mean) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected a number, or one for each of 1 channels as 'mean', found 2}}
moe.model @grey<mean: numbers = [0.1, 0.2]>(%image: image[1, 8, 8] mean mean) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected numbers above 0 as 'deviation', found 0}}
moe.model @zero<deviation: numbers = [0.1, 0, 0.3]>(%image: image[3, 8, 8] deviation deviation) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected at least one number in a list, found '[]'}}
moe.model @none<mean: numbers = []>(%image: image[3, 8, 8] mean mean) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected a number, found '[0.2, 0.3]'}}
moe.model @nested<mean: numbers = [0.1, [0.2, 0.3]]>(%image: image[3, 8, 8] mean mean) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected a size, found 'mean', which is the list [0.1, 0.2]}}
moe.model @extent<mean: numbers = [0.1, 0.2]>(%image: image[mean, 8, 8]) {
  return logits = %image
}
// -----
moe.model @scale<mean: numbers = [0.1, 0.2, 0.3]>(%image: image[3, 8, 8]) {
  // expected-error@+1 {{expected a number, found 'mean', which is the list [0.1, 0.2, 0.3]; an image's 'mean' and 'deviation' take lists}}
  %y = mul %image, mean
  return logits = %y
}
