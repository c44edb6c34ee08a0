// RUN: moe-opt --split-input-file --moe-differentiate %s | FileCheck %s

// The example of the pass's description: a rule reads the forward value.
// CHECK-LABEL: flow.program @example
// CHECK: %[[X:.*]] = flow.parameter "x"
// CHECK-NEXT: %[[Y:.*]] = flow.exp %[[X]]
// CHECK-NEXT: %[[ONE:.*]] = flow.constant 1.000000e+00 : tensor<f32>
// CHECK-NEXT: %[[G:.*]] = flow.mul %[[ONE]], %[[Y]]
// CHECK-NOT: flow.grad
// CHECK: flow.output "g" %[[G]] of backward
// CHECK-NEXT: {{^ *}$}}
flow.program @example {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    %y = flow.exp %x : tensor<f32>
    %g = flow.grad %y wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    flow.output "g" %g : tensor<f32>
  }
}

// -----

// A grad of a grad: the first is ordinary ops by the time the second is lowered. d2(x^3) = 6 x, in pieces.
// CHECK-LABEL: flow.program @nested
// CHECK-NOT: flow.grad
// CHECK: flow.output "second"
// CHECK-NEXT: {{^ *}$}}
flow.program @nested {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    %xx = flow.mul %x, %x : tensor<f32>
    %xxx = flow.mul %xx, %x : tensor<f32>
    %g = flow.grad %xxx wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %h = flow.grad %g wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    flow.output "second" %h : tensor<f32>
  }
}

// -----

// Nothing flows through stop_gradient, comparisons and labels; what the loss does not depend on has gradient zero.
// CHECK-LABEL: flow.program @inactive
// CHECK: %[[W:.*]] = flow.parameter "w"
// CHECK-NEXT: flow.parameter "u"
// CHECK-NEXT: %[[S:.*]] = flow.stop_gradient %[[W]]
// CHECK-NEXT: flow.mul %[[W]], %[[S]]
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: %[[ONE:.*]] = flow.constant 1.0
// CHECK-NEXT: %[[D:.*]] = flow.broadcast %[[ONE]]
// CHECK-NEXT: %[[GW:.*]] = flow.mul %[[D]], %[[S]]
// CHECK-NEXT: flow.mul
// CHECK-NEXT: %[[GU:.*]] = flow.constant 0.000000e+00 : tensor<3xf32>
// CHECK-NEXT: flow.output "w" %[[GW]]
// CHECK-NEXT: flow.output "u" %[[GU]]
// CHECK-NEXT: {{^ *}$}}
flow.program @inactive {
  flow.entry @train train {
    %w = flow.parameter "w" constant(0.5) : tensor<2xf32>
    %u = flow.parameter "u" constant(0.5) : tensor<3xf32>
    %s = flow.stop_gradient %w : tensor<2xf32>
    %p = flow.mul %w, %s : tensor<2xf32>
    %unused = flow.exp %u : tensor<3xf32>
    %loss = flow.reduce sum %p over [0] : tensor<2xf32> -> tensor<f32>
    %g:2 = flow.grad %loss wrt(%w, %u) : (tensor<f32>, tensor<2xf32>, tensor<3xf32>) -> (tensor<2xf32>, tensor<3xf32>)
    flow.output "w" %g#0 : tensor<2xf32>
    flow.output "u" %g#1 : tensor<3xf32>
  }
}

// -----

// Gradient reversal is differentiated as -scale * x.
// CHECK-LABEL: flow.program @reversal
// CHECK: %[[K:.*]] = flow.scalar "k"
// CHECK-NEXT: flow.reverse_gradient
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[D:.*]] = flow.broadcast %{{.*}} to [] : tensor<f32> -> tensor<2xf32>
// CHECK-NEXT: %[[KS:.*]] = flow.broadcast %[[K]] to [] : tensor<f32> -> tensor<2xf32>
// CHECK-NEXT: %[[N:.*]] = flow.neg %[[KS]]
// CHECK-NEXT: %[[G:.*]] = flow.mul %[[D]], %[[N]]
// CHECK-NEXT: flow.output "w" %[[G]]
// CHECK-NEXT: {{^ *}$}}
flow.program @reversal {
  flow.entry @train train {
    %w = flow.parameter "w" constant(0.5) : tensor<2xf32>
    %k = flow.scalar "k" recipe, 1.0 : tensor<f32>
    %r = flow.reverse_gradient %w by %k : tensor<2xf32>, tensor<f32>
    %loss = flow.reduce sum %r over [0] : tensor<2xf32> -> tensor<f32>
    %g = flow.grad %loss wrt(%w) : (tensor<f32>, tensor<2xf32>) -> tensor<2xf32>
    flow.output "w" %g : tensor<2xf32>
  }
}

