// RUN: moe-opt --split-input-file --moe-rematerialize %s | FileCheck %s
// The part of a result that says none, where others say theirs, follows from what it needs: the norm is backward.
// RUN: sed -e 's/"loss" %loss : /"loss" %loss of forward : /' -e 's/"norm" %norm of backward/"norm" %norm/' %s > %t.derived.mlir
// RUN: moe-opt --split-input-file --moe-rematerialize %t.derived.mlir | FileCheck %s
// RUN: moe-opt --split-input-file --moe-rematerialize --cse %s | FileCheck %s
// Products load rows by an index on all targets, or the rows are kept for all.
// RUN: moe-opt --split-input-file --moe-rematerialize=target=cpu:x86-64-v3 %s | FileCheck %s --check-prefix=LOADS
// RUN: moe-opt --split-input-file --moe-rematerialize=target=emulator:sm_90a %s | FileCheck %s --check-prefix=STORED
// RUN: moe-opt --split-input-file --moe-rematerialize=target=cpu:x86-64-v3,emulator:sm_90a %s | FileCheck %s --check-prefix=STORED

// The example of the pass's description: the convolution's result is kept, its activation is computed again for the
// weight gradient, and common subexpressions leave it there.
// CHECK-LABEL: flow.program @activation
// CHECK: flow.saved = [{bytes = #flow.extent<B * 200704>, op = "flow.conv", why = "a contraction's or convolution's result"}]
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.parameter "w"
// CHECK-NEXT: flow.parameter "v"
// CHECK-NEXT: %[[Y:.*]] = flow.conv %
// CHECK-NEXT: %[[S:.*]] = flow.sigmoid %[[Y]]
// CHECK-NEXT: %[[N:.*]] = flow.mul %[[Y]], %[[S]]
// CHECK-NEXT: flow.conv %[[N]]
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "loss"
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[K:.*]] = flow.barrier %[[Y]] 1
// CHECK-NEXT: %[[T:.*]] = flow.sigmoid %[[K]]
// CHECK-NEXT: %[[M:.*]] = flow.mul %[[K]], %[[T]]
// CHECK-NEXT: flow.conv_weight_grad %[[M]]
// CHECK-NEXT: flow.assign "v"
// CHECK-NEXT: flow.conv_weight_grad %{{.*}}, %[[Y]]
// CHECK-NEXT: flow.assign "w"
// CHECK-NEXT: {{^ *}$}}
!maps = tensor<?x64x28x28xf32, #flow.dims<[B, 64, 28, 28]>>
flow.program @activation {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>
    %w = flow.parameter "w" constant(0.5) : tensor<64x8x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<64x64x1x1xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, tensor<64x8x3x3xf32> -> !maps
    %s = flow.sigmoid %y : !maps
    %n = flow.mul %y, %s : !maps
    %z = flow.conv %n, %v by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<64x64x1x1xf32> -> !maps
    %loss = flow.reduce sum %z over [0, 1, 2, 3] : !maps -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %dz = flow.constant 1.0 : !maps
    %dv = flow.conv_weight_grad %n, %dz by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    flow.assign "v" %dv : tensor<64x64x1x1xf32>
    %dw = flow.conv_weight_grad %x, %y by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, !maps -> tensor<64x8x3x3xf32>
    flow.assign "w" %dw : tensor<64x8x3x3xf32>
  }
}

// -----

