// What one more image costs: contractions and convolutions, a multiply-add as two. What does not grow with the batch, and
// what is no contraction, is not counted.
// RUN: moe-opt %s --moe-count-flops | FileCheck %s

// 2 * 784 * 10 an image. The product of the two weights is nobody's image.
// CHECK: flow.entry @main infer attributes {flops_per_image = 1.568000e+04 : f64}
flow.program @p {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x784xf32, #flow.dims<[B, 784]>>
    %v = flow.parameter "v" uniform(-0.5, 0.5) : tensor<5x784xf32>
    %u = flow.parameter "u" uniform(-0.5, 0.5) : tensor<10x5xf32>
    %w = flow.contract %u [0, 2], %v [2, 1] -> [0, 1] : tensor<10x5xf32>, tensor<5x784xf32> -> tensor<10x784xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<10x784xf32> -> tensor<?x10xf32, #flow.dims<[B, 10]>>
    %z = flow.exp %y : tensor<?x10xf32, #flow.dims<[B, 10]>>
    flow.output "z" %z : tensor<?x10xf32, #flow.dims<[B, 10]>>
  }
}

// A product with windows that is summed is a convolution: 2 * 4 * 9 * 5 * 5 an image.
// CHECK: flow.entry @main infer attributes {flops_per_image = 1.800000e+03 : f64}
flow.program @groups {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>>
    %w = flow.parameter "w" constant(0.5) : tensor<4x3x3xf32>
    %all = flow.window %x size [3, 3] by [2, 2] pads [1, 1, 1, 1] with 0.0 : tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>> -> tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>
    %each = flow.broadcast %w to [1, 4, 5] : tensor<4x3x3xf32> -> tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>
    %product = flow.mul %all, %each : tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>
    %y = flow.reduce sum %product over [4, 5] : tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>> -> tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>
    flow.output "y" %y : tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>
  }
}
