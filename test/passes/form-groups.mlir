// What becomes one kernel, and what stays apart.
// RUN: moe-opt %s --moe-form-groups --split-input-file | FileCheck %s

// A linear layer's bias and activation are its contraction's epilogue; the broadcast costs nothing and is inside.
// CHECK-LABEL: flow.program @epilogue
// CHECK: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NOT: flow.group
flow.program @epilogue {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B, 32]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<8x32xf32>
    %b = flow.parameter "b" uniform(-0.5, 0.5) : tensor<8xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<?x32xf32, #flow.dims<[B, 32]>>, tensor<8x32xf32> -> tensor<?x8xf32, #flow.dims<[B, 8]>>
    %c = flow.broadcast %b to [1] : tensor<8xf32> -> tensor<?x8xf32, #flow.dims<[B, 8]>>
    %z = flow.add %y, %c : tensor<?x8xf32, #flow.dims<[B, 8]>>
    %r = flow.relu %z : tensor<?x8xf32, #flow.dims<[B, 8]>>
    flow.output "y" %r : tensor<?x8xf32, #flow.dims<[B, 8]>>
  }
}

// -----
// A softmax is one loop over rows: two reductions and what lies between.
// CHECK-LABEL: flow.program @softmax
// CHECK: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce max
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.div
// CHECK-NEXT: flow.yield
// CHECK-NOT: flow.group
flow.program @softmax {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x100xf32, #flow.dims<[B, 100]>>
    %m = flow.reduce max %x over [1] : tensor<?x100xf32, #flow.dims<[B, 100]>> -> tensor<?xf32, #flow.dims<[B]>>
    %n = flow.broadcast %m to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x100xf32, #flow.dims<[B, 100]>>
    %d = flow.sub %x, %n : tensor<?x100xf32, #flow.dims<[B, 100]>>
    %e = flow.exp %d : tensor<?x100xf32, #flow.dims<[B, 100]>>
    %s = flow.reduce sum %e over [1] : tensor<?x100xf32, #flow.dims<[B, 100]>> -> tensor<?xf32, #flow.dims<[B]>>
    %t = flow.broadcast %s to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x100xf32, #flow.dims<[B, 100]>>
    %y = flow.div %e, %t : tensor<?x100xf32, #flow.dims<[B, 100]>>
    flow.output "y" %y : tensor<?x100xf32, #flow.dims<[B, 100]>>
  }
}

// -----
// The product needs the exponential, and the last sum needs both: joining the two elementwise ops would close a cycle
// through the contraction.
// CHECK-LABEL: flow.program @cycle
// CHECK: %[[E:.*]] = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%[[E]], %{{.*}}
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.yield
// CHECK-NOT: flow.group
flow.program @cycle {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %e = flow.exp %x : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %p = flow.contract %e [0, 1], %w [1, 2] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
    %y = flow.add %e, %p : tensor<?x64xf32, #flow.dims<[B, 64]>>
    flow.output "y" %y : tensor<?x64xf32, #flow.dims<[B, 64]>>
  }
}

// -----
// What a barrier marks is computed again where it is needed, not beside the original; the barrier itself is gone.
// CHECK-LABEL: flow.program @again
// CHECK: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.exp
// CHECK-NOT: flow.exp
// CHECK: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NOT: flow.barrier
flow.program @again {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<64x64xf32>
    %e = flow.exp %x : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %p = flow.contract %e [0, 1], %w [1, 2] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B, 64]>>
    flow.output "y" %p : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %k = flow.barrier %x 1 : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %f = flow.exp %k : tensor<?x64xf32, #flow.dims<[B, 64]>>
    %g = flow.contract %f [0, 1], %p [0, 2] -> [1, 2] : tensor<?x64xf32, #flow.dims<[B, 64]>>, tensor<?x64xf32, #flow.dims<[B, 64]>> -> tensor<64x64xf32>
    flow.assign "w" %g : tensor<64x64xf32>
  }
}

// -----