// -----

// A convolution's weight gradient is computed before its input gradient, which may then have its input's memory.
// CHECK-LABEL: flow.program @convolution
// CHECK: %[[DW:.*]] = flow.conv_weight_grad %[[X:.*]], %[[DY:.*]] by [2, 2] pads [1, 1, 1, 1]
// CHECK-NEXT: %[[DX:.*]] = flow.conv_input_grad %[[DY]], %[[W:.*]] by [2, 2] pads [1, 1, 1, 1]
// CHECK-NEXT: flow.output "x"
// CHECK-NEXT: flow.output "w"
// CHECK-NEXT: {{^ *}$}}
flow.program @convolution {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<2x3x8x8xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<4x3x3x3xf32>
    %y = flow.conv %x, %w by [2, 2] pads [1, 1, 1, 1] : tensor<2x3x8x8xf32>, tensor<4x3x3x3xf32> -> tensor<2x4x4x4xf32>
    %loss = flow.reduce sum %y over [0, 1, 2, 3] : tensor<2x4x4x4xf32> -> tensor<f32>
    %g:2 = flow.grad %loss wrt(%x, %w) : (tensor<f32>, tensor<2x3x8x8xf32>, tensor<4x3x3x3xf32>) -> (tensor<2x3x8x8xf32>, tensor<4x3x3x3xf32>)
    flow.output "x" %g#0 : tensor<2x3x8x8xf32>
    flow.output "w" %g#1 : tensor<4x3x3x3xf32>
  }
}

// -----

// What a gradient leads to is of the backward part, and says so: outputs and exposed values alike. A penalty on a gradient
// is a part of the loss, and so of the forward part; a mark that is there stays.
// CHECK-LABEL: flow.program @parts
// CHECK: flow.output "loss" %{{[^ ]*}} of forward : tensor<f32>
// CHECK: flow.output "penalty" %{{[^ ]*}} of forward : tensor<f32>
// CHECK: flow.output "norm" %{{[^ ]*}} of backward : tensor<f32>
// CHECK-NEXT: flow.expose "g" %{{[^ ]*}} of backward : tensor<f32>
// CHECK-NEXT: flow.output "taken" %{{[^ ]*}} of update : tensor<f32>
// CHECK-NEXT: {{^ *}$}}
flow.program @parts {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    %y = flow.exp %x : tensor<f32>
    %p = flow.grad %y wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %q = flow.mul %p, %p : tensor<f32>
    %loss = flow.add %y, %q : tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    flow.output "penalty" %q : tensor<f32>
    %g = flow.grad %loss wrt(%x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %n = flow.mul %g, %g : tensor<f32>
    flow.output "norm" %n : tensor<f32>
    flow.expose "g" %g : tensor<f32>
    flow.output "taken" %n of update : tensor<f32>
  }
}

// -----

// A maximum over no axes is its operand.
// CHECK-LABEL: flow.program @nothing
// CHECK: %[[ONE:.*]] = flow.constant 1.000000e+00 : tensor<f32>
// CHECK-NOT: flow.grad
// CHECK: flow.output "g"
flow.program @nothing {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<4xf32>
    %y = flow.reduce max %x over [] : tensor<4xf32> -> tensor<4xf32>
    %z = flow.reduce sum %y over [0] : tensor<4xf32> -> tensor<f32>
    %g = flow.grad %z wrt(%x) : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
    flow.output "g" %g : tensor<4xf32>
  }
}

// -----

// Nothing is differentiated behind a stop_gradient, so what has no rule may stand there.
// CHECK-LABEL: flow.program @stopped
// CHECK: %[[S:.*]] = flow.stop_gradient
// CHECK: %[[Y:.*]] = flow.group(%[[S]])
// CHECK: flow.output "g"
// CHECK-SAME: %{{.*}}
flow.program @stopped {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<f32>
    %w = flow.parameter "w" constant(0.5) : tensor<f32>
    %e = flow.exp %x : tensor<f32>
    %s = flow.stop_gradient %e : tensor<f32>
    %y = flow.group(%s) : (tensor<f32>) -> tensor<f32> {
    ^bb0(%a: tensor<f32>):
      %b = flow.exp %a : tensor<f32>
      flow.yield %b : tensor<f32>
    }
    %p = flow.mul %y, %w : tensor<f32>
    %z = flow.add %p, %x : tensor<f32>
    %g, %h = flow.grad %z wrt(%x, %w) : (tensor<f32>, tensor<f32>, tensor<f32>) -> (tensor<f32>, tensor<f32>)
    flow.output "g" %g : tensor<f32>
    flow.output "h" %h : tensor<f32>
  }
}

