// The sizes at which fusion decides otherwise (the constants of FormGroups.cpp): each has a program on either side, at a
// third and at three times of it or so. Estimates take the batch B as 320.
// RUN: moe-opt %s --moe-form-groups --split-input-file | FileCheck %s

// A sum over images and pixels is taken in two steps where an image has pixels enough to be worth one of its own.
// CHECK-LABEL: flow.program @few_pixels
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce sum %{{.*}} over [0, 2]
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @few_pixels {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<?x8x6xf32, #flow.dims<[B, 8, 6]>>
    %s = flow.reduce sum %x over [0, 2] : tensor<?x8x6xf32, #flow.dims<[B, 8, 6]>> -> tensor<8xf32>
    flow.output "s" %s : tensor<8xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @many_pixels
// CHECK:      flow.reduce sum %{{.*}} over [2]
// CHECK:      flow.reduce sum %{{.*}} over [0]
// CHECK-NOT:  flow.reduce
flow.program @many_pixels {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<?x8x48xf32, #flow.dims<[B, 8, 48]>>
    %s = flow.reduce sum %x over [0, 2] : tensor<?x8x48xf32, #flow.dims<[B, 8, 48]>> -> tensor<8xf32>
    flow.output "s" %s : tensor<8xf32>
  }
}

// -----
// Two large loops that have only a small value in common stay apart; a larger one is worth reading once.
// CHECK-LABEL: flow.program @small_value
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @small_value {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<320x340xf32>
    %y = flow.input "y" : tensor<320x340xf32>
    %p = flow.parameter "p" constant(0.5) : tensor<340xf32>
    %b = flow.broadcast %p to [1] : tensor<340xf32> -> tensor<320x340xf32>
    %s = flow.sub %x, %b : tensor<320x340xf32>
    %t = flow.sub %y, %b : tensor<320x340xf32>
    flow.output "s" %s : tensor<320x340xf32>
    flow.output "t" %t : tensor<320x340xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @larger_value
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @larger_value {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<320x3000xf32>
    %y = flow.input "y" : tensor<320x3000xf32>
    %p = flow.parameter "p" constant(0.5) : tensor<3000xf32>
    %b = flow.broadcast %p to [1] : tensor<3000xf32> -> tensor<320x3000xf32>
    %s = flow.sub %x, %b : tensor<320x3000xf32>
    %t = flow.sub %y, %b : tensor<320x3000xf32>
    flow.output "s" %s : tensor<320x3000xf32>
    flow.output "t" %t : tensor<320x3000xf32>
  }
}

// -----
// Loops of little work are merged whatever they share.
// CHECK-LABEL: flow.program @small_loops
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @small_loops {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<300x30xf32>
    %y = flow.input "y" : tensor<300x30xf32>
    %p = flow.parameter "p" constant(0.5) : tensor<30xf32>
    %b = flow.broadcast %p to [1] : tensor<30xf32> -> tensor<300x30xf32>
    %s = flow.sub %x, %b : tensor<300x30xf32>
    %t = flow.sub %y, %b : tensor<300x30xf32>
    flow.output "s" %s : tensor<300x30xf32>
    flow.output "t" %t : tensor<300x30xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @larger_loops
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @larger_loops {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<3000x30xf32>
    %y = flow.input "y" : tensor<3000x30xf32>
    %p = flow.parameter "p" constant(0.5) : tensor<30xf32>
    %b = flow.broadcast %p to [1] : tensor<30xf32> -> tensor<3000x30xf32>
    %s = flow.sub %x, %b : tensor<3000x30xf32>
    %t = flow.sub %y, %b : tensor<3000x30xf32>
    flow.output "s" %s : tensor<3000x30xf32>
    flow.output "t" %t : tensor<3000x30xf32>
  }
}

// -----
// A loop joins sums of rows only where rows are enough to share out: alone it has 50 and 480 units.
// CHECK-LABEL: flow.program @few_rows
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @few_rows {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<5x81920xf32>
    %y = flow.relu %x : tensor<5x81920xf32>
    %s = flow.reduce sum %y over [1] : tensor<5x81920xf32> -> tensor<5xf32>
    flow.output "y" %y : tensor<5x81920xf32>
    flow.output "s" %s : tensor<5xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @many_rows
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @many_rows {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<48x81920xf32>
    %y = flow.relu %x : tensor<48x81920xf32>
    %s = flow.reduce sum %y over [1] : tensor<48x81920xf32> -> tensor<48xf32>
    flow.output "y" %y : tensor<48x81920xf32>
    flow.output "s" %s : tensor<48xf32>
  }
}

