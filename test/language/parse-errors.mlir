// What authors see while a text is read, each at their own line.
// RUN: moe-opt %s --split-input-file --verify-diagnostics

moe.layer @A<dim>(%x) {
  // expected-error@+1 {{unknown op 'liner' (did you mean 'linear'?); docs/ops.md lists all there are}}
  %y = liner @fc(%x) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'linear' owns parameters, so it needs a name: write 'linear @name(...)'}}
  %y = linear (%x) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'attention' has no option 'head' (did you mean 'heads'?); it has: heads, no_qkv_bias}}
  %y = attention @attn(%x) head = 6
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'attention' has no option 'qkv_bias'; write 'no_qkv_bias' to leave out the bias of 'qkv'; 'proj' always has one; it has: heads, no_qkv_bias}}
  %y = attention @attn(%x) heads = 6, qkv_bias = 0
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'attend' has no option 'num_heads'; write 'heads = ...'; it has: heads, scale}}
  %y = attend %x, %x, %x num_heads = 2
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'attend' has no option 'dropout_p'; write 'dropout' behind it; the weights of attention are never dropped; it has: heads, scale}}
  %y = attend %x, %x, %x heads = 2, dropout_p = 0.1
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'route' has no option 'priority'; it has: keys, experts, top, choose, proj, capacity, alignment, noise, eps, select_bias, prioritized, sigmoid, prescore, unnormalized}}
  %r = route @gate(%x) cosine, experts = 6, priority
  yield %r
}
// -----
// expected-error@+1 {{expected image[channels, height, width], vector[length] or index}}
moe.model @m(%x: image[3]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected ': image[channels, height, width]', ': vector[length]' or ': index'}}
moe.model @m(%x) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected ': number' or, for a list, ': numbers'; a parameter without it is a size, and a layer is written '@dim'}}
moe.layer @A<dim: size>(%x) {
  yield %x
}
// -----
// expected-error@+1 {{expected the name of a parameter: 'size', 'rate: number', 'mean: numbers' or '@layer'}}
moe.layer @A<7>(%x) {
  yield %x
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{'attention' needs option 'heads': write 'attention @attn(%x) heads = ...'}}
  %y = attention @attn(%x)
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{option 'top' needs a value}}
  %y = route @gate(%x) cosine, top
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{option 'eps' is given twice}}
  %y = layer_norm @n(%x) eps = 1e-6, eps = 1e-5
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{option 'unscaled' takes no value}}
  %y = select %x top = 1, unscaled = 2
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'linear @fc(%x) to', found the end of the line}}
  %y = linear @fc(%x) to
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{use of undeclared SSA value name}}
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected ',' before option 'unscaled'}}
  %y = select %x top = 1 unscaled
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e400}}
  %y = linear @fc(%x) to 1e400
  yield %y
}
// -----
moe.layer @A<c: number = 3.4e38>(%x) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e39}}
  %y = linear @fc(%x) to 3 init constant(-1e39)
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number of at most 9223372036854775807, found 99999999999999999999}}
  %y = linear @fc(%x) to 99999999999999999999
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number or a name, found '12' followed by a letter; a name cannot begin with a digit}}
  %y = linear @fc(%x) to 12ab
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number after '-'}}
  %y = linear @fc(%x) to - dim
  yield %y
}
// -----
moe.model @m(%x: vector[3]) {
  // expected-error@+1 {{expected a named result: write 'return logits = %value'}}
  return %x
}
// -----
// An attribute that stops early must not lose the rest.
// expected-error@+1 {{expected the end of the expression, found '8'}}
module attributes {moe.a = #moe.expr<7 8>} {}
// -----
// expected-error@+1 {{unknown attribute 'exp' (did you mean 'expr'?)}}
module attributes {moe.a = #moe.exp<7>} {}
// -----
// A name from elsewhere leads to this language's, or to its nearest relative.
moe.layer @A(%x) {
  // expected-error@+1 {{unknown op 'avg_pool' (did you mean 'mean_pool'?); docs/ops.md lists all there are}}
  %y = avg_pool %x kernel = 2
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{unknown op 'batch_norm' (did you mean 'group_norm'?); docs/ops.md lists all there are}}
  %y = batch_norm @bn(%x)
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'group_norm' needs option 'groups': write 'group_norm @n(%x) eps = 1e-6, groups = ...'}}
  %y = group_norm @n(%x) eps = 1e-6
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'dropout' has no option 'rate'; write the rate alone, behind a comma: 'dropout %x, 0.1'}}
  %y = dropout %x, rate = 0.3
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'dropout' has no option 'rate'; write the rate alone, behind a comma: 'dropout %x, 0.1'; and name its value: '%name = dropout ...'}}
  dropout %x, rate = 0.3
  yield %x
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected the end of 'residual' after 'residual %x, %x drop_path = drop', found '='; the options of 'residual' are: drop_path}}
  %y = residual %x, %x drop_path = drop = 3
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no ',' before the options of 'conv': write 'conv @c(%x) kernel = ...'}}
  %y = conv @c(%x), kernel = 3 to 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error-re@+1 {{expected no ',' before the options of 'linear': write 'linear @c(%x) to 8 no_bias'{{$}}}}
  %y = linear @c(%x) to 8, no_bias
  yield %y
}
// -----
// A '=' of the next line is none of the option's.
moe.layer @A(%x) {
  // expected-error-re@+1 {{expected no ',' before the options of 'linear': write 'linear @c(%x) to 8 no_bias'{{$}}}}
  %y = linear @c(%x) to 8, no_bias
  = 3
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error-re@+1 {{expected the end of 'relu' after 'relu %x', found ','{{$}}}}
  %y = relu %x, %x
  yield %y
}
// -----
// Options and words stand in any order; a comma stands between options alone.
moe.layer @A(%x) {
  %y = conv @c(%x) to 8 kernel = 5
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no ',' before 'to': write 'conv @c(%x) kernel = 5 to ...'}}
  %y = conv @c(%x) kernel = 5, to 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no ',' before the options of 'linear': write 'linear @c(%x) to 8 init zeros no_bias'}}
  %y = linear @c(%x) to 8 init zeros, no_bias
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected ',' before option 'stride'}}
  %y = conv @c(%x) kernel = 5 stride = 2 to 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'to' is given twice}}
  %y = conv @c(%x) to 8 kernel = 5 to 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no '=' after 'to': write 'to 8'}}
  %y = conv @c(%x) kernel = 5, to = 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{option 'kernel' needs a value: write 'kernel = ...'}}
  %y = max_pool %x kernel 2
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'conv' has no option 'bias'; a bias is there unless 'no_bias' is written; it has: kernel, stride, pad, groups, no_bias}}
  %y = conv @c(%x) to 8 bias = False
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{'conv' has no option 'padding'; write 'pad = ...', one number for all sides; it has: kernel, stride, pad, groups, no_bias}}
  %y = conv @c(%x) to 8 kernel = 3, padding = 1
  yield %y
}
// -----
// A literal in the place of a value.
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e39}}
  %y = mul %x, 1e39
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number that fits into 32-bit floating point, found 1e-46}}
  %y = add 1e-46, %x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a number after '-'}}
  %y = mul %x, - %x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{unknown size or number 'x'; write '%x'}}
  %y = mul 2, x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list, found '%x'; ops compute with values, and expressions with numbers and sizes such as size(%x, 0)}}
  %y = sub 1 - %x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected the end of 'clamp' after 'clamp %x', found ','; the options of 'clamp' are: min, max}}
  %y = clamp %x, 0, 6
  yield %y
}
// -----
// Sizes of values.
moe.layer @A(%x) {
  // expected-error@+1 {{expected an axis, found 'token' (did you mean 'tokens'?); write tokens (the first), features (the last), experts, or a number such as 0 or -1}}
  %y = mul %x, size(%x, token)
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected an expression without sizes of values, found 'size(%...'; they stand in the expressions of ops, and a layer's header binds sizes by a pattern: (%x: [tokens, dim])}}
  %y = mean %x over size(%x, 0)
  yield %y
}
// -----
// expected-error@+1 {{expected an expression without sizes of values, found 'size(%...'}}
moe.layer @A<dim = size(%x, 0)>(%x) {
  yield %x
}
// -----
// Patterns.
// expected-error@+1 {{expected a pattern of sizes behind ':', such as '[tokens, dim]'; a layer's values have no types}}
moe.layer @A(%x: vector[3]) {
  yield %x
}
// -----
// expected-error@+1 {{expected a size in a pattern, found '@B'}}
moe.layer @A(%x: [@B, 3]) {
  yield %x
}
// -----
// expected-error@+1 {{expected a size in a pattern, found number parameter 'rate'}}
moe.layer @A<rate: number>(%x: [rate, 3]) {
  yield %x
}
// -----
// expected-error@+1 {{unknown size or number 'tokns' (did you mean 'tokens'?)}}
moe.layer @A(%x: [tokens, 2 * tokns]) {
  yield %x
}
// -----
// expected-error@+1 {{expected a layer for '@ffn', found '3'; a size or number is given as 'ffn = ...'}}
moe.layer @A<@ffn = @B<@ffn = 3>>(%x) {
  yield %x
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected at least two values, 'prepend %tokens, %x', found 1}}
  %y = prepend %x
  yield %y
}
// -----
// Pixels.
// expected-error@+1 {{expected 'mean [...]' or 'deviation [...]', or the end of the input, found 'std'; write 'deviation'}}
moe.model @m(%image: image[3, 8, 8] mean 0.5 std 0.5) {
  return logits = %image
}
// -----
// expected-error@+1 {{expected the end of the input; only images have a mean and a deviation, found 'mean'}}
moe.model @m(%v: vector[3] mean 0.5) {
  return logits = %v
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected 'to': write 'linear @fc(%x) to ...'}}
  %y = linear @fc(%x) // behind a comment, at the line of the op and not of the next
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected 'layer': write 'apply @a(%x) layer ...'}}
  %y = apply @a(%x) @B
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a word after 'route @gate(%x)', found the end of the line}}
  %r = route @gate(%x)
  yield %r
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected ',' before option 'experts'}}
  %r = route @gate(%x) linear experts = 3
  yield %r
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no ',' before the options of 'max_pool': write 'max_pool %x kernel = ...'}}
  %y = max_pool %x, kernel = 2
  yield %y
}
// -----
// What a word takes stands on its line, or the next op's first word would be read as it.
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'linear @fc(%x) to', found the end of the line}}
  %y = linear @fc(%x) to
  x = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'linear @fc(%x) to', found the end of the line}}
  %y = linear @fc(%x) to // a comment
  
  // and one of a line of its own
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'conv @c(%x) kernel =', found the end of the line}}
  %y = conv @c(%x) kernel =
  stride to 8
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected an initial value such as 'zeros' after 'linear @fc(%x) to 8 init', found the end of the line}}
  %y = linear @fc(%x) to 8 init
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a layer such as '@Mlp<64>' after 'apply @a(%x) layer', found the end of the line}}
  %y = apply @a(%x) layer
  @B
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected axes such as 'pixels' after 'mean %x over', found the end of the line}}
  %y = mean %x over
  z = relu %x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'reverse_gradient %x by', found the end of the line}}
  %y = reverse_gradient %x by
  dann
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'dropout %x,', found the end of the line}}
  %y = dropout %x,
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a size, a number, a layer or a list after 'param @p [3, 4]', found the end of the line}}
  %y = param @p [3, 4]
  %z = relu %y
  yield %y
}
// -----
// Behind a bracket an op goes on in the next line, and so its options are read.
moe.layer @A(%x) {
  // expected-error@+2 {{'route' has no option 'export'}}
  %r = route @gate(%x)
       linear, export = 3
  yield %r
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a word after 'chain @c(%x) [@B] ramp', found the end of the line}}
  %y = chain @c(%x) [@B] ramp
  drop from 0.0 to 0.1
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a value after 'relu', found the end of the line}}
  %y = relu
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a value after 'add %x,', found the end of the line}}
  %y = add %x,
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a value after 'experts @e(%x) layer @B weights', found the end of the line}}
  %y = experts @e(%x) layer @B weights
  %z = relu %y
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected a value after 'aux @loss', found the end of the line}}
  aux @loss
  expose @f %x
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected ')' after '(3', found ','; a list stands in brackets: [2, 3]}}
  %y = param @p (3, 4) zeros
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected the end of the op after 'hyper @h(%x) trunk @T', found 'of'}}
  %y = hyper @h(%x) trunk @T of @B
  yield %y
}
// -----
// After a bracket or a comma an op may go on in the next line.
moe.layer @B(%x)
moe.layer @A(%x) {
  %a = chain @c(%x)
       [@B,
        2 * @B]
  %y = dropout %a,
       0.5
  yield %y
}
// -----
moe.model @m(%x: vector[4]) {
  %y = linear @a(%x) to 3
  // expected-error@+1 {{expected values alone, found 'domain = '; here they are told apart by their order: write '0.5'}}
  aux @tie cross_entropy %y, domain = 0.5
  return logits = %y
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{option 'choose' takes 'rows by ...'}}
  %r = route @gate(%x) linear, experts = 4, choose = images
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{option 'choose' takes 'rows by ...', found no word behind it}}
  %r = route @gate(%x) linear, experts = 4, choose = rows by 4
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{option 'select_bias' is given twice}}
  %r = route @gate(%x) linear, experts = 4, select_bias = %x, select_bias = %x
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{'with' is given twice}}
  %r = chain @c(%x) [2 * @L] with %x with %x
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{expected the kind of 'route' before its options: write 'route ... cosine, ...'}}
  %r = route @gate(%x) linear, top = 1, cosine, experts = 4
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{expected the kind of 'route' before its options: write 'route ... distance', or 'route ... linear', or 'route ... cosine'}}
  %r = route @gate(%x) top = 1, cosine, experts = 4
  yield %r
}
// -----
moe.layer @L(%x) {
  // expected-error@+1 {{expected the kind of 'route' before its options: write 'route ... distance', or 'route ... linear', or 'route ... cosine'}}
  %r = route @gate(%x) prioritized, linear, experts = 4
  yield %r
}