// A result of the backward part makes nothing forward that is not: as much is computed again.
// CHECK-LABEL: flow.program @norm
// CHECK: flow.saved = [{bytes = #flow.extent<B * 200704>, op = "flow.conv", why = "a contraction's or convolution's result"}]
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.parameter "w"
// CHECK-NEXT: flow.parameter "v"
// CHECK-NEXT: %[[Y:.*]] = flow.conv %
// CHECK-NEXT: %[[S:.*]] = flow.sigmoid %[[Y]]
// CHECK-NEXT: %[[N:.*]] = flow.mul %[[Y]], %[[S]]
// CHECK-NEXT: flow.conv %[[N]]
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "loss"
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[K:.*]] = flow.barrier %[[Y]] 1
// CHECK-NEXT: %[[T:.*]] = flow.sigmoid %[[K]]
// CHECK-NEXT: %[[M:.*]] = flow.mul %[[K]], %[[T]]
// CHECK-NEXT: flow.conv_weight_grad %[[M]]
// CHECK-NEXT: flow.assign "v"
// CHECK-NEXT: flow.conv_weight_grad %{{.*}}, %[[Y]]
// CHECK-NEXT: flow.assign "w"
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "norm"
// CHECK-NEXT: {{^ *}$}}
!maps = tensor<?x64x28x28xf32, #flow.dims<[B, 64, 28, 28]>>
flow.program @norm {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>
    %w = flow.parameter "w" constant(0.5) : tensor<64x8x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<64x64x1x1xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, tensor<64x8x3x3xf32> -> !maps
    %s = flow.sigmoid %y : !maps
    %n = flow.mul %y, %s : !maps
    %z = flow.conv %n, %v by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<64x64x1x1xf32> -> !maps
    %loss = flow.reduce sum %z over [0, 1, 2, 3] : !maps -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %dz = flow.constant 1.0 : !maps
    %dv = flow.conv_weight_grad %n, %dz by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    flow.assign "v" %dv : tensor<64x64x1x1xf32>
    %dw = flow.conv_weight_grad %x, %y by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, !maps -> tensor<64x8x3x3xf32>
    flow.assign "w" %dw : tensor<64x8x3x3xf32>
    %squares = flow.mul %dw, %dw : tensor<64x8x3x3xf32>
    %norm = flow.reduce sum %squares over [0, 1, 2, 3] : tensor<64x8x3x3xf32> -> tensor<f32>
    flow.output "norm" %norm of backward : tensor<f32>
  }
}

// -----

// Of two values of one size the later is kept, so that less is computed again. Random numbers are not drawn twice: of dropout the
// mask is kept, which takes a quarter of what they take.
// CHECK-LABEL: flow.program @dropout
// CHECK: flow.saved = [{bytes = #flow.extent<B * 200704>, op = "flow.relu", {{.*}}}, {bytes = #flow.extent<B * 50176>, op = "flow.compare"
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.parameter "w"
// CHECK-NEXT: flow.parameter "v"
// CHECK-NEXT: flow.conv
// CHECK-NEXT: %[[R:.*]] = flow.relu
// CHECK-NEXT: flow.random uniform
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[M:.*]] = flow.compare ge
// CHECK-NEXT: flow.convert
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "loss"
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[N:.*]] = flow.barrier %[[M]] 1
// CHECK-NEXT: %[[F:.*]] = flow.convert %[[N]]
// CHECK-NEXT: %[[K:.*]] = flow.barrier %[[R]] 1
// CHECK-NEXT: %[[D:.*]] = flow.mul %[[K]], %[[F]]
// CHECK-NEXT: flow.conv_weight_grad %[[D]]
// CHECK-NEXT: flow.assign "v"
// CHECK-NEXT: flow.compare gt
// CHECK-NEXT: flow.convert
// CHECK-NEXT: flow.conv_weight_grad
// CHECK-NEXT: flow.assign "w"
// CHECK-NEXT: {{^ *}$}}
!maps = tensor<?x64x28x28xf32, #flow.dims<[B, 64, 28, 28]>>
flow.program @dropout {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>
    %w = flow.parameter "w" constant(0.5) : tensor<64x8x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<64x64x1x1xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, tensor<64x8x3x3xf32> -> !maps
    %r = flow.relu %y : !maps
    %u = flow.random uniform 7 -> !maps
    %rate = flow.constant 0.1 : !maps
    %m = flow.compare ge %u, %rate : !maps
    %f = flow.convert %m : tensor<?x64x28x28xi1, #flow.dims<[B, 64, 28, 28]>> -> !maps
    %d = flow.mul %r, %f : !maps
    %z = flow.conv %d, %v by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<64x64x1x1xf32> -> !maps
    %loss = flow.reduce sum %z over [0, 1, 2, 3] : !maps -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %dz = flow.constant 1.0 : !maps
    %dv = flow.conv_weight_grad %d, %dz by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    flow.assign "v" %dv : tensor<64x64x1x1xf32>
    %positive = flow.compare gt %r, %dz : !maps
    %count = flow.convert %positive : tensor<?x64x28x28xi1, #flow.dims<[B, 64, 28, 28]>> -> !maps
    %dw = flow.conv_weight_grad %x, %count by [1, 1] pads [1, 1, 1, 1] : tensor<?x8x28x28xf32, #flow.dims<[B, 8, 28, 28]>>, !maps -> tensor<64x8x3x3xf32>
    flow.assign "w" %dw : tensor<64x8x3x3xf32>
  }
}

