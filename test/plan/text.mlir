// The plan dialect's text: what is printed reads back the same, through bytecode too.
// RUN: moe-opt %s | FileCheck %s
// RUN: moe-opt %s -o %t.1 && moe-opt %t.1 -o %t.2 && diff %t.1 %t.2
// RUN: moe-opt %s --emit-bytecode -o %t.bc && moe-opt %t.bc -o %t.3 && diff %t.1 %t.3
// RUN: moe-opt %s --mlir-print-op-generic -o %t.4 && moe-opt %t.4 -o %t.5 && diff %t.1 %t.5

// CHECK-LABEL: plan.program "linear" optimizer "sgd" compiler "0.1.0" config {classes = "10"} {
plan.program "linear" optimizer "sgd" compiler "0.1.0" config {classes = "10"} {
  // CHECK-NEXT: state "fc.weight" parameter f32[10, 784] uniform(-1.250000e-01, 1.250000e-01) stream 77
  state "fc.weight" parameter f32[10, 784] uniform(-0.125, 0.125) stream 77
  // CHECK-NEXT: state "sgd.momentum:fc.weight" optimizer f32[10, 784] constant(0.000000e+00, 0.000000e+00) stream 0 of "fc.weight"
  state "sgd.momentum:fc.weight" optimizer f32[10, 784] constant(0.0, 0.0) stream 0 of "fc.weight"
  // CHECK-NEXT: state "count" optimizer f32[] constant
  state "count" optimizer f32[] constant(0.0, 0.0) stream 0
  // CHECK-NEXT: scalar "optimizer.lr" recipe 1.000000e-03
  scalar "optimizer.lr" recipe 0.001
  // CHECK-NEXT: entry "train" train objective "erm" flops 4.704000e+04 inputs ("image" f32[D * N, 1, 28, 28], "label" i32[D * N])
  // CHECK-SAME: outputs ("loss" f32[]) saved ("relu" bytes D * N * 40 because "a \22mask\22")
  // CHECK-SAME: capacities ("moe.gate" rows D * N * 197 experts 6 top 1 factor 1.500000e+00 alignment 1, "b" rows N experts 2 top 2
  // CHECK-SAME: factor -0.69999999999999996 alignment 128)
  entry "train" train objective "erm" flops 47040.0
      inputs ("image" f32[D * N, 1, 28, 28], "label" i32[D * N]) outputs ("loss" f32[])
      saved ("relu" bytes D * N * 40 because "a \"mask\"")
      capacities ("moe.gate" rows D * N * 197 experts 6 top 1 factor 1.5 alignment 1,
                  "b" rows N experts 2 top 2 factor -0.7 alignment 128)
  // CHECK-NEXT: target cpu "cpu" level "x86-64-v3" features ["avx2", "fma"] elements 2147483647 {
  target cpu "cpu" level "x86-64-v3" features ["avx2", "fma"] elements 2147483647 {
    // CHECK-NEXT: kernel @k "loop" (read f32, write f32, write u8) scalars 5 scratch 128
    kernel @k "loop" (read f32, write f32, write u8) scalars 5 scratch 128
    // CHECK-NEXT: kernel @in_place "loop" (read f32, write f32 over 0)
    kernel @in_place "loop" (read f32, write f32 over 0)
    // CHECK-NEXT: plan "train" {
    plan "train" {
      // CHECK-NEXT: %[[IN:.*]] = buffer input "image" f32[D * N * 784]
      %0 = buffer input "image" f32[D * N * 784]
      // CHECK-NEXT: %[[W:.*]] = buffer state "fc.weight" f32[7840] align 128 name "w"
      %1 = buffer state "fc.weight" f32[7840] align 128 name "w"
      // Left-associative, with parentheses only where the steps need them.
      // CHECK-NEXT: %[[T:.*]] = buffer temporary u8[D * (N + 3) floordiv 2 - (D - -1) * N] live {{\[}}0, 0]
      %3 = buffer temporary u8[((D * ((N + 3))) floordiv 2) - ((D - -1) * N)] live [0, 0]
      // CHECK-NEXT: buffer temporary u8[1] live {{\[}}1, 1]
      %4 = buffer temporary u8[1] live [1, 1]
      // CHECK-NEXT: launch prepare @k(%[[IN]][D * N * 784], %[[W]][7840], %[[T]][N ceildiv (D floordiv 2)])
      // CHECK-SAME: [constant_i64 -7, constant_f32 9.99999974E-6, extent D * N, scalar_f32 "optimizer.lr", step_i64]
      // CHECK-SAME: units D grain 4 op "conv" path "stages.0" from "a.mlir" : 12 flops D * 2 bytes 0
      launch prepare @k(%0[D * N * 784], %1[7840], %3[N ceildiv (D floordiv 2)])
          [constant_i64 -7, constant_f32 1.0e-5, extent D * N, scalar_f32 "optimizer.lr", step_i64]
          units D grain 4 op "conv" path "stages.0" from "a.mlir" : 12 flops D * 2 bytes 0
      // CHECK-NEXT: launch @k(
      launch @k(%0[0], %1[0], %4[0])
          [constant_i64 1, constant_f32 0xFF800000, extent 3, seed_i64, step_i64]
          units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}

// A GPU: a grid of blocks, numbers that change from run to run in cells, and launches that need no kernel.
// CHECK-LABEL: plan.program "gpu"
plan.program "gpu" config {} {
  entry "main" infer flops 0.0 inputs ("x" f32[N, 4]) outputs ("y" f32[N, 4], "z" f32[N, 4], "ones" f32[N, 4])
  // CHECK: target cuda "cuda" level "sm_90a" features [] elements 1099511627776 {
  target cuda "cuda" level "sm_90a" features [] elements 1099511627776 {
    // CHECK-NEXT: kernel @k "loop" (read f32, write f32) scalars [value, cell, cell] threads 256
    kernel @k "loop" (read f32, write f32) scalars [value, cell, cell] threads 256
    // CHECK-NEXT: kernel @none "loop" (read f32, write f32) threads 32
    kernel @none "loop" (read f32, write f32) threads 32
    plan "main" {
      %0 = buffer input "x" f32[N * 4]
      %1 = buffer output "y" f32[N * 4]
      %2 = buffer output "z" f32[N * 4]
      %3 = buffer output "ones" f32[N * 4]
      // CHECK: launch @k(%[[X:.*]][N * 4], %[[Y:.*]][N * 4]) [extent N, seed_i64, held_i64]
      // CHECK-SAME: grid [N ceildiv 256, 1, 1] block [256, 1, 1] shared N * 4 op "x"
      launch @k(%0[N * 4], %1[N * 4]) [extent N, seed_i64, held_i64] grid [N ceildiv 256, 1, 1] block [256, 1, 1]
          shared N * 4 op "x" path "" from "" flops 0 bytes 0
      // CHECK-NEXT: launch(%[[Z:.*]][N * 4], %[[X]][N * 4]) [] copy op "copy" path "" from "" flops 0 bytes 0 of update{{$}}
      launch(%2[N * 4], %0[N * 4]) [] copy op "copy" path "" from "" flops 0 bytes 0 of update
      // CHECK-NEXT: launch(%{{.*}}[N * 4]) [] fill 1065353216 op "fill" path "" from "" flops 0 bytes 0{{$}}
      launch(%3[N * 4]) [] fill 1065353216 op "fill" path "" from "" flops 0 bytes 0
    }
  }
}
