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

// -----

// A parameter at which no derivative of any loss arrives stays as it is; what an entry of inference computes with it does not matter.
flow.program @untrained {
  flow.entry @train train {
    // expected-warning @below {{parameter 'x' is not trained by entry 'train': no derivative of the loss arrives at it}}
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    %w = flow.parameter "w" constant(0.5) : tensor<f32>
    %v = flow.parameter "v" constant(0.5) : tensor<f32>
    %s = flow.stop_gradient %x : tensor<f32>
    %y = flow.mul %s, %w : tensor<f32>
    %z = flow.exp %v : tensor<f32>
    %g, %h, %i = flow.grad %y wrt(%x, %w, %v) : (tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<f32>)
    %j = flow.grad %z wrt(%v) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    flow.output "g" %g : tensor<f32>
    flow.output "h" %h : tensor<f32>
    flow.output "i" %i : tensor<f32>
    flow.output "j" %j : tensor<f32>
  }
  flow.entry @main infer {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    flow.output "x" %x : tensor<f32>
  }
}
