// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --emit-bytecode | moe-opt | FileCheck %s
flow.program @linear attributes {classes = 10 : i64} {
  flow.entry @main infer {
    %x = flow.input "image" : tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>
    %w = flow.parameter "fc.weight" uniform(-0.1, 0.1) : tensor<10x784xf32>
    %b = flow.parameter "fc.bias" constant(0.0) frozen : tensor<10xf32>
    %flat = flow.reshape %x : tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>> -> tensor<?x784xf32, #flow.dims<[D * N, 784]>>
    %y = flow.contract %flat [0, 1], %w [2, 1] -> [0, 2] : tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<10x784xf32> -> tensor<?x10xf32, #flow.dims<[B, 10]>>
    %wide = flow.broadcast %b to [1] : tensor<10xf32> -> tensor<?x10xf32, #flow.dims<[B, 10]>>
    %z = flow.add %y, %wide : tensor<?x10xf32, #flow.dims<[B, 10]>>
    flow.output "logits" %z : tensor<?x10xf32, #flow.dims<[B, 10]>>
  }
}
