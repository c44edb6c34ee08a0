// The mixture: every expert on every row as one contraction, weights that a hypernetwork writes, losses with weights that
// the recipe may change, and nothing left of a loss whose weight is zero.
// RUN: moe-opt %s --moe-elaborate | FileCheck %s
// RUN: moe-opt %s --moe-elaborate="define=ad=0 define=en=0" | FileCheck %s --check-prefix=ZERO

// ZERO-NOT: adversary
// ZERO-NOT: entropy
// ZERO-NOT: reverse_gradient
// ZERO: flow.entry @main

// What a cross entropy compares with, and how many labels its scores tell apart, is recorded under the loss's own name.
// CHECK:       flow.program @m attributes {config = {ad = "{{.*}}", aux.adversary.labels = "label 3", aux.tie.labels = "domain 5", en =
// ZERO-NOT:    aux.adversary.labels
// CHECK-LABEL: flow.entry @train
// CHECK:       flow.parameter "keys" normal(0.000000e+00, 1.000000e+00) : tensor<5x8xf32>
// CHECK:       flow.parameter "hyper.trunk.fc.weight"
// 1 / (2 * 4 * 6) is the variance of the weights that write a weight, 1 / (2 * 6) of those that write a bias.
// CHECK:       %[[OUT:.*]] = flow.parameter "hyper.out.fc.weight.weight" uniform(-2.500000e-01, 2.500000e-01) : tensor<12x6xf32>
// CHECK:       flow.parameter "hyper.out.fc.weight.bias" constant(0.000000e+00) : tensor<12xf32>
// CHECK:       flow.parameter "hyper.out.fc.bias.weight" uniform(-5.000000e-01, 5.000000e-01) : tensor<3x6xf32>
// CHECK:       flow.parameter "hyper.out.fc.bias.bias" constant(0.000000e+00) : tensor<3xf32>
// CHECK:       %[[PROGRESS:.*]] = flow.scalar "progress" progress
// CHECK:       %[[EN:.*]] = flow.scalar "aux.entropy" recipe, 2.000000e+00 : tensor<f32>
// CHECK:       flow.parameter "adversary.fc.weight"
// CHECK:       flow.scalar "aux.adversary" recipe, 1.000000e-02 : tensor<f32>
// CHECK:       flow.contract {{.*}}, %[[OUT]] [2, 1] -> [0, 2] : tensor<5x6xf32>, tensor<12x6xf32> -> tensor<5x12xf32>
// CHECK:       flow.reshape {{.*}} : tensor<5x12xf32> -> tensor<5x3x4xf32>
// CHECK:       flow.contract {{.*}} -> tensor<5x?x3xf32, #flow.dims<[5, B, 3]>>
// CHECK:       flow.contract {{.*}} tensor<5x?x3xf32, #flow.dims<[5, B, 3]>> -> tensor<?x3xf32, #flow.dims<[B, 3]>>
// CHECK:       flow.reverse_gradient
// CHECK-DAG:   flow.output "loss.erm"
// CHECK-DAG:   flow.output "loss.entropy"
// CHECK-DAG:   flow.output "loss.balance"
// CHECK-DAG:   flow.output "loss.adversary"
// CHECK-DAG:   flow.output "gate_balance.gate" {{.*}} : tensor<5xf32>
// CHECK-LABEL: flow.entry @main infer
// CHECK-NOT:   adversary
// CHECK-NOT:   reverse_gradient
// CHECK:       flow.output "logits"
moe.layer @Classifier<classes>(%z) {
  %y = linear @fc(%z) to classes
  yield %y
}
moe.layer @Trunk(%e) {
  %h = linear @fc(%e) to 6
  yield %h
}
moe.model @m<en: number = 2.0, ad: number = 0.01>(%z: vector[4], %v: vector[8]) {
  %keys  = param @keys [5, 8] normal(1.0)
  %route = route @gate(%v) distance, keys = %keys
  %theta = hyper @hyper(%keys) trunk @Trunk for @Classifier<3> init hyperfan_in
  %each  = experts @classifiers(%z) layer @Classifier<3> weights %theta
  %mixed = combine %route, %each
  aux @entropy entropy %route, en * ramp(0, 1, until = 0.5)
  aux @balance balance_kl %route, 1.0
  %w     = linear @encode(%v) to 8
  %rev   = reverse_gradient %w by dann
  %guess = apply @adversary(%rev) layer @Classifier<3>
  aux @adversary cross_entropy %guess, label, ad
  aux @tie cross_entropy %route, domain, 0.5
  return logits = %mixed
}
