// RUN: moe-opt %s --moe-elaborate | FileCheck %s
// RUN: moe-opt %s --moe-elaborate="define=inner=@Set" | FileCheck %s --check-prefix=SET
// `init torch` is torch's reset_parameters, within 1 / sqrt(fan-in), whatever the model's defaults are; each rule stands for one
// tensor, and the other keeps the default's. An expert counts its own inputs.

// CHECK-DAG: flow.parameter "both.weight" uniform(-2.500000e-01, 2.500000e-01) : tensor<4x16xf32>
// CHECK-DAG: flow.parameter "both.bias" uniform(-2.500000e-01, 2.500000e-01) : tensor<4xf32>
// CHECK-DAG: flow.parameter "first.weight" uniform(-2.500000e-01, 2.500000e-01) : tensor<4x16xf32>
// CHECK-DAG: flow.parameter "first.bias" constant(0.000000e+00) : tensor<4xf32>
// CHECK-DAG: flow.parameter "second.weight" constant(1.000000e+00) : tensor<4x16xf32>
// CHECK-DAG: flow.parameter "second.bias" uniform(-2.500000e-01, 2.500000e-01) : tensor<4xf32>
// CHECK-DAG: flow.parameter "maps.weight" uniform(-1.250000e-01, 1.250000e-01) : tensor<2x4x4x4xf32>
// CHECK-DAG: flow.parameter "maps.bias" uniform(-1.250000e-01, 1.250000e-01) : tensor<2xf32>
// CHECK-DAG: flow.parameter "experts.fc.weight" uniform(-2.500000e-01, 2.500000e-01) : tensor<3x4x16xf32>
// CHECK-DAG: flow.parameter "experts.fc.bias" uniform(-2.500000e-01, 2.500000e-01) : tensor<3x4xf32>
// SET-DAG: flow.parameter "experts.fc.weight" normal(0.000000e+00, 5.000000e-01) : tensor<3x4x16xf32>
// SET-DAG: flow.parameter "experts.fc.bias" constant(0.000000e+00) : tensor<3x4xf32>
moe.layer @Torch(%x) {
  %y = linear @fc(%x) to 4 init torch, torch
  yield %y
}
moe.layer @Set(%x) {
  %y = linear @fc(%x) to 4 init normal(0.5)
  yield %y
}
moe.model @m<@inner = @Torch>(%x: vector[16], %image: image[4, 4, 4]) {
  default linear ones, zeros
  default conv ones, zeros
  %b = linear @both(%x) to 4 init torch, torch
  %f = linear @first(%x) to 4 init torch
  %s = linear @second(%x) to 4 init ones, torch
  %c = conv @maps(%image) kernel = 4, pad = 0 to 2 init torch, torch
  %v = mean %c
  %r = route @gate(%x) linear, experts = 3
  %e = experts @experts(%x) count = 3 layer @inner
  %m = combine %r, %e
  %bf = add %b, %f
  %sm = add %s, %m
  %l = add %bf, %sm
  %y = add %l, %v
  return logits = %y
}
