// Views and constants at an entry's boundary: no group has them as a result unless fusion writes one for them.
// RUN: moe-opt %s --moe-form-groups --split-input-file | FileCheck %s
// RUN: moe-opt %s --moe-form-groups=target=cpu:x86-64-v3 --moe-lower-to-plan --split-input-file | FileCheck %s --check-prefix=PLAN
// RUN: moe-opt %s --moe-form-groups --moe-inline-groups --split-input-file | FileCheck %s --check-prefix=INLINED

// Each kind of view and constant is written by a loop for its expose, beside the loop that reads the same transpose for
// free. In the plan a flow.expose has nowhere to go, so what only one needs is not launched.
// CHECK-LABEL: flow.program @exposed
// CHECK:      flow.group()
// CHECK-NEXT: flow.scalar
// CHECK:      %[[VIEWS:.*]]:2 = flow.group(%[[X:[0-9]+]]) :
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.slice
// CHECK-NEXT: flow.transpose
// CHECK-NEXT: flow.yield
// CHECK:      %[[CONSTANT:.*]] = flow.group()
// CHECK-NEXT: flow.constant
// CHECK:      %[[IOTA:.*]] = flow.group()
// CHECK-NEXT: flow.iota
// CHECK:      %[[COPIES:.*]] = flow.group(%[[W:[0-9]+]]) :
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK:      %[[SIZE:.*]] = flow.group()
// CHECK-NEXT: flow.extent
// CHECK:      %[[Y:.*]]:2 = flow.group(%[[X]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.transpose
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.transpose
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.yield
// CHECK:      %[[TURNED:.*]] = flow.group(%[[Y]]#0)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.transpose
// CHECK-NOT:  flow.group
// CHECK:      flow.expose "input" %[[X]]
// CHECK-NEXT: flow.expose "weight" %[[W]]
// CHECK-NEXT: flow.expose "slice" %[[VIEWS]]#0
// CHECK-NEXT: flow.expose "transpose" %[[VIEWS]]#1
// CHECK-NEXT: %[[FLAT:.*]] = flow.reshape %[[VIEWS]]#1
// CHECK-NEXT: flow.expose "flat" %[[FLAT]]
// CHECK-NEXT: %[[SAME:.*]] = flow.reshape %[[X]]
// CHECK-NEXT: flow.expose "same" %[[SAME]]
// CHECK-NEXT: flow.expose "constant" %[[CONSTANT]]
// CHECK-NEXT: flow.expose "iota" %[[IOTA]]
// CHECK-NEXT: flow.expose "copies" %[[COPIES]]
// CHECK-NEXT: flow.expose "size" %[[SIZE]]
// CHECK-NEXT: flow.expose "rate"
// CHECK-NEXT: flow.expose "turned" %[[TURNED]]
// CHECK-NEXT: flow.expose "sum" %[[Y]]#1
// CHECK-NEXT: flow.output "y" %[[Y]]#1
// PLAN-LABEL: plan.program "exposed"
// PLAN: plan "main" {
// PLAN: launch @
// PLAN-SAME: flops D * N * 64
// PLAN-NOT: launch
// INLINED-LABEL: flow.program @exposed
// INLINED-NOT: flow.group
// INLINED: flow.expose "sum"
!x = tensor<?x8x4xf32, #flow.dims<[B, 8, 4]>>
!t = tensor<?x4x8xf32, #flow.dims<[B, 4, 8]>>
!s = tensor<?x2x4xf32, #flow.dims<[B, 2, 4]>>
!flat = tensor<?x32xf32, #flow.dims<[B, 32]>>
flow.program @exposed {
  flow.entry @main infer {
    %x = flow.input "x" : !x
    %w = flow.parameter "w" constant(0.5) : tensor<8x4xf32>
    %lr = flow.scalar "optimizer.lr" recipe, 0.001 : tensor<f32>
    %slice = flow.slice %x from [0, 1, 0] by [1, 1, 1] : !x -> !s
    %transpose = flow.transpose %x [0, 2, 1] : !x -> !t
    %flat = flow.reshape %transpose : !t -> !flat
    %same = flow.reshape %x : !x -> !flat
    %constant = flow.constant 2.0 : !flat
    %iota = flow.iota 1 : !flat
    %copies = flow.broadcast %w to [1, 2] : tensor<8x4xf32> -> !x
    %size = flow.extent B : tensor<f32>
    %y = flow.exp %x : !x
    %turned = flow.transpose %y [0, 2, 1] : !x -> !t
    %sum = flow.add %transpose, %turned : !t
    flow.expose "input" %x : !x
    flow.expose "weight" %w : tensor<8x4xf32>
    flow.expose "slice" %slice : !s
    flow.expose "transpose" %transpose : !t
    flow.expose "flat" %flat : !flat
    flow.expose "same" %same : !flat
    flow.expose "constant" %constant : !flat
    flow.expose "iota" %iota : !flat
    flow.expose "copies" %copies : !x
    flow.expose "size" %size : tensor<f32>
    flow.expose "rate" %lr : tensor<f32>
    flow.expose "turned" %turned : !t
    flow.expose "sum" %sum : !t
    flow.output "y" %sum : !t
  }
}