// -----

// Small values are kept as they are: nothing is gained by computing them again.
// CHECK-LABEL: flow.program @small
// CHECK-NOT: flow.barrier
flow.program @small {
  flow.entry @train train {
    %x = flow.input "x" : tensor<?x8xf32, #flow.dims<[B, 8]>>
    %w = flow.parameter "w" constant(0.5) : tensor<8xf32>
    %e = flow.exp %x : tensor<?x8xf32, #flow.dims<[B, 8]>>
    %loss = flow.reduce sum %e over [0, 1] : tensor<?x8xf32, #flow.dims<[B, 8]>> -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %g = flow.reduce sum %e over [0] : tensor<?x8xf32, #flow.dims<[B, 8]>> -> tensor<8xf32>
    %n = flow.add %w, %g : tensor<8xf32>
    flow.assign "w" %n : tensor<8xf32>
  }
}

// -----

// A first layer's convolution is computed again, once a stage, since it costs no more than its result's way to memory
// and back; the one behind it is kept.
// CHECK-LABEL: flow.program @first
// CHECK: flow.saved = [{bytes = #flow.extent<B * 50176>, op = "flow.conv"
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.parameter "w"
// CHECK-NEXT: flow.parameter "v"
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "loss"
// CHECK-NEXT: flow.add
// CHECK-NEXT: %[[X:.*]] = flow.barrier %{{.*}} 1
// CHECK-NEXT: %[[W:.*]] = flow.barrier %{{.*}} 1
// CHECK-NEXT: %[[Y:.*]] = flow.conv %[[X]], %[[W]] by [1, 1] pads [1, 1, 1, 1] {flow.recomputed = 1 : i64}
// CHECK-NEXT: %[[R:.*]] = flow.relu %[[Y]]
// CHECK-NEXT: flow.conv_weight_grad %[[R]]
// CHECK-NEXT: flow.assign "v"
// CHECK-NEXT: flow.conv_input_grad
// CHECK-NEXT: flow.constant
// CHECK-NEXT: flow.barrier
// CHECK-NEXT: flow.barrier
// CHECK-NEXT: flow.conv %{{.*}} {flow.recomputed = 3 : i64}
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.compare gt
// CHECK-NEXT: flow.select
// CHECK-NEXT: flow.conv_weight_grad
// CHECK-NEXT: flow.assign "w"
// CHECK-NEXT: {{^ *}$}}
!image = tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>
!maps = tensor<?x64x28x28xf32, #flow.dims<[B, 64, 28, 28]>>
!half = tensor<?x64x14x14xf32, #flow.dims<[B, 64, 14, 14]>>
flow.program @first {
  flow.entry @train train {
    %x = flow.input "x" : !image
    %w = flow.parameter "w" constant(0.5) : tensor<64x1x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<64x64x2x2xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : !image, tensor<64x1x3x3xf32> -> !maps
    %r = flow.relu %y : !maps
    %z = flow.conv %r, %v by [2, 2] pads [0, 0, 0, 0] : !maps, tensor<64x64x2x2xf32> -> !half
    %q = flow.mul %z, %z : !half
    %loss = flow.reduce sum %q over [0, 1, 2, 3] : !half -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %dz = flow.add %z, %z : !half
    %dv = flow.conv_weight_grad %r, %dz by [2, 2] pads [0, 0, 0, 0] : !maps, !half -> tensor<64x64x2x2xf32>
    flow.assign "v" %dv : tensor<64x64x2x2xf32>
    %dr = flow.conv_input_grad %dz, %v by [2, 2] pads [0, 0, 0, 0] : !half, tensor<64x64x2x2xf32> -> !maps
    %zero = flow.constant 0.0 : !maps
    %positive = flow.compare gt %r, %zero : !maps
    %dy = flow.select %positive, %dr, %zero : !maps
    %dw = flow.conv_weight_grad %x, %dy by [1, 1] pads [1, 1, 1, 1] : !image, !maps -> tensor<64x1x3x3xf32>
    flow.assign "w" %dw : tensor<64x1x3x3xf32>
  }
}

