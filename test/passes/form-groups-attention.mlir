// Attention is the root of a group of its own, which does not yield a result that nothing reads. Heads of more features than a target's
// kernel takes become the ops that attention is made of.
// RUN: moe-opt %s --moe-form-groups=target=cpu:x86-64-v3 | FileCheck %s
// RUN: moe-opt %s --moe-form-groups=target=emulator:sm_90a | FileCheck %s
// A model with three attentions over 50 tokens has no value of 50 x 50 numbers, forward or backward, and keeps attention's results.
// RUN: moec compile %root/test/witness/inputs/vit.mlir --to=fuse --target=cpu:x86-64-v3 --target=emulator:sm_90a > %t
// RUN: ! grep "50x50\|50, 50" %t
// RUN: grep -c "flow.attention_grad" %t | FileCheck %s --check-prefix=SIX
// RUN: FileCheck %s --check-prefix=KEPT < %t
// SIX: {{^6$}}
// KEPT: op = "flow.attention", path = "blocks.0.attn", why = "attention's result, or the sums of its rows"

// CHECK-LABEL: flow.entry @small
// CHECK: %[[G:.*]] = flow.group(%{{.*}}) : (tensor<2x5x24xf32>) -> tensor<2x5x8xf32>
// CHECK-NEXT: ^bb0
// CHECK-NEXT: %[[Y:.*]], %{{.*}} = flow.attention %{{.*}} heads 2
// CHECK-NEXT: flow.yield %[[Y]]
// CHECK: flow.group(%[[G]])
// CHECK: flow.relu
// CHECK-LABEL: flow.entry @large
// CHECK-NOT: flow.attention
// CHECK: flow.contract
// CHECK: flow.reduce max
// CHECK: flow.contract
// CHECK-NOT: flow.attention
flow.program @p {
  flow.entry @small infer {
    %x = flow.input "x" : tensor<2x5x24xf32>
    %y, %s = flow.attention %x heads 2 scale 0.5 : (tensor<2x5x24xf32>) -> (tensor<2x5x8xf32>, tensor<2x5x2xf32>)
    %r = flow.relu %y : tensor<2x5x8xf32>
    flow.output "y" %r : tensor<2x5x8xf32>
  }
  flow.entry @large infer {
    %x = flow.input "x" : tensor<2x5x3075xf32>
    %y, %s = flow.attention %x heads 1 scale 0.5 : (tensor<2x5x3075xf32>) -> (tensor<2x5x1025xf32>, tensor<2x5x1xf32>)
    flow.output "y" %y : tensor<2x5x1025xf32>
  }
}
