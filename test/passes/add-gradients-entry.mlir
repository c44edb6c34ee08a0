// An inference entry beside training: the losses, and the gradient of each parameter instead of an update.
// RUN: moe-opt %s --moe-add-gradients-entry | FileCheck %s

// The program records the choice; the training entry is as it was.
// CHECK: flow.program @p attributes {config = {gradients = "yes"}}
// CHECK: flow.entry @train train {
// CHECK: flow.assign "w"
// CHECK: flow.entry @gradients infer {
// CHECK: %[[W:.*]] = flow.parameter "w"
// CHECK: %[[L:.*]] = flow.reduce sum
// CHECK: flow.output "loss" %[[L]]
// CHECK: %[[G:.*]] = flow.grad %[[L]] wrt(%[[W]])
// CHECK: flow.output "grad.w" %[[G]]
// The update's ops went with the assignment.
// CHECK-NOT: flow.sub
// CHECK-NOT: flow.assign
flow.program @p {
  flow.entry @train train {
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    %e = flow.exp %w : tensor<4xf32>
    %loss = flow.reduce sum %e over [0] : tensor<4xf32> -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %g = flow.grad %loss wrt(%w) : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
    %n = flow.sub %w, %g : tensor<4xf32>
    flow.assign "w" %n : tensor<4xf32>
  }
}