// -----

// Of a row of such convolutions only the first is computed again: each stage would begin with the image.
// CHECK-LABEL: flow.program @row
// CHECK: flow.saved = [{bytes = #flow.extent<B * 50176>, op = "flow.conv"
// CHECK-SAME: why = "a contraction's or convolution's result"}]
// CHECK: flow.output "loss"
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.barrier
// CHECK-NEXT: flow.barrier
// CHECK-NEXT: flow.conv %{{.*}}, %{{.*}} by [1, 1] pads [1, 1, 1, 1] {flow.recomputed
// CHECK-NOT: pads [0, 0, 0, 0] {flow.recomputed
!image = tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>
!maps = tensor<?x16x28x28xf32, #flow.dims<[B, 16, 28, 28]>>
flow.program @row {
  flow.entry @train train {
    %x = flow.input "x" : !image
    %w = flow.parameter "w" constant(0.5) : tensor<16x1x3x3xf32>
    %v = flow.parameter "v" constant(0.5) : tensor<16x16x1x1xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : !image, tensor<16x1x3x3xf32> -> !maps
    %z = flow.conv %y, %v by [1, 1] pads [0, 0, 0, 0] : !maps, tensor<16x16x1x1xf32> -> !maps
    %q = flow.mul %z, %z : !maps
    %loss = flow.reduce sum %q over [0, 1, 2, 3] : !maps -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %dz = flow.add %z, %z : !maps
    %dv = flow.conv_weight_grad %y, %dz by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<16x16x1x1xf32>
    flow.assign "v" %dv : tensor<16x16x1x1xf32>
  }
}

// -----

// A first layer's map that many stages read is kept: computed again for each of them, it would cost more than its way
// to memory.
// CHECK-LABEL: flow.program @branches
// CHECK: flow.saved = [{bytes = #flow.extent<B * 200704>, op = "flow.conv", why = "a contraction's or convolution's result"}]
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.parameter "w"
// CHECK-NEXT: flow.conv
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.output "loss"
// CHECK-NOT: flow.recomputed
!image = tensor<?x1x28x28xf32, #flow.dims<[B, 1, 28, 28]>>
!maps = tensor<?x64x28x28xf32, #flow.dims<[B, 64, 28, 28]>>
flow.program @branches {
  flow.entry @train train {
    %x = flow.input "x" : !image
    %w = flow.parameter "w" constant(0.5) : tensor<64x1x3x3xf32>
    %y = flow.conv %x, %w by [1, 1] pads [1, 1, 1, 1] : !image, tensor<64x1x3x3xf32> -> !maps
    %loss = flow.reduce sum %y over [0, 1, 2, 3] : !maps -> tensor<f32>
    flow.output "loss" %loss : tensor<f32>
    %v0 = flow.parameter "v0" constant(0.5) : tensor<64x64x1x1xf32>
    %o0 = flow.constant 1.0 : !maps
    %d0 = flow.conv_weight_grad %y, %o0 by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    %n0 = flow.sub %v0, %d0 : tensor<64x64x1x1xf32>
    flow.assign "v0" %n0 : tensor<64x64x1x1xf32>
    %v1 = flow.parameter "v1" constant(0.5) : tensor<64x64x1x1xf32>
    %o1 = flow.constant 2.0 : !maps
    %d1 = flow.conv_weight_grad %y, %o1 by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    %n1 = flow.sub %v1, %d1 : tensor<64x64x1x1xf32>
    flow.assign "v1" %n1 : tensor<64x64x1x1xf32>
    %v2 = flow.parameter "v2" constant(0.5) : tensor<64x64x1x1xf32>
    %o2 = flow.constant 3.0 : !maps
    %d2 = flow.conv_weight_grad %y, %o2 by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    %n2 = flow.sub %v2, %d2 : tensor<64x64x1x1xf32>
    flow.assign "v2" %n2 : tensor<64x64x1x1xf32>
    %v3 = flow.parameter "v3" constant(0.5) : tensor<64x64x1x1xf32>
    %o3 = flow.constant 4.0 : !maps
    %d3 = flow.conv_weight_grad %y, %o3 by [1, 1] pads [0, 0, 0, 0] : !maps, !maps -> tensor<64x64x1x1xf32>
    %n3 = flow.sub %v3, %d3 : tensor<64x64x1x1xf32>
    flow.assign "v3" %n3 : tensor<64x64x1x1xf32>
  }
}