// -----
// A view of computed numbers is written for an epilogue where each is read for many elements: here 4 and 49.
// CHECK-LABEL: flow.program @spread_little
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK:      flow.sub
// CHECK-NOT:  flow.group
!maps = tensor<?x32x2x2xf32, #flow.dims<[B, 32, 2, 2]>>
!channels = tensor<?x32xf32, #flow.dims<[B, 32]>>
!split = tensor<?x4x8xf32, #flow.dims<[B, 4, 8]>>
!groups = tensor<?x4xf32, #flow.dims<[B, 4]>>
flow.program @spread_little {
  flow.entry @e infer {
    %x = flow.input "x" : !maps
    %w = flow.parameter "w" constant(0.5) : tensor<32x32x1x1xf32>
    %s = flow.reduce sum %x over [2, 3] : !maps -> !channels
    %p = flow.reshape %s : !channels -> !split
    %g = flow.reduce sum %p over [2] : !split -> !groups
    %q = flow.broadcast %g to [0, 1] : !groups -> !split
    %m = flow.reshape %q : !split -> !channels
    %a = flow.conv %x, %w by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<32x32x1x1xf32> -> !maps
    %b = flow.broadcast %m to [0, 1] : !channels -> !maps
    %y = flow.sub %a, %b : !maps
    flow.output "y" %y : !maps
  }
}

// -----
// CHECK-LABEL: flow.program @spread_widely
// CHECK:      %[[M:.*]] = flow.group(%{{.*}}) : (tensor<?x32x7x7xf32, {{.*}}>) -> tensor<?x32xf32, #flow.dims<[B, 32]>>
// CHECK:      flow.group({{.*}}, %[[M]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.sub
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
!maps = tensor<?x32x7x7xf32, #flow.dims<[B, 32, 7, 7]>>
!channels = tensor<?x32xf32, #flow.dims<[B, 32]>>
!split = tensor<?x4x8xf32, #flow.dims<[B, 4, 8]>>
!groups = tensor<?x4xf32, #flow.dims<[B, 4]>>
flow.program @spread_widely {
  flow.entry @e infer {
    %x = flow.input "x" : !maps
    %w = flow.parameter "w" constant(0.5) : tensor<32x32x1x1xf32>
    %s = flow.reduce sum %x over [2, 3] : !maps -> !channels
    %p = flow.reshape %s : !channels -> !split
    %g = flow.reduce sum %p over [2] : !split -> !groups
    %q = flow.broadcast %g to [0, 1] : !groups -> !split
    %m = flow.reshape %q : !split -> !channels
    %a = flow.conv %x, %w by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<32x32x1x1xf32> -> !maps
    %b = flow.broadcast %m to [0, 1] : !channels -> !maps
    %y = flow.sub %a, %b : !maps
    flow.output "y" %y : !maps
  }
}

// -----
// Loops on either side of a contraction that read the same tensor are merged, but for a large one, whose results would
// live longer.
// CHECK-LABEL: flow.program @small_tensors
// CHECK:      flow.group
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.neg
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @small_tensors {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<300x300xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x8xf32>
    %v = flow.reshape %x : tensor<300x300xf32> -> tensor<90000xf32>
    %a = flow.exp %v : tensor<90000xf32>
    %c = flow.contract %w [0, 1], %w [1, 2] -> [0, 2] : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
    %b = flow.neg %v : tensor<90000xf32>
    flow.output "a" %a : tensor<90000xf32>
    flow.output "b" %b : tensor<90000xf32>
    flow.output "c" %c : tensor<8x8xf32>
  }
}

// -----
// CHECK-LABEL: flow.program @large_tensors
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.exp
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.neg
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @large_tensors {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<900x900xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x8xf32>
    %v = flow.reshape %x : tensor<900x900xf32> -> tensor<810000xf32>
    %a = flow.exp %v : tensor<810000xf32>
    %c = flow.contract %w [0, 1], %w [1, 2] -> [0, 2] : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
    %b = flow.neg %v : tensor<810000xf32>
    flow.output "a" %a : tensor<810000xf32>
    flow.output "b" %b : tensor<810000xf32>
    flow.output "c" %c : tensor<8x8xf32>
  }
}

// -----
// Beside its own result a contraction writes a mask, a quarter of its size; a convolution writes nothing larger.
// CHECK-LABEL: flow.program @beside_a_mask
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.is_finite
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @beside_a_mask {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<64x32xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x32xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<64x32xf32>, tensor<8x32xf32> -> tensor<64x8xf32>
    %z = flow.is_finite %y : tensor<64x8xf32>
    flow.output "y" %y : tensor<64x8xf32>
    flow.output "z" %z : tensor<64x8xi1>
  }
}

// -----
// CHECK-LABEL: flow.program @beside_a_tensor
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.yield
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NOT:  flow.group
flow.program @beside_a_tensor {
  flow.entry @e infer {
    %x = flow.input "x" : tensor<8x4x14x14xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<8x4x3x3xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<8x4x14x14xf32>, tensor<8x4x3x3xf32> -> tensor<8x8x14x14xf32>
    %z = flow.relu %y : tensor<8x8x14x14xf32>
    flow.output "y" %y : tensor<8x8x14x14xf32>
    flow.output "z" %z : tensor<8x8x14x14xf32>
  }
}
