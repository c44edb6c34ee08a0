// What cannot be planned, and who is told.
// RUN: moe-opt %s --moe-lower-to-plan=target=cpu:x86-64-v3 --split-input-file --verify-diagnostics

flow.program @loose {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    // expected-error @+1 {{expected to be inside a group when an entry is planned}}
    %y = flow.exp %x : tensor<4xf32>
    flow.output "y" %y : tensor<4xf32>
  }
}
// -----
flow.program @shapes {
  flow.entry @a infer {
    // expected-note @+1 {{it differs here}}
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    flow.output "y" %w : tensor<4xf32>
  }
  flow.entry @b infer {
    // expected-error @+1 {{expected 'w' with one shape and initial rule in all entries}}
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<5xf32>
    flow.output "y" %w : tensor<5xf32>
  }
}
// -----
// The two paths have one FNV-1a hash: their numbers would be the same.
flow.program @streams {
  flow.entry @a infer {
    %v = flow.parameter "costarring" uniform(-0.5, 0.5) : tensor<4xf32>
    // expected-error @+1 {{expected a path whose random stream is its own, found 'liquid' with that of 'costarring'; rename one}}
    %w = flow.parameter "liquid" uniform(-0.5, 0.5) : tensor<4xf32>
    flow.output "v" %v : tensor<4xf32>
    flow.output "w" %w : tensor<4xf32>
  }
}
// -----
flow.program @scalars {
  flow.entry @a infer {
    %x = flow.input "x" : tensor<f32>
    %y = flow.group "loop"(%x) : (tensor<f32>) -> tensor<f32> {
    ^bb0(%a: tensor<f32>):
      // expected-note @+1 {{it differs here}}
      %r = flow.scalar "rate" recipe, 0.5 : tensor<f32>
      // expected-error @+1 {{expected 'rate' with one kind and fallback everywhere}}
      %s = flow.scalar "rate" recipe, 0.25 : tensor<f32>
      %m = flow.mul %r, %s : tensor<f32>
      %n = flow.mul %m, %a : tensor<f32>
      flow.yield %n : tensor<f32>
    }
    flow.output "y" %y : tensor<f32>
  }
}