// Between convolutions an image is stored channels last; what leaves the entry is row-major. A sum over images and
// pixels joins its producer as a sum over pixels, and the sum over images is small.
// CHECK-LABEL: flow.program @images
// CHECK: %[[A:.*]] = flow.group({{.*}} attributes {layouts = [array<i64: 0, 2, 3, 1>]}
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: %[[L:.*]]:2 = flow.group(%[[A]]){{.*}} attributes {layouts = [array<i64: 0, 2, 3, 1>, array<i64>]}
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce max
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.reduce sum %{{.*}} over [2, 3]
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%[[L]]#1)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce sum %{{.*}} over [0]
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%[[L]]#0
// CHECK-NOT: layouts
!maps = tensor<?x32x28x28xf32, #flow.dims<[B, 32, 28, 28]>>
!means = tensor<?x32xf32, #flow.dims<[B, 32]>>
flow.program @images {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<?x3x28x28xf32, #flow.dims<[B, 3, 28, 28]>>
    %w = flow.parameter "w" constant(0.5) : tensor<32x3x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<32x32x1x1xf32>
    %a = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x3x28x28xf32, #flow.dims<[B, 3, 28, 28]>>, tensor<32x3x3x3xf32> -> !maps
    %p = flow.reduce max %a over [2, 3] : !maps -> !means
    %q = flow.broadcast %p to [0, 1] : !means -> !maps
    %d = flow.sub %a, %q : !maps
    %s = flow.reduce sum %d over [0, 2, 3] : !maps -> tensor<32xf32>
    %y = flow.conv %d, %v by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<32x32x1x1xf32> -> !maps
    flow.output "y" %y : !maps
    flow.output "s" %s : tensor<32xf32>
  }
}

// -----

// A sum down the rows has no rows to share out, so it does not join the loop over rows that it reads.
// CHECK-LABEL: flow.program @columns
// CHECK: %[[R:.*]] = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%[[R]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce sum %{{.*}} over [0]
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.output "r"
// CHECK-NEXT: flow.output "s"
// CHECK-NEXT: {{^ *}$}}
!wide = tensor<?x1024xf32, #flow.dims<[B, 1024]>>
flow.program @columns {
  flow.entry @e infer {
    %x = flow.input "x" : !wide
    %r = flow.relu %x : !wide
    %s = flow.reduce sum %r over [0] : !wide -> tensor<1024xf32>
    flow.output "r" %r : !wide
    flow.output "s" %s : tensor<1024xf32>
  }
}

// -----

// A convolution that is computed again is no border between stages: the loop around it stays one. Barriers keep its
// epilogue no more apart than its original's.
// CHECK-LABEL: flow.program @recomputed
// CHECK: %[[A:.*]] = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%{{.*}}, %[[A]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.mul
// CHECK-NOT: flow.group
!maps = tensor<?x32x28x28xf32, #flow.dims<[B, 32, 28, 28]>>
!means = tensor<?x32xf32, #flow.dims<[B, 32]>>
flow.program @recomputed {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>
    %g = flow.input "g" : !maps
    %w = flow.parameter "w" constant(0.5) : tensor<32x1x3x3xf32>
    %d = flow.exp %g : !maps
    %a = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] {flow.recomputed = 1 : i64} : tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>, tensor<32x1x3x3xf32> -> !maps
    %p = flow.parameter "bias" constant(0.5) : tensor<32xf32>
    %k = flow.barrier %p 1 : tensor<32xf32>
    %i = flow.broadcast %k to [1] : tensor<32xf32> -> !maps
    %j = flow.add %a, %i : !maps
    %r = flow.relu %j : !maps
    %s = flow.reduce sum %r over [2, 3] : !maps -> !means
    %b = flow.broadcast %s to [0, 1] : !means -> !maps
    %e = flow.mul %d, %b : !maps
    flow.output "e" %e : !maps
  }
}

// -----

