// Which buffer holds what, and when: the rules of EntryPlanner.cpp one by one.
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file | FileCheck %s

// A state is written over where all reads precede the write, in the writing launch itself by a kernel that works in
// place. The gradient dies there, but its buffer is nobody's: both results go to states.
// CHECK-LABEL: plan.program "update" optimizer "sgd"
// CHECK-SAME: config {classes = "10", target = "cpu:x86-64-v3"}
// CHECK: state "w" parameter f32[4] uniform(-5.000000e-01, 5.000000e-01) stream [[#]]
// CHECK-NEXT: state "m:w" optimizer f32[4] constant(0.000000e+00, 0.000000e+00) stream [[#]] of "w"
// CHECK-NEXT: scalar "optimizer.lr" recipe 1.000000e-03
// CHECK-NEXT: entry "train" train objective "erm" flops 0.000000e+00 inputs ("image" f32[D * N, 4]) outputs ()
// CHECK-NEXT: target cpu "cpu" level "x86-64-v3" features [{{.*}}"avx2"{{.*}}] elements 2147483647 attributes {moe.target = "cpu:x86-64-v3"} {
// CHECK-NEXT: kernel @[[SUM:.*]] "loop" (read f32, write f32)
// CHECK-NEXT: kernel @[[UPDATE:.*]] "loop" (read f32, read f32, read f32, write f32 over 1, write f32 over 2)
// CHECK-NEXT: plan "train" {
// CHECK-DAG: %[[X:.*]] = buffer input "image" f32[D * N * 4]
// CHECK-DAG: %[[W:.*]] = buffer state "w" f32[4]
// CHECK-DAG: %[[M:.*]] = buffer state "m:w" f32[4]
// CHECK-DAG: %[[G:.*]] = buffer temporary f32[4] live {{\[}}0, 1]
// CHECK: launch @[[SUM]](%[[X]][D * N * 4], %[[G]][4])
// CHECK-NEXT: launch @[[UPDATE]](%[[G]][4], %[[W]][4], %[[M]][4], %[[W]][4], %[[M]][4])
// CHECK-SAME: scalar_f32 "optimizer.lr"
// CHECK-NOT: launch
flow.program @update attributes {config = {classes = "10"}, objective = "erm", optimizer = "sgd"} { flow.target "cpu:x86-64-v3" {
  flow.entry @train train {
    %x = flow.input "image" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    %m = flow.state "m:w" optimizer constant(0.0) of "w" : tensor<4xf32>
    %g = flow.group(%x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<4xf32> {
    ^bb0(%a: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %s = flow.reduce sum %a over [0] : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<4xf32>
      flow.yield %s : tensor<4xf32>
    }
    %new:2 = flow.group(%g, %w, %m) : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
    ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xf32>):
      %r = flow.scalar "optimizer.lr" recipe, 0.001 : tensor<f32>
      %rate = flow.broadcast %r to [] : tensor<f32> -> tensor<4xf32>
      %n = flow.add %c, %a : tensor<4xf32>
      %d = flow.mul %n, %rate : tensor<4xf32>
      %u = flow.sub %b, %d : tensor<4xf32>
      flow.yield %u, %n : tensor<4xf32>, tensor<4xf32>
    }
    flow.assign "w" %new#0 : tensor<4xf32>
    flow.assign "m:w" %new#1 : tensor<4xf32>
  }
} }

// -----
// The weight is read after its new value is made: the new value waits in a temporary, and is copied when all reads are
// over.
// CHECK-LABEL: plan.program "read_after"
// CHECK: plan "train" {
// CHECK-DAG: %[[X:.*]] = buffer input "image"
// CHECK-DAG: %[[W:.*]] = buffer state "w" f32[4]
// CHECK-DAG: %[[NEW:.*]] = buffer temporary f32[4] live {{\[}}0, 2]
// CHECK-DAG: %[[Y:.*]] = buffer output "y" f32[4]
// CHECK: launch @{{.*}}(%[[W]][4], %[[NEW]][4])
// CHECK-NEXT: launch @{{.*}}(%[[W]][4], %[[X]][4], %[[Y]][4])
// CHECK-NEXT: launch @{{.*}}(%[[NEW]][4], %[[W]][4])
flow.program @read_after { flow.target "cpu:x86-64-v3" {
  flow.entry @train train {
    %x = flow.input "image" : tensor<4xf32>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    %n = flow.group(%w) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>):
      %e = flow.exp %a : tensor<4xf32>
      flow.yield %e : tensor<4xf32>
    }
    %y = flow.group(%w, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
      %e = flow.mul %a, %b : tensor<4xf32>
      flow.yield %e : tensor<4xf32>
    }
    flow.assign "w" %n : tensor<4xf32>
    flow.output "y" %y : tensor<4xf32>
  }
} }

