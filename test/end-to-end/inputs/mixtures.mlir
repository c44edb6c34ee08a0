// Two mixtures: experts of their own, with a convolution in each; and experts that a hypernetwork writes. All
// auxiliary losses, shared and frozen parameters.
moe.layer @Conv(%x) {
  %c = conv @conv(%x) kernel = 3, stride = 2, pad = 1 to 4
  %t = tanh %c
  %m = mean %t over pixels
  %n = layer_norm @norm(%m)
  %y = linear @fc(%n) to 3
  yield %y
}
moe.layer @Two(%z) {
  %h = linear @fc1(%z) to 5
  %a = relu %h
  %y = linear @fc2(%a) to 3
  yield %y
}
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 6
  %y = silu %h
  yield %y
}
moe.layer @Constant(%x) {
  %p = param @p [3] normal(1.0)
  %d = mean %x
  %q = mul %p, %d
  yield %p, %q
}
moe.model @mixtures(%image: image[2, 6, 8]) {
  %flat  = flatten %image
  %v     = linear @encode(%flat) to 4
  %keys  = param @keys [3, 4] normal(1.0)
  %near  = route @near(%v) distance, keys = %keys, eps = 1e-3
  %theta = hyper @hyper(%keys) trunk @Trunk for @Two init hyperfan_in
  %two   = experts @written(%v) layer @Two weights %theta
  %one   = combine %near, %two
  %open  = route @open(%flat) linear, experts = 5
  %convs = experts @convs(%image) layer @Conv count = 5
  %other = combine %open, %convs
  %even  = mean %convs over experts
  %fixed = linear frozen @fixed(%v) to 4
  %once  = linear @twice(%fixed) to 4
  %again = linear shared @twice(%once) to 4
  %rev   = reverse_gradient %again by 0.5
  %guess = linear @guess(%rev) to 3
  %given, %more = experts @given(%v) layer @Constant count = 5
  %alike = combine %open, %given
  %third = add %other, %alike
  %sum   = add %one, %third
  %y     = add %sum, %even
  %size  = mul %y, %y
  %l2    = mean %size
  aux @entropy entropy %near, 0.5
  aux @balance balance_kl %open, 2.0
  aux @domain cross_entropy %near, domain, 1.0
  aux @label cross_entropy %guess, label, 0.25
  aux @small %l2, 0.125
  return logits = %y
}
