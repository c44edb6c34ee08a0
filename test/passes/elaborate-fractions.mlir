// RUN: moe-opt %s --moe-elaborate | FileCheck %s
// Where a number is wanted, a fraction of whole numbers is one: as a default, and as an argument by place or by name.
moe.layer @Scaled<by: number = 1 / 8>(%x) {
  %y = mul %x, by
  yield %y
}
// CHECK-LABEL: flow.program @fractions
// CHECK-DAG: flow.constant 2.500000e-01
// CHECK-DAG: flow.constant 1.250000e-01
// CHECK-DAG: flow.constant 0.33333333333333331
// CHECK-DAG: flow.constant 6.250000e-02
moe.model @fractions<q: number = 1 / 4, dim = 16>(%x: vector[16]) {
  %a = mul %x, q
  %b = apply @b(%a) layer @Scaled
  %c = apply @c(%b) layer @Scaled<1 / 3>
  %d = apply @d(%c) layer @Scaled<by = 1 / dim>
  %y = linear @fc(%d) to 3
  return logits = %y
}
