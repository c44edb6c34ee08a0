// What cannot be planned, and who is told.
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file --verify-diagnostics

flow.program @loose { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    // expected-error @+1 {{expected to be inside a group when an entry is planned}}
    %y = flow.exp %x : tensor<4xf32>
    flow.output "y" %y : tensor<4xf32>
  }
} }
// -----
flow.program @shapes { flow.target "cpu:x86-64-v3" {
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
} }
// -----
// The two paths have one FNV-1a hash: their numbers would be the same.
flow.program @streams { flow.target "cpu:x86-64-v3" {
  flow.entry @a infer {
    %v = flow.parameter "costarring" uniform(-0.5, 0.5) : tensor<4xf32>
    // expected-error @+1 {{expected a path whose random stream is its own, found 'liquid' with that of 'costarring'; rename one}}
    %w = flow.parameter "liquid" uniform(-0.5, 0.5) : tensor<4xf32>
    flow.output "v" %v : tensor<4xf32>
    flow.output "w" %w : tensor<4xf32>
  }
} }
// -----
flow.program @scalars { flow.target "cpu:x86-64-v3" {
  flow.entry @a infer {
    %x = flow.input "x" : tensor<f32>
    %y = flow.group(%x) : (tensor<f32>) -> tensor<f32> {
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
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    // expected-error @+1 {{'flow.group' op expected one op with an emitter of its own, found 'flow.contract' and 'flow.contract'}}
    %r = flow.group(%x, %w) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>) -> tensor<?x64xf32, #flow.dims<[B, 64]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>):
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %z = flow.contract %y[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      flow.yield %z : tensor<?x64xf32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %r = flow.group(%x, %w) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>) -> tensor<?x64xf32, #flow.dims<[B, 64]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>):
      %e = flow.exp %a0 : tensor<?x64xf32, #flow.dims<[B, 64]>>
      // expected-error @+1 {{expected the operands of a contraction to be operands of its group, their transposes, or rows of one of them}}
      %y = flow.contract %e[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      flow.yield %y : tensor<?x64xf32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
} }
// -----
// What may follow it.
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %i = flow.input "i" : tensor<?x64xi32, #flow.dims<[B, 64]>>
    // expected-error @+1 {{expected an epilogue over f32 and masks, found an operand of integers}}
    %r = flow.group(%x, %w, %i) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>, tensor<?x64xi32, #flow.dims<[B, 64]>>) -> tensor<?x64xf32, #flow.dims<[B, 64]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>, %a2: tensor<?x64xi32, #flow.dims<[B, 64]>>):
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %f = flow.convert %a2 : tensor<?x64xi32, #flow.dims<[B, 64]>> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %z = flow.add %y, %f : tensor<?x64xf32, #flow.dims<[B, 64]>>
      flow.yield %z : tensor<?x64xf32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<64x64xf32>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %r = flow.group(%x, %w) : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32> {
    ^bb0(%a0: tensor<64x64xf32>, %a1: tensor<64x64xf32>):
      // expected-error @+1 {{expected its result in place, found it broadcast or transposed in its own group}}
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
      %t = flow.transpose %y [1, 0] : tensor<64x64xf32> -> tensor<64x64xf32>
      %z = flow.add %y, %t : tensor<64x64xf32>
      flow.yield %z : tensor<64x64xf32>
    }
    flow.output "y0" %r : tensor<64x64xf32>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %r = flow.group(%x, %w) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>) -> tensor<?x64xf32, #flow.dims<[B, 64]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>):
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      // expected-error @+1 {{expected an elementwise op, copies along axes, a transpose or a constant after a contraction in its group}}
      %s = flow.reduce sum %y over [1] : tensor<?x64xf32, #flow.dims<[B, 64]>> -> tensor<?xf32, #flow.dims<[B]>>
      %c = flow.broadcast %s to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %z = flow.sub %y, %c : tensor<?x64xf32, #flow.dims<[B, 64]>>
      flow.yield %z : tensor<?x64xf32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %r = flow.group(%x, %w) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>) -> tensor<?xf32, #flow.dims<[B]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>):
      // expected-error @+1 {{expected results of its group to have its shape 'tensor<?x64xf32, #flow.dims<[B, 64]>>', found 'tensor<?xf32, #flow.dims<[B]>>'}}
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %s = flow.reduce sum %y over [1] : tensor<?x64xf32, #flow.dims<[B, 64]>> -> tensor<?xf32, #flow.dims<[B]>>
      flow.yield %s : tensor<?xf32, #flow.dims<[B]>>
    }
    flow.output "y0" %r : tensor<?xf32, #flow.dims<[B]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %r = flow.group(%x, %w) : (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32>) -> tensor<?x64xi32, #flow.dims<[B, 64]>> {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>, %a1: tensor<64x64xf32>):
      // expected-error @+1 {{expected results of its group to be f32 or masks, found 'tensor<?x64xi32, #flow.dims<[B, 64]>>'}}
      %y = flow.contract %a0[0, 1], %a1[2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
      %s = flow.convert %y : tensor<?x64xf32, #flow.dims<[B, 64]>> -> tensor<?x64xi32, #flow.dims<[B, 64]>>
      flow.yield %s : tensor<?x64xi32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r : tensor<?x64xi32, #flow.dims<[B, 64]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4x3x3x3xf32>
    %r = flow.group(%x, %w) : (tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>, tensor<4x3x3x3xf32>) -> tensor<?x4x6x6xf32, #flow.dims<[B, 4, 6, 6]>> {
    ^bb0(%a0: tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>, %a1: tensor<4x3x3x3xf32>):
      %e = flow.exp %a0 : tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>
      // expected-error @+1 {{expected the operands of a convolution to be operands of its group}}
      %y = flow.conv %e, %a1 by [1, 1] pads [0, 0, 0, 0] : tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>, tensor<4x3x3x3xf32> -> tensor<?x4x6x6xf32, #flow.dims<[B, 4, 6, 6]>>
      flow.yield %y : tensor<?x4x6x6xf32, #flow.dims<[B, 4, 6, 6]>>
    }
    flow.output "y0" %r : tensor<?x4x6x6xf32, #flow.dims<[B, 4, 6, 6]>>
  }
} }
// -----
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x3x?x8xf32, #flow.dims<[B, 3, N + 2, 8]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4x3x3x3xf32>
    %r = flow.group(%x, %w) : (tensor<?x3x?x8xf32, #flow.dims<[B, 3, N + 2, 8]>>, tensor<4x3x3x3xf32>) -> tensor<?x4x?x6xf32, #flow.dims<[B, 4, N, 6]>> {
    ^bb0(%a0: tensor<?x3x?x8xf32, #flow.dims<[B, 3, N + 2, 8]>>, %a1: tensor<4x3x3x3xf32>):
      // expected-error @+1 {{expected channels, height and width that are known while compiling, found 'tensor<?x3x?x8xf32, #flow.dims<[B, 3, N + 2, 8]>>'; only the batch may vary}}
      %y = flow.conv %a0, %a1 by [1, 1] pads [0, 0, 0, 0] : tensor<?x3x?x8xf32, #flow.dims<[B, 3, N + 2, 8]>>, tensor<4x3x3x3xf32> -> tensor<?x4x?x6xf32, #flow.dims<[B, 4, N, 6]>>
      flow.yield %y : tensor<?x4x?x6xf32, #flow.dims<[B, 4, N, 6]>>
    }
    flow.output "y0" %r : tensor<?x4x?x6xf32, #flow.dims<[B, 4, N, 6]>>
  }
} }
// -----
// What one loop kernel can be.
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    // expected-error @+1 {{expected every result of a loop group to be another value, found one value as two results}}
    %r:2 = flow.group(%x) : (tensor<?x64xf32, #flow.dims<[B, 64]>>) -> (tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<?x64xf32, #flow.dims<[B, 64]>>) {
    ^bb0(%a0: tensor<?x64xf32, #flow.dims<[B, 64]>>):
      %y = flow.exp %a0 : tensor<?x64xf32, #flow.dims<[B, 64]>>
      flow.yield %y, %y : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<?x64xf32, #flow.dims<[B, 64]>>
    }
    flow.output "y0" %r#0 : tensor<?x64xf32, #flow.dims<[B, 64]>>
    flow.output "y1" %r#1 : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
} }
// -----
// A composite was to be replaced before.
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %i = flow.input "i" : tensor<8xi32>
    %x = flow.input "x" : tensor<8xf32>
    // expected-error @+1 {{expected a group that one kernel can run: 'flow.scatter_add' is for --moe-decompose to replace}}
    %r = flow.group(%i, %x) : (tensor<8xi32>, tensor<8xf32>) -> tensor<3xf32> {
    ^bb0(%a: tensor<8xi32>, %b: tensor<8xf32>):
      %y = flow.scatter_add %a, %b : tensor<8xi32>, tensor<8xf32> -> tensor<3xf32>
      flow.yield %y : tensor<3xf32>
    }
    flow.output "y" %r : tensor<3xf32>
  }
} }
// -----
// One index would run through 2^32 elements that nothing in memory has.
flow.program @large { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<65536xf32>
    %y = flow.group(%x) : (tensor<65536xf32>) -> tensor<f32> {
    ^bb0(%a: tensor<65536xf32>):
      %b = flow.broadcast %a to [0] : tensor<65536xf32> -> tensor<65536x65536xf32>
      // expected-error @+1 {{expected at most 2147483647 elements, which is what a kernel can index, found 4294967296}}
      %r = flow.reshape %b : tensor<65536x65536xf32> -> tensor<4294967296xf32>
      %s = flow.reduce sum %r over [0] : tensor<4294967296xf32> -> tensor<f32>
      flow.yield %s : tensor<f32>
    }
    flow.output "y" %y : tensor<f32>
  }
} }
// -----
// What leaves a sort's group is the sort's.
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<8xi32>
    // expected-error @+1 {{expected each result of a sort's group to be a result of the sort, and no other's}}
    %r:2 = flow.group(%x) : (tensor<8xi32>) -> (tensor<8xi32>, tensor<8xi32>) {
    ^bb0(%a: tensor<8xi32>):
      %order, %offsets, %positions = flow.counting_sort %a : tensor<8xi32> -> tensor<8xi32>, tensor<4xi32>, tensor<8xi32>
      flow.yield %order, %a : tensor<8xi32>, tensor<8xi32>
    }
    flow.output "y" %r#0 : tensor<8xi32>
    flow.output "z" %r#1 : tensor<8xi32>
  }
} }
// -----
// A sort is alone in its group.
flow.program @p { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<8xi32>
    // expected-error @+1 {{expected nothing beside a sort in its group, found 'flow.add'}}
    %r = flow.group(%x) : (tensor<8xi32>) -> tensor<8xi32> {
    ^bb0(%a: tensor<8xi32>):
      %order, %offsets, %positions = flow.counting_sort %a : tensor<8xi32> -> tensor<8xi32>, tensor<4xi32>, tensor<8xi32>
      %y = flow.add %order, %order : tensor<8xi32>
      flow.yield %y : tensor<8xi32>
    }
    flow.output "y" %r : tensor<8xi32>
  }
} }
// -----
// expected-error @+1 {{expected entries inside of a flow.target, which --moe-form-groups makes; found none}}
flow.program @untargeted {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    flow.output "y" %x : tensor<4xf32>
  }
}
// -----
flow.program @unknown {
  // expected-error @+1 {{expected a target 'cpu', 'cpu:x86-64-v3', 'cpu:x86-64-v4', 'cuda:sm_80', 'cuda:sm_90a', 'cuda:sm_100a', 'emulator:sm_80', 'emulator:sm_90a' or 'emulator:sm_100a', found 'abacus'}}
  flow.target "abacus" {
    flow.entry @main infer {
      %x = flow.input "x" : tensor<4xf32>
      flow.output "y" %x : tensor<4xf32>
    }
  }
}
// -----
flow.program @entries {
  // expected-note @+1 {{it differs from this one}}
  flow.target "cpu:x86-64-v3" {
    flow.entry @main infer {
      %x = flow.input "x" : tensor<4xf32>
      flow.output "y" %x : tensor<4xf32>
    }
  }
  // expected-error @+1 {{expected the entries of the other targets}}
  flow.target "cpu:x86-64-v4" {
    flow.entry @other infer {
      %x = flow.input "x" : tensor<4xf32>
      flow.output "y" %x : tensor<4xf32>
    }
  }
}
// -----
// What no target has bound is no size of a plan.
flow.program @open {
  flow.target "cpu:x86-64-v3" {
    flow.entry @main infer {
      %x = flow.input "x" : tensor<4xf32>
      %s = flow.group(%x) : (tensor<4xf32>) -> tensor<?x4xf32, #flow.dims<[tile, 4]>> {
      ^bb0(%a: tensor<4xf32>):
        // expected-error @+1 {{expected sizes over D, N and what the target 'cpu:x86-64-v3' binds, found the symbol 'tile'}}
        %y = flow.broadcast %a to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[tile, 4]>>
        flow.yield %y : tensor<?x4xf32, #flow.dims<[tile, 4]>>
      }
      flow.output "x" %x : tensor<4xf32>
    }
  }
}