// Means of groups of channels, a number a channel, are written as they are wanted: a convolution's epilogue reads them.
// CHECK-LABEL: flow.program @spread
// CHECK: %[[M:.*]] = flow.group(%{{.*}}) : (tensor<?x32x28x28xf32, {{.*}}>) -> tensor<?x32xf32, #flow.dims<[B, 32]>>
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group({{.*}}, %[[M]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NOT: flow.group
!maps = tensor<?x32x28x28xf32, #flow.dims<[B, 32, 28, 28]>>
!channels = tensor<?x32xf32, #flow.dims<[B, 32]>>
!split = tensor<?x4x8xf32, #flow.dims<[B, 4, 8]>>
!groups = tensor<?x4xf32, #flow.dims<[B, 4]>>
flow.program @spread {
  flow.entry @e infer {
    %x = flow.input "x" : !maps
    %w = flow.parameter "w" constant(0.5) : tensor<32x32x3x3xf32>
    %s = flow.reduce sum %x over [2, 3] : !maps -> !channels
    %p = flow.reshape %s : !channels -> !split
    %g = flow.reduce sum %p over [2] : !split -> !groups
    %q = flow.broadcast %g to [0, 1] : !groups -> !split
    %m = flow.reshape %q : !split -> !channels
    %a = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : !maps, tensor<32x32x3x3xf32> -> !maps
    %b = flow.broadcast %m to [0, 1] : !channels -> !maps
    %y = flow.sub %a, %b : !maps
    flow.output "y" %y : !maps
  }
}

// -----
// x + transpose(x) of a view: the transpose and the sum would read one value at two indices, so each has a view of its own.
// CHECK-LABEL: flow.program @symmetric
// CHECK: flow.group
// CHECK-NEXT: ^bb0(%[[X:[^:]*]]:
// CHECK-NEXT: %[[A:.*]] = flow.reshape %[[X]]
// CHECK-NEXT: %[[T:.*]] = flow.transpose %[[A]] [0, 2, 1]
// CHECK-NEXT: %[[B:.*]] = flow.reshape %[[X]]
// CHECK-NEXT: flow.add %[[T]], %[[B]]
// CHECK-NOT: flow.group
flow.program @symmetric {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x1x8x8xf32, #flow.dims<[B, 1, 8, 8]>>
    %v = flow.reshape %x : tensor<?x1x8x8xf32, #flow.dims<[B, 1, 8, 8]>> -> tensor<?x8x8xf32, #flow.dims<[B, 8, 8]>>
    %t = flow.transpose %v [0, 2, 1] : tensor<?x8x8xf32, #flow.dims<[B, 8, 8]>> -> tensor<?x8x8xf32, #flow.dims<[B, 8, 8]>>
    %y = flow.add %t, %v : tensor<?x8x8xf32, #flow.dims<[B, 8, 8]>>
    flow.output "y" %y : tensor<?x8x8xf32, #flow.dims<[B, 8, 8]>>
  }
}

// -----
// A contraction writes a mask beside its result where a later stage reads it; where a loop of its own stage does, that loop
// makes the mask from the result.
// CHECK-LABEL: flow.program @mask_for_later
// CHECK:      %[[Y:.*]]:2 = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.is_finite
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT:      flow.group({{.*}}%[[Y]]#1
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.select
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @mask_for_later {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<64x32xf32>
    %a = flow.input "a" : tensor<64x8xf32>
    %b = flow.input "b" : tensor<64x8xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x32xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<8x8xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<64x32xf32>, tensor<8x32xf32> -> tensor<64x8xf32>
    %m = flow.is_finite %y : tensor<64x8xf32>
    %z = flow.contract %y [0, 1], %v [2, 1] -> [0, 2] : tensor<64x8xf32>, tensor<8x8xf32> -> tensor<64x8xf32>
    %s = flow.select %m, %a, %b : tensor<64x8xf32>
    %e = flow.exp %s : tensor<64x8xf32>
    flow.output "z" %z : tensor<64x8xf32>
    flow.output "e" %e : tensor<64x8xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @mask_for_now
// CHECK:      %[[Y:.*]] = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT:      flow.group(%[[Y]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.is_finite
// CHECK-NEXT: flow.convert
// CHECK-NEXT: flow.reduce
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @mask_for_now {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<64x32xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x32xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<64x32xf32>, tensor<8x32xf32> -> tensor<64x8xf32>
    %m = flow.is_finite %y : tensor<64x8xf32>
    %f = flow.convert %m : tensor<64x8xi1> -> tensor<64x8xf32>
    %s = flow.reduce sum %f over [1] : tensor<64x8xf32> -> tensor<64xf32>
    flow.output "y" %y : tensor<64x8xf32>
    flow.output "s" %s : tensor<64xf32>
  }
}

// -----

// A convolution's epilogue runs where the convolution does, though a large loop stands between the two in the program.
// CHECK-LABEL: flow.program @order
// CHECK: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.output
!maps = tensor<?x32x28x28xf32, #flow.dims<[B, 32, 28, 28]>>
flow.program @order {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x3x28x28xf32, #flow.dims<[B, 3, 28, 28]>>
    %other = flow.input "other" : !maps
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<32x3x3x3xf32>
    %a = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x3x28x28xf32, #flow.dims<[B, 3, 28, 28]>>, tensor<32x3x3x3xf32> -> !maps
    %e = flow.exp %other : !maps
    %r = flow.relu %a : !maps
    flow.output "r" %r : !maps
    flow.output "e" %e : !maps
  }
}