// -----
// Two states change places: each is read before it is overwritten.
// CHECK-LABEL: plan.program "swap"
// CHECK: plan "train" {
// CHECK-DAG: %[[A:.*]] = buffer state "a" f32[4]
// CHECK-DAG: %[[B:.*]] = buffer state "b" f32[4]
// CHECK-DAG: %[[T:.*]] = buffer temporary f32[4]
// CHECK: launch @{{.*}}(%[[B]][4], %[[T]][4])
// CHECK-NEXT: launch @{{.*}}(%[[A]][4], %[[B]][4])
// CHECK-NEXT: launch @{{.*}}(%[[T]][4], %[[A]][4])
flow.program @swap { flow.target "cpu:x86-64-v3" {
  flow.entry @train train {
    %a = flow.state "a" buffer constant(0.0) : tensor<4xf32>
    %b = flow.state "b" buffer constant(1.0) : tensor<4xf32>
    flow.assign "a" %b : tensor<4xf32>
    flow.assign "b" %a : tensor<4xf32>
  }
} }

// -----
// A dying operand of the same size gives its buffer to the result; one that is read again does not, nor one of another
// size.
// CHECK-LABEL: plan.program "reuse"
// CHECK: plan "main" {
// CHECK-DAG: %[[X:.*]] = buffer input "x"
// CHECK-DAG: %[[A:.*]] = buffer temporary f32[D * N * 4] live {{\[}}0, 3]
// CHECK-DAG: %[[C:.*]] = buffer temporary f32[D * N] live {{\[}}2, 3]
// CHECK-DAG: %[[Y:.*]] = buffer output "y"
// CHECK: launch @{{.*}}(%[[X]][D * N * 4], %[[A]][D * N * 4])
// CHECK-NEXT: launch @{{.*}}(%[[A]][D * N * 4], %[[X]][D * N * 4], %[[A]][D * N * 4])
// CHECK-NEXT: launch @{{.*}}(%[[A]][D * N * 4], %[[C]][D * N])
// CHECK-NEXT: launch @{{.*}}(%[[A]][D * N * 4], %[[C]][D * N], %[[Y]][D * N * 4])
flow.program @reuse { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %a = flow.group(%x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%0: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %e = flow.exp %0 : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %e : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    %b = flow.group(%a, %x) : (tensor<?x4xf32, #flow.dims<[B, 4]>>, tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%0: tensor<?x4xf32, #flow.dims<[B, 4]>>, %1: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %e = flow.add %0, %1 : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %e : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    %c = flow.group(%b) : (tensor<?x4xf32, #flow.dims<[B, 4]>>) -> tensor<?xf32, #flow.dims<[B]>> {
    ^bb0(%0: tensor<?x4xf32, #flow.dims<[B, 4]>>):
      %e = flow.reduce max %0 over [1] : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?xf32, #flow.dims<[B]>>
      flow.yield %e : tensor<?xf32, #flow.dims<[B]>>
    }
    %y = flow.group(%b, %c) : (tensor<?x4xf32, #flow.dims<[B, 4]>>, tensor<?xf32, #flow.dims<[B]>>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%0: tensor<?x4xf32, #flow.dims<[B, 4]>>, %1: tensor<?xf32, #flow.dims<[B]>>):
      %w = flow.broadcast %1 to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
      %e = flow.sub %0, %w : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %e : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    flow.output "y" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
} }

// -----
// What depends on parameters alone is prepared; what a step reads of it lives to the plan's end, where another step
// begins. A reshape is the same memory. One value under two names is copied for the second.
// CHECK-LABEL: plan.program "prepare"
// CHECK: plan "main" {
// CHECK-DAG: %[[X:.*]] = buffer input "x"
// CHECK-DAG: %[[W:.*]] = buffer state "w" f32[4]
// CHECK-DAG: %[[E:.*]] = buffer temporary f32[4] live {{\[}}0, 2]
// CHECK-DAG: %[[Y:.*]] = buffer output "y" f32[D * N * 4]
// CHECK-DAG: %[[Z:.*]] = buffer output "z" f32[D * N * 4]
// CHECK: launch prepare @{{.*}}(%[[W]][4], %[[E]][4])
// CHECK-NEXT: launch @{{.*}}(%[[X]][D * N * 4], %[[E]][4], %[[Y]][D * N * 4])
// CHECK-NEXT: launch(%[[Z]][D * N * 4], %[[Y]][D * N * 4]) [] copy op "copy" {{.*}} flops 0 bytes D * N * 32
flow.program @prepare { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x2x2xf32, #flow.dims<[B, 2, 2]>>
    %flat = flow.reshape %x : tensor<?x2x2xf32, #flow.dims<[B, 2, 2]>> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    %e = flow.group(%w) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>):
      %0 = flow.exp %a : tensor<4xf32>
      flow.yield %0 : tensor<4xf32>
    }
    %y = flow.group(%flat, %e) : (tensor<?x4xf32, #flow.dims<[B, 4]>>, tensor<4xf32>) -> tensor<?x4xf32, #flow.dims<[B, 4]>> {
    ^bb0(%0: tensor<?x4xf32, #flow.dims<[B, 4]>>, %1: tensor<4xf32>):
      %b = flow.broadcast %1 to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
      %s = flow.mul %0, %b : tensor<?x4xf32, #flow.dims<[B, 4]>>
      flow.yield %s : tensor<?x4xf32, #flow.dims<[B, 4]>>
    }
    flow.output "y" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
    flow.output "z" %y : tensor<?x4xf32, #flow.dims<[B, 4]>>
  }
} }
// -----
// `layouts` is a group's; elsewhere it means nothing.
// CHECK-LABEL: plan.program "elsewhere"
// CHECK: plan "main"
flow.program @elsewhere { flow.target "cpu:x86-64-v3" {
  flow.entry @main infer {
    %x = flow.input "x" {layouts = [array<i64: 1, 0>]} : tensor<4xf32>
    %y = flow.group(%x) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>):
      %b = flow.exp %a : tensor<4xf32>
      flow.yield %b : tensor<4xf32>
    }
    flow.output "y" %y : tensor<4xf32>
  }
} }

