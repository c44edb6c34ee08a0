// RUN: moe-opt --split-input-file --verify-diagnostics --moe-differentiate %s

// Differentiation comes before fusion: a group has no rule of its own.
flow.program @group {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    // expected-error @below {{expected a gradient rule, for the loss depends on it, found none for 'flow.group'; put a stop_gradient before it, or leave it out}}
    %y = flow.group "loop"(%x) : (tensor<f32>) -> tensor<f32> {
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

// Where a joined operand starts must be a number for its gradient to be cut out.
flow.program @concat {
  flow.entry @train train {
    %a = flow.input "a" : tensor<?x2xf32, #flow.dims<[N, 2]>>
    %w = flow.parameter "w" constant(0.5) : tensor<3x2xf32>
    // expected-error @below {{expected constant extents along the joined axis to differentiate it, found N; join along another axis}}
    %c = flow.concat %a, %w along 0 : tensor<?x2xf32, #flow.dims<[N, 2]>>, tensor<3x2xf32> -> tensor<?x2xf32, #flow.dims<[N + 3, 2]>>
    %loss = flow.reduce sum %c over [0, 1] : tensor<?x2xf32, #flow.dims<[N + 3, 2]>> -> tensor<f32>
    %g = flow.grad %loss wrt(%w) : (tensor<f32>, tensor<3x2xf32>) -> tensor<3x2xf32>
    flow.output "g" %g : tensor<3x2xf32>
  }
}
