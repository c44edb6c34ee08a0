// Every group's ops where the group was.
// RUN: moe-opt %s --moe-inline-groups | FileCheck %s
// Forming groups and inlining them gives a program of the same ops.
// RUN: moe-opt %s --moe-inline-groups --moe-form-groups --moe-inline-groups | FileCheck %s

// CHECK: %[[X:.*]] = flow.input "x"
// CHECK: %[[C:.*]] = flow.constant 2.000000e+00
// CHECK: %[[M:.*]] = flow.mul %[[X]], %[[C]]
// CHECK: %[[E:.*]] = flow.exp %[[M]]
// CHECK: flow.output "y" %[[E]]
// CHECK-NOT: flow.group
flow.program @p {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %m = flow.group(%x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%a: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %c = flow.constant 2.0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
      %0 = flow.mul %a, %c : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    %y = flow.group(%m) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%a: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %0 = flow.exp %a : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    flow.output "y" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
}
