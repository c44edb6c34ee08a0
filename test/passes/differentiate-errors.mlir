// RUN: moe-opt --split-input-file --verify-diagnostics --moe-differentiate %s

// Differentiation comes before fusion: a group has no rule of its own.
flow.program @group {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    // expected-error @below {{expected a gradient rule, for the loss depends on it, found none for 'flow.group'; put a stop_gradient before it, or leave it out}}
    %y = flow.group(%x) : (tensor<f32>) -> tensor<f32> {
    ^bb0(%a: tensor<f32>):
      %e = flow.exp %a : tensor<f32>
      flow.yield %e : tensor<f32>
    }
    // expected-note @below {{differentiated here}}
    %g = flow.grad %y wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    flow.output "g" %g : tensor<f32>
  }
}