// -----
// The same at the other ends of an entry: outputs, assignments and a contraction's operands.
// CHECK-LABEL: flow.program @others
// CHECK:      flow.group(%[[X:[0-9]+]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.slice
// CHECK-NEXT: flow.yield
// CHECK:      flow.group()
// CHECK-NEXT: flow.constant
// CHECK-NEXT: flow.yield
// CHECK:      flow.group()
// CHECK-NEXT: flow.constant
// CHECK-NEXT: flow.yield
// CHECK:      flow.group(%[[W:[0-9]+]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.transpose
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NOT:  flow.group
// CHECK:      flow.output "ones"
// CHECK-NEXT: flow.output "same" %[[X]]
// CHECK-NEXT: flow.output "y"
// CHECK-NEXT: flow.assign "w"
// CHECK-NEXT: flow.assign "v" %[[X]]
// CHECK-NEXT: flow.expose
// PLAN-LABEL: plan.program "others"
// PLAN: plan "main" {
// Two of the eight launches need no kernel: a constant is filled, an input copied.
// PLAN-COUNT-8: launch{{ @|\(}}
// PLAN-NOT: launch
// INLINED-LABEL: flow.program @others
// INLINED-NOT: flow.group
flow.program @others {
  flow.entry @main train {
    %x = flow.input "x" : tensor<4x4xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<4x4xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<4x4xf32>
    %slice = flow.slice %x from [0, 1] by [1, 1] : tensor<4x4xf32> -> tensor<4x2xf32>
    %half = flow.constant 0.5 : tensor<2x4xf32>
    %ones = flow.constant 1.0 : tensor<4x4xf32>
    %t = flow.transpose %w [1, 0] : tensor<4x4xf32> -> tensor<4x4xf32>
    %y = flow.contract %slice [0, 1], %half [1, 2] -> [0, 2] : tensor<4x2xf32>, tensor<2x4xf32> -> tensor<4x4xf32>
    flow.output "ones" %ones : tensor<4x4xf32>
    flow.output "same" %x : tensor<4x4xf32>
    flow.output "y" %y : tensor<4x4xf32>
    flow.assign "w" %t : tensor<4x4xf32>
    flow.assign "v" %x : tensor<4x4xf32>
    flow.expose "t" %t : tensor<4x4xf32>
  }
}

// -----
// A contraction that only an expose needs is no work of the program, nor is its operand's.
// CHECK-LABEL: flow.program @dead
// CHECK: flow.group
// PLAN-LABEL: plan.program "dead"
// PLAN: plan "main" {
// PLAN-COUNT-1: launch @
// PLAN-NOT: launch
flow.program @dead {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" constant(0.5) : tensor<4x4xf32>
    %e = flow.exp %x : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %y = flow.contract %e [0, 1], %w [1, 2] -> [0, 2] : tensor<?x4xf32, #flow.dims<[B, 4]>>, tensor<4x4xf32> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    %z = flow.neg %x : tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.expose "y" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "z" %z : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
}
