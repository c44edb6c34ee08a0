// What holds of an op whatever surrounds it: constants are numbers, identities vanish, views merge.
// RUN: moe-opt %s --canonicalize | FileCheck %s

flow.program @p {
  flow.entry @main infer {
    // CHECK-DAG: %[[X:.*]] = flow.input "x"
    // CHECK-DAG: %[[SEVEN:.*]] = flow.constant 7.000000e+00 : tensor<f32>
    // CHECK-DAG: %[[HALF:.*]] = flow.constant 5.000000e-01 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %zero = flow.constant 0.0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %one = flow.constant 1.0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %a = flow.add %x, %zero : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %b = flow.mul %one, %a : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %n = flow.neg %b : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %nn = flow.neg %n : tensor<?x4xf32, #flow.dims<[B, 4]>>
    // CHECK: flow.output "same" %[[X]]
    flow.output "same" %nn : tensor<?x4xf32, #flow.dims<[B, 4]>>

    // A product with 0 stays: x may be infinite.
    // CHECK: %[[KEPT:.*]] = flow.mul %[[X]]
    // CHECK: flow.output "kept" %[[KEPT]]
    %kept = flow.mul %x, %zero : tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "kept" %kept : tensor<?x4xf32, #flow.dims<[B, 4]>>

    // CHECK: flow.output "seven" %[[SEVEN]]
    %three = flow.constant 3.0 : tensor<f32>
    %four = flow.extent 4 : tensor<f32>
    %seven = flow.add %three, %four : tensor<f32>
    flow.output "seven" %seven : tensor<f32>

    // CHECK: flow.output "half" %[[HALF]]
    %h = flow.constant 0.5 : tensor<f32>
    %wide = flow.broadcast %h to [] : tensor<f32> -> tensor<4xf32>
    %half = flow.broadcast %wide to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "half" %half : tensor<?x4xf32, #flow.dims<[B, 4]>>

    // CHECK: flow.output "turned" %[[X]]
    %t = flow.transpose %x [1, 0] : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<4x?xf32, #flow.dims<[4, B]>>
    %tt = flow.transpose %t [1, 0] : tensor<4x?xf32, #flow.dims<[4, B]>> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "turned" %tt : tensor<?x4xf32, #flow.dims<[B, 4]>>

    // CHECK: flow.output "reshaped" %[[X]]
    %r = flow.reshape %x : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?xf32, #flow.dims<[B * 4]>>
    %rr = flow.reshape %r : tensor<?xf32, #flow.dims<[B * 4]>> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "reshaped" %rr : tensor<?x4xf32, #flow.dims<[B, 4]>>

    // What is not a number, and what 32 bits do not hold, is left to run.
    // CHECK: %[[MAX:.*]] = flow.maximum
    // CHECK: flow.output "nan" %[[MAX]]
    // CHECK: %[[RELU:.*]] = flow.relu
    // CHECK: flow.output "nan relu" %[[RELU]]
    // CHECK: %[[EXP:.*]] = flow.exp
    // CHECK: flow.output "huge" %[[EXP]]
    // CHECK: flow.output "larger" %[[SEVEN]]
    %nan = flow.constant 0x7FF8000000000000 : tensor<f32>
    %max = flow.maximum %nan, %seven : tensor<f32>
    flow.output "nan" %max : tensor<f32>
    %relu = flow.relu %nan : tensor<f32>
    flow.output "nan relu" %relu : tensor<f32>
    %hundred = flow.constant 100.0 : tensor<f32>
    %exp = flow.exp %hundred : tensor<f32>
    flow.output "huge" %exp : tensor<f32>
    %larger = flow.maximum %three, %seven : tensor<f32>
    flow.output "larger" %larger : tensor<f32>

    // Barriers of different segments are never merged.
    // CHECK: flow.barrier %[[X]] 1
    // CHECK: flow.barrier %[[X]] 2
    %b1 = flow.barrier %x 1 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %b2 = flow.barrier %x 2 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %bb = flow.add %b1, %b2 : tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "barriers" %bb : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
}