// -----
// Launches say which part of a step they belong to, where differentiation has marked the results: what a forward result needs is
// forward, what states alone need is the update, also a copy to a state, and the rest is backward.
// CHECK-LABEL: plan.program "parts"
// CHECK: plan "train" {
// CHECK: launch @{{.*}} op "elementwise" {{.*}} of forward
// CHECK-NEXT: launch @{{.*}} op "elementwise" {{.*}} of backward
// CHECK-NEXT: launch @{{.*}} op "elementwise" {{.*}} of update
// CHECK-NEXT: launch @{{.*}} of update
// CHECK-NOT: launch
flow.program @parts { flow.target "cpu:x86-64-v3" {
  flow.entry @train train {
    %x = flow.input "image" : tensor<4xf32>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<4xf32>
    %b = flow.state "seen" buffer constant(0.0) : tensor<4xf32>
    %y = flow.group(%x) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>):
      %e = flow.exp %a : tensor<4xf32>
      flow.yield %e : tensor<4xf32>
    }
    %g = flow.group(%y) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>):
      %e = flow.log %a : tensor<4xf32>
      flow.yield %e : tensor<4xf32>
    }
    %n = flow.group(%w, %g) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> {
    ^bb0(%a: tensor<4xf32>, %c: tensor<4xf32>):
      %e = flow.sub %a, %c : tensor<4xf32>
      flow.yield %e : tensor<4xf32>
    }
    flow.assign "w" %n : tensor<4xf32>
    flow.assign "seen" %y : tensor<4xf32>
    flow.output "loss" %y of forward : tensor<4xf32>
    flow.output "g" %g of backward : tensor<4xf32>
  }
} }
