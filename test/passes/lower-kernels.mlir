// A target's kernels become bytes that the target carries; the functions are gone.
// RUN: moe-opt %s --moe-lower-to-plan --moe-lower-kernels | FileCheck %s
// RUN: moe-opt %s --moe-lower-to-plan --moe-lower-kernels -o %t.1
// RUN: moe-opt %s --moe-lower-to-plan --moe-lower-kernels -o %t.2
// RUN: cmp %t.1 %t.2

// CHECK: target cpu "cpu" level "x86-64-v3" features [{{.*}}] elements 2147483647 code dense_resource<code0> : tensor<{{.*}}xi8> {
// CHECK: kernel @
// CHECK-NOT: func.func
// CHECK: code0: "0x40000000{{7F454C46}}
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %y = flow.group(%x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%a: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %0 = flow.exp %a : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    flow.output "y" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
} }
