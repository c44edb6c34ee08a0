// RUN: moe-opt %s --moe-elaborate | FileCheck %s
// Hyperfan-in of what has no fan-in of its own: a norm's scale multiplies one element, its bias shares the
// output's variance, and a plain parameter is used as it is. Bounds are sqrt(3 / (b inputs width)), width 6.

// CHECK-DAG: flow.parameter "hyper.out.ln.weight.weight" uniform(-5.000000e-01, 5.000000e-01) : tensor<4x6xf32>
// CHECK-DAG: flow.parameter "hyper.out.ln.bias.weight" uniform(-5.000000e-01, 5.000000e-01) : tensor<4x6xf32>
// CHECK-DAG: flow.parameter "hyper.out.scale.weight" uniform(-0.70710678118654757, 0.70710678118654757) : tensor<4x6xf32>
// CHECK-DAG: flow.parameter "hyper.out.fc.weight.weight" uniform(-2.500000e-01, 2.500000e-01) : tensor<40x6xf32>
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 6
  yield %h
}
moe.layer @Target(%z) {
  %l = layer_norm @ln(%z)
  %s = param @scale [4] ones
  %m = mul %l, %s
  %y = linear @fc(%m) to 10
  yield %y
}
moe.model @m(%v: vector[4]) {
  %keys = param @keys [3, 4] normal(1.0)
  %r = route @near(%v) distance, keys = %keys
  %theta = hyper @hyper(%keys) trunk @Trunk for @Target init hyperfan_in
  %e = experts @experts(%v) layer @Target weights %theta
  %y = combine %r, %e
  return logits = %y
}