// -----

// What a select leaves of a gradient is known behind every op whose accesses or rule tell where it arrives, and is
// applied again behind the square root. Behind windows, which read an element several times, it is what any of
// them leaves.
// CHECK-LABEL: flow.program @windows
// CHECK: %[[M:.*]] = flow.input "m"
// CHECK: flow.window_sum
// CHECK: %[[F:.*]] = flow.convert %[[M]]
// CHECK-NEXT: %[[N:.*]] = flow.window_sum %[[F]]
// CHECK: %[[K:.*]] = flow.compare ne %[[N]]
// CHECK: %[[D:.*]] = flow.div
// CHECK: flow.select %[[K]], %[[D]]
!image = tensor<1x1x3x3xf32>
!windows = tensor<1x1x2x2x2x2xf32>
flow.program @windows {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : !image
    %m = flow.input "m" : tensor<1x1x2x2x2x2xi1>
    %r = flow.sqrt %x : !image
    %w = flow.window %r size [2, 2] by [1, 1] pads [0, 0, 0, 0] with 0.0 : !image -> !windows
    %z = flow.constant 0.0 : !windows
    %s = flow.select %m, %w, %z : !windows
    %loss = flow.reduce sum %s over [0, 1, 2, 3, 4, 5] : !windows -> tensor<f32>
    %g = flow.grad %loss wrt(%x) : (tensor<f32>, !image) -> !image
    flow.output "g" %g : !image
  }
}

// -----

// A parameter that all rows share has a gradient where any row has one.
// CHECK-LABEL: flow.program @shared
// CHECK: %[[M:.*]] = flow.input "m"
// CHECK: %[[F:.*]] = flow.convert %[[M]]
// CHECK-NEXT: %[[N:.*]] = flow.reduce sum %[[F]] over [0]
// CHECK: %[[K:.*]] = flow.compare ne %[[N]]
// CHECK: %[[D:.*]] = flow.div
// CHECK: flow.select %[[K]], %[[D]]
!row = tensor<4xf32>
!rows = tensor<3x4xf32>
flow.program @shared {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : !row
    %m = flow.input "m" : tensor<3x4xi1>
    %r = flow.sqrt %x : !row
    %w = flow.broadcast %r to [1] : !row -> !rows
    %z = flow.constant 0.0 : !rows
    %s = flow.select %m, %w, %z : !rows
    %loss = flow.reduce sum %s over [0, 1] : !rows -> tensor<f32>
    %g = flow.grad %loss wrt(%x) : (tensor<f32>, !row) -> !row
    flow.output "g" %g : !row
  }
}

// -----

// Behind a reduction other than a sum, it follows from the axes that the reduction reads. It is not followed through a
// contraction.
// CHECK-LABEL: flow.program @reduction
// CHECK: %[[M:.*]] = flow.input "m"
// CHECK: %[[K:.*]] = flow.broadcast %[[M]] to [0] : tensor<3xi1> -> tensor<3x4xi1>
// CHECK: %[[D:.*]] = flow.div
// CHECK-NEXT: flow.constant
// CHECK-NEXT: flow.select %[[K]], %[[D]]
// CHECK: flow.contract
// CHECK-NOT: flow.select
// CHECK: %[[E:.*]] = flow.div
// CHECK: flow.output "g" %[[E]]
flow.program @reduction {
  flow.entry @train train {
    %x = flow.parameter "x" constant(0.5) : tensor<3x5xf32>
    %v = flow.input "v" : tensor<5x4xf32>
    %m = flow.input "m" : tensor<3xi1>
    %q = flow.sqrt %x : tensor<3x5xf32>
    %y = flow.contract %q [0, 1], %v [1, 2] -> [0, 2] : tensor<3x5xf32>, tensor<5x4xf32> -> tensor<3x4xf32>
    %r = flow.sqrt %y : tensor<3x4xf32>
    %most = flow.reduce max %r over [1] : tensor<3x4xf32> -> tensor<3xf32>
    %z = flow.constant 0.0 : tensor<3xf32>
    %s = flow.select %m, %most, %z : tensor<3xf32>
    %loss = flow.reduce sum %s over [0] : tensor<3xf32> -> tensor<f32>
    %g = flow.grad %loss wrt(%x) : (tensor<f32>, tensor<3x5xf32>) -> tensor<3x5xf32>
    flow.output "g" %g : tensor<3x5xf32>
  }
}
