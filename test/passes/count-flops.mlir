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
