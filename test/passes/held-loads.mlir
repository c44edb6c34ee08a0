// A kernel of an update reads nothing while updates are held back, since what it works on may not have been written: its loads
// stand behind the test of the word, also where a block works on one unit and a load is the same for all its threads.
// RUN: moe-opt %s --moe-lower-to-plan | FileCheck %s
// CHECK: gpu.func @[[KERNEL:loop_[0-9a-f]*]](%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}: !llvm.ptr<1>)
// CHECK: %[[HELD:.*]] = llvm.load %{{.*}} -> i64
// CHECK-NOT: llvm.load
// CHECK: %[[FREE:.*]] = arith.cmpi eq, %[[HELD]]
// CHECK-NOT: llvm.load
// CHECK: scf.if %[[FREE]]
// CHECK: llvm.load %{{.*}} -> f32
flow.program @p { flow.target "emulator:sm_90a" {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" uniform(-0.1, 0.1) : tensor<20000xf32>
    %c = flow.state "c" optimizer constant(0.0) : tensor<f32>
    %s = flow.state "s" optimizer constant(0.0) : tensor<f32>
    %ok:2 = flow.group(%x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> (tensor<f32>, tensor<i1>) {
    ^bb0(%a: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %l = flow.reduce sum %a over [0, 1] : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<f32>
      %big = flow.constant 1.0e30 : tensor<f32>
      %k = flow.compare gt %l, %big : tensor<f32>
      %f = flow.convert %k : tensor<i1> -> tensor<f32>
      flow.yield %f, %k : tensor<f32>, tensor<i1>
    }
    %cn = flow.group(%c, %ok#1) : (tensor<f32>, tensor<i1>) -> tensor<f32> {
    ^bb0(%a: tensor<f32>, %k: tensor<i1>):
      %one = flow.constant 1.0 : tensor<f32>
      %b = flow.add %a, %one : tensor<f32>
      %r = flow.select %k, %b, %a : tensor<f32>
      flow.yield %r : tensor<f32>
    }
    %sn = flow.group(%w, %c, %cn, %s, %ok#1) : (tensor<20000xf32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<i1>) -> tensor<f32> {
    ^bb0(%v: tensor<20000xf32>, %a: tensor<f32>, %b: tensor<f32>, %old: tensor<f32>, %k: tensor<i1>):
      %bb = flow.broadcast %b to [] : tensor<f32> -> tensor<20000xf32>
      %m = flow.mul %v, %bb : tensor<20000xf32>
      %t = flow.reduce sum %m over [0] : tensor<20000xf32> -> tensor<f32>
      %u = flow.add %t, %a : tensor<f32>
      %r = flow.select %k, %u, %old : tensor<f32>
      flow.yield %r : tensor<f32>
    }
    flow.output "loss" %ok#0 : tensor<f32>
    flow.output "finite" %ok#0 : tensor<f32>
    flow.assign "c" %cn when "finite" : tensor<f32>
    flow.assign "s" %sn when "finite" : tensor<f32>
  }
} }