// -----
// The results of an op that has several are kept: neither is computed again, nor one without the other.
// CHECK-LABEL: flow.program @several
// CHECK: flow.saved = [{{.*}}op = "flow.counting_sort", why = "a reduction's or lookup's result"}
// CHECK: = flow.counting_sort
// CHECK-NOT: = flow.counting_sort
// CHECK: flow.assign "w"
flow.program @several {
  flow.entry @train train {
    %i = flow.input "i" : tensor<?xi32, #flow.dims<[B * 1024]>>
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<40000x4xf32>
    %order, %offsets, %positions = flow.counting_sort %i : tensor<?xi32, #flow.dims<[B * 1024]>> -> tensor<?xi32, #flow.dims<[B * 1024]>>, tensor<40001xi32>, tensor<?xi32, #flow.dims<[B * 1024]>>
    %e = flow.exp %x : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>
    %g = flow.gather %e, %order : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>, tensor<?xi32, #flow.dims<[B * 1024]>> -> tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>
    %s = flow.segment_sum %g, %offsets : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>, tensor<40001xi32> -> tensor<40000x4xf32>
    %l = flow.reduce sum %s over [0, 1] : tensor<40000x4xf32> -> tensor<f32>
    flow.output "loss" %l : tensor<f32>
    %e2 = flow.mul %e, %e : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>
    %h = flow.gather %e2, %order : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>, tensor<?xi32, #flow.dims<[B * 1024]>> -> tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>
    %t = flow.segment_sum %h, %offsets : tensor<?x4xf32, #flow.dims<[B * 1024, 4]>>, tensor<40001xi32> -> tensor<40000x4xf32>
    %u = flow.add %t, %w : tensor<40000x4xf32>
    flow.assign "w" %u : tensor<40000x4xf32>
  }
}

// -----

