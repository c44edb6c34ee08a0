// Every op of flow survives text -> text and text -> bytecode -> text.
// RUN: moe-opt %s > %t.text
// RUN: moe-opt %t.text | diff %t.text -
// RUN: moe-opt %s --emit-bytecode | moe-opt | diff %t.text -
// RUN: FileCheck %s < %t.text

// A size is printed in its normal form: D * N is B, the constant comes last.
// CHECK: flow.constant 1.000000e+00 : tensor<?xf32, #flow.dims<[B - 3]>>
// CHECK: flow.extent floor(B + 3, 4) * 10
flow.program @p {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>
    %i = flow.input "i" : tensor<?xi32, #flow.dims<[B]>>
    %m = flow.state "adam.m:w" optimizer constant(0.0) of "w" : tensor<6x4x3x3xf32>
    %s = flow.scalar "optimizer.lr" recipe, 0.001 : tensor<f32>
    %w = flow.parameter "w" trunc_normal(0.0, 0.02) : tensor<6x4x3x3xf32>
    %c = flow.constant 1.0 : tensor<?xf32, #flow.dims<[N * D - 3]>>
    %never = flow.constant 0.0 : tensor<4xi1>
    %least = flow.constant -2147483648.0 : tensor<4xi32>
    %most = flow.constant 2147483647.0 : tensor<4xi32>
    %io = flow.iota 0 : tensor<?xi32, #flow.dims<[B]>>
    %e = flow.extent floor(B + 3, 4) * 10 : tensor<f32>
    %r = flow.random uniform 77 -> tensor<?xf32, #flow.dims<[B]>>
    %r2 = flow.random normal 77 at %i : tensor<?xi32, #flow.dims<[B]>> -> tensor<?xf32, #flow.dims<[B]>>
    %ne = flow.neg %r : tensor<?xf32, #flow.dims<[B]>>
    %g = flow.compare eq %r, %ne : tensor<?xf32, #flow.dims<[B]>>
    %sel = flow.select %g, %r, %ne : tensor<?xf32, #flow.dims<[B]>>
    %f = flow.is_finite %r : tensor<?xf32, #flow.dims<[B]>>
    %cv = flow.convert %g : tensor<?xi1, #flow.dims<[B]>> -> tensor<?xf32, #flow.dims<[B]>>
    %rv = flow.reverse_gradient %r by %s : tensor<?xf32, #flow.dims<[B]>>, tensor<f32>
    %ba = flow.barrier %r 3 : tensor<?xf32, #flow.dims<[B]>>
    %t = flow.transpose %x [0, 2, 3, 1] : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?x8x8x4xf32, #flow.dims<[B, 8, 8, 4]>>
    %sl = flow.slice %x from [0, 0, 1, 1] by [1, 1, 2, 3] : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?x4x4x3xf32, #flow.dims<[B, 4, 4, 3]>>
    %pd = flow.pad %sl low [0, 0, 1, 1] interior [0, 0, 1, 2] with 0.0 : tensor<?x4x4x3xf32, #flow.dims<[B, 4, 4, 3]>> -> tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>
    %cc = flow.concat %x, %pd along 1 : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>, tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?x8x8x8xf32, #flow.dims<[B, 8, 8, 8]>>
    %rd = flow.reduce sum %x over [1, 2, 3] : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?xf32, #flow.dims<[B]>>
    %am = flow.argmax %x along 1 : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?x8x8xi32, #flow.dims<[B, 8, 8]>>
    %ga = flow.gather %w, %i : tensor<6x4x3x3xf32>, tensor<?xi32, #flow.dims<[B]>> -> tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>
    %so, %of, %po = flow.counting_sort %i : tensor<?xi32, #flow.dims<[B]>> -> tensor<?xi32, #flow.dims<[B]>>, tensor<7xi32>, tensor<?xi32, #flow.dims<[B]>>
    %rn = flow.random normal 77 at %i : tensor<?xi32, #flow.dims<[B]>> -> tensor<?x4xf32, #flow.dims<[B, 4]>>
    %ei = flow.extent B : tensor<i32>
    %gi = flow.gather %i, %so : tensor<?xi32, #flow.dims<[B]>>, tensor<?xi32, #flow.dims<[B]>> -> tensor<?xi32, #flow.dims<[B]>>
    %in = flow.reshape %po : tensor<?xi32, #flow.dims<[B]>> -> tensor<?x1xi32, #flow.dims<[B, 1]>>
    %gw = flow.gather_rows %ga, %so inverse %in : tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>, tensor<?xi32, #flow.dims<[B]>>, tensor<?x1xi32, #flow.dims<[B, 1]>> -> tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>
    %sw = flow.segment_rows %w, %of : tensor<6x4x3x3xf32>, tensor<7xi32> -> tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>
    %rk = flow.rank %rn along 1 : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?x4xi32, #flow.dims<[B, 4]>>
    %tk = flow.top_k 2 of %rn : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?x2xi32, #flow.dims<[B, 2]>>
    %ao, %ar = flow.argsort %r : tensor<?xf32, #flow.dims<[B]>> -> tensor<?xi32, #flow.dims<[B]>>, tensor<?xi32, #flow.dims<[B]>>
    %di = flow.radix_digit %r shift 21 bits 11 : tensor<?xf32, #flow.dims<[B]>>
    %cy = flow.capacity %ei experts 6 top 2 factor 1.25 alignment 8 : tensor<i32>
    %gc = flow.grouped_contract %gw [1, 2, 3, 4], %w [0, 2, 3, 5] -> [1, 4, 5] row 1 group 0 by %of : tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>, tensor<6x4x3x3xf32>, tensor<7xi32> -> tensor<?x3x3xf32, #flow.dims<[B, 3, 3]>>
    %gd = flow.grouped_contract %gw [1, 2, 3, 4], %gc [1, 4, 5] -> [0, 2, 3, 5] row 1 group 0 by %of : tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>, tensor<?x3x3xf32, #flow.dims<[B, 3, 3]>>, tensor<7xi32> -> tensor<6x4x3x3xf32>
    %se = flow.segment_sum %ga, %of : tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>>, tensor<7xi32> -> tensor<6x4x3x3xf32>
    %sc = flow.scatter_add %i, %ga : tensor<?xi32, #flow.dims<[B]>>, tensor<?x4x3x3xf32, #flow.dims<[B, 4, 3, 3]>> -> tensor<6x4x3x3xf32>
    %co = flow.conv %x, %w by [2, 2] pads [1, 1, 1, 1] : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>, tensor<6x4x3x3xf32> -> tensor<?x6x4x4xf32, #flow.dims<[B, 6, 4, 4]>>
    %ci = flow.conv_input_grad %co, %w by [2, 2] pads [1, 1, 1, 1] : tensor<?x6x4x4xf32, #flow.dims<[B, 6, 4, 4]>>, tensor<6x4x3x3xf32> -> tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>
    %cw = flow.conv_weight_grad %x, %co by [2, 2] pads [1, 1, 1, 1] : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>, tensor<?x6x4x4xf32, #flow.dims<[B, 6, 4, 4]>> -> tensor<6x4x3x3xf32>
    %wi = flow.window %x size [2, 2] by [2, 2] pads [0, 0, 0, 0] with 0.0 : tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>> -> tensor<?x4x4x4x2x2xf32, #flow.dims<[B, 4, 4, 4, 2, 2]>>
    %ws = flow.window_sum %wi by [2, 2] pads [0, 0, 0, 0] : tensor<?x4x4x4x2x2xf32, #flow.dims<[B, 4, 4, 4, 2, 2]>> -> tensor<?x4x8x8xf32, #flow.dims<[B, 4, 8, 8]>>
    %qs = flow.parameter "q" constant(1.0) : tensor<2x9x12xf32>
    %vs = flow.parameter "v" constant(1.0) : tensor<2x9x4xf32>
    %ap, %lp = flow.attention %qs heads 2 scale 0.5 : (tensor<2x9x12xf32>) -> (tensor<2x9x4xf32>, tensor<2x9x2xf32>)
    %at, %ls = flow.attention %qs, %qs, %vs heads 2 scale 0.25 : (tensor<2x9x12xf32>, tensor<2x9x12xf32>, tensor<2x9x4xf32>) -> (tensor<2x9x4xf32>, tensor<2x9x2xf32>)
    %dx = flow.attention_grad %qs from %lp, %ap, %lp heads 2 scale 0.5 : (tensor<2x9x12xf32>, tensor<2x9x2xf32>, tensor<2x9x4xf32>, tensor<2x9x2xf32>) -> tensor<2x9x12xf32>
    %d3:3 = flow.attention_grad %qs, %qs, %vs from %ls, %at, %ls heads 2 scale 0.25 : (tensor<2x9x12xf32>, tensor<2x9x12xf32>, tensor<2x9x4xf32>, tensor<2x9x2xf32>, tensor<2x9x4xf32>, tensor<2x9x2xf32>) -> (tensor<2x9x12xf32>, tensor<2x9x12xf32>, tensor<2x9x4xf32>)
    %gr = flow.grad %s wrt (%w) : (tensor<f32>, tensor<6x4x3x3xf32>) -> tensor<6x4x3x3xf32>
    %q = flow.group(%r, %ne) : (tensor<?xf32, #flow.dims<[B]>>, tensor<?xf32, #flow.dims<[B]>>) -> tensor<?xf32, #flow.dims<[B]>> {
    ^bb0(%a0: tensor<?xf32, #flow.dims<[B]>>, %a1: tensor<?xf32, #flow.dims<[B]>>):
      %a2 = flow.add %a0, %a1 : tensor<?xf32, #flow.dims<[B]>>
      flow.yield %a2 : tensor<?xf32, #flow.dims<[B]>>
    }
    flow.assign "w" %gr when "made" : tensor<6x4x3x3xf32>
    flow.output "made" %s of update : tensor<f32>
    flow.expose "q" %q : tensor<?xf32, #flow.dims<[B]>>
    flow.output "loss" %s : tensor<f32>
  }
}

// CHECK: flow.entry @limited infer attributes {capacities = [#flow.capacity<"moe.gate" rows <B * 197> experts 6 top 1 factor 1.500000e+00 : f64 alignment 1>,
// CHECK-SAME: #flow.capacity<"b" rows <{{.*}}> experts 2 top 2 factor -0.69999999999999996 : f64 alignment 128>]}
flow.program @q {
  flow.entry @limited infer attributes {capacities = [
      #flow.capacity<"moe.gate" rows <B * 197> experts 6 top 1 factor 1.5 : f64 alignment 1>,
      #flow.capacity<"b" rows <D * N> experts 2 top 2 factor -0.7 : f64 alignment 128>]} {
    %x = flow.input "x" : tensor<?xf32, #flow.dims<[B]>>
    flow.output "y" %x : tensor<?xf32, #flow.dims<[B]>>
  }
}