// Dispatched rows: the products of both directions read them where they are, if those of all targets do.
// LOADS-LABEL: flow.program @dispatched
// LOADS: flow.saved = []
// LOADS: flow.output "loss"
// LOADS: %[[K:.*]] = flow.barrier %{{.*}} 1
// LOADS: %[[E:.*]] = flow.sigmoid %[[K]]
// LOADS: %[[R:.*]] = flow.barrier %{{.*}} 1
// LOADS: %[[S:.*]] = flow.gather %[[E]], %[[R]]
// LOADS-NEXT: flow.grouped_contract %[[S]]
// STORED-LABEL: flow.program @dispatched
// STORED: flow.saved = [{bytes = #flow.extent<B * 524288>, op = "flow.gather", why = "a reduction's or lookup's result"}
// STORED: flow.gather %
// STORED-NOT: flow.gather %
// STORED: flow.assign
!rows = tensor<?x64xf32, #flow.dims<[B * 1024, 64]>>
!sent = tensor<?x64xf32, #flow.dims<[B * 2048, 64]>>
!index = tensor<?xi32, #flow.dims<[B * 2048]>>
flow.program @dispatched {
  flow.entry @train train {
    %x = flow.input "x" : !rows
    %r = flow.input "r" : !index
    %o = flow.input "o" : tensor<7xi32>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x64xf32>
    %e = flow.sigmoid %x : !rows
    %s = flow.gather %e, %r : !rows, !index -> !sent
    %y = flow.grouped_contract %s [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : !sent, tensor<6x64x64xf32>, tensor<7xi32> -> !sent
    %l = flow.reduce sum %y over [0, 1] : !sent -> tensor<f32>
    flow.output "loss" %l : tensor<f32>
    %g = flow.input "g" : !sent
    %d = flow.grouped_contract %s [0, 2], %g [0, 1] -> [3, 1, 2] row 0 group 3 by %o : !sent, !sent, tensor<7xi32> -> tensor<6x64x64xf32>
    flow.assign "w" %d : tensor<6x64x64xf32>
  }
}

// -----

// Long rows that a loop gathers are gathered again, from a table that is in memory anyway. So neither the rows nor what is made of
// them is stored.
// CHECK-LABEL: flow.program @rows
// CHECK: flow.saved = [{bytes = #flow.extent<B * 262144>, op = "flow.contract", why = "a contraction's or convolution's result"}]
// CHECK: flow.output "loss"
// CHECK: %[[Y:.*]] = flow.barrier %{{.*}} 1
// CHECK: %[[R:.*]] = flow.barrier %{{.*}} 1
// CHECK: %[[G:.*]] = flow.gather %[[Y]], %[[R]]
// CHECK: flow.mul %[[G]]
// Rows of few elements are kept.
// CHECK-LABEL: flow.program @short_rows
// CHECK: flow.saved = [{bytes = #flow.extent<B * 32768>, op = "flow.gather", why = "a reduction's or lookup's result"}]
// CHECK-LABEL: flow.program @product_reads
// CHECK: flow.saved = [{bytes = #flow.extent<B * 262144>, op = "flow.gather", why = "a reduction's or lookup's result"}]
!rows = tensor<?x64xf32, #flow.dims<[B * 1024, 64]>>
!index = tensor<?xi32, #flow.dims<[B * 1024]>>
flow.program @rows {
  flow.entry @train train {
    %x = flow.input "x" : !rows
    %r = flow.input "r" : !index
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<64x64xf32>
    %v = flow.parameter "v" uniform(-1.0, 1.0) : tensor<64xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : !rows, tensor<64x64xf32> -> !rows
    %g = flow.gather %y, %r : !rows, !index -> !rows
    %l = flow.reduce sum %g over [0, 1] : !rows -> tensor<f32>
    flow.output "loss" %l : tensor<f32>
    %h = flow.mul %g, %g : !rows
    %d = flow.reduce sum %h over [0] : !rows -> tensor<64xf32>
    %u = flow.add %d, %v : tensor<64xf32>
    flow.assign "v" %u : tensor<64xf32>
  }
}
!few = tensor<?x8xf32, #flow.dims<[B * 1024, 8]>>
flow.program @short_rows {
  flow.entry @train train {
    %x = flow.input "x" : !rows
    %r = flow.input "r" : !index
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<8x64xf32>
    %v = flow.parameter "v" uniform(-1.0, 1.0) : tensor<8xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : !rows, tensor<8x64xf32> -> !few
    %g = flow.gather %y, %r : !few, !index -> !few
    %l = flow.reduce sum %g over [0, 1] : !few -> tensor<f32>
    flow.output "loss" %l : tensor<f32>
    %h = flow.mul %g, %g : !few
    %d = flow.reduce sum %h over [0] : !few -> tensor<8xf32>
    %u = flow.add %d, %v : tensor<8xf32>
    flow.assign "v" %u : tensor<8xf32>
  }
}
// So are rows that a product reads, which has its operands in memory.
flow.program @product_reads {
  flow.entry @train train {
    %x = flow.input "x" : !rows
    %r = flow.input "r" : !index
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<64x64xf32>
    %y = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : !rows, tensor<64x64xf32> -> !rows
    %g = flow.gather %y, %r : !rows, !index -> !rows
    %z = flow.contract %g [0, 1], %w [2, 1] -> [0, 2] : !rows, tensor<64x64xf32> -> !rows
    %l = flow.reduce sum %z over [0, 1] : !rows -> tensor<f32>
    flow.output "loss" %l : tensor<f32>
    %d = flow.contract %g [0, 1], %x [0, 2] -> [1, 2] : !rows, !rows -> tensor<64x64xf32>
    flow.assign "w" %d : tensor<64x64xf32>
  }
}
