// What the epilogues of products take: two results where both are needed in memory, and what is computed again for a
// neighbouring product. What does not fit stays a loop.
// RUN: moe-opt %s --moe-form-groups --split-input-file | FileCheck %s

// Forward, the product stores what gelu is of, for the backward part, and gelu, for the next product. Backward, gelu is computed
// again for the gradient of w2, in the epilogue that has what it is of for its slope; so that epilogue comes first.
// CHECK-LABEL: flow.program @feed_forward
// CHECK:      %[[H:.*]]:2 = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.gelu
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: %{{.*}} = flow.group(%[[H]]#1,
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK:      %[[D:.*]]:2 = flow.group(%{{.*}}, %{{.*}}, %[[H]]#0)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.gelu
// CHECK-NEXT: flow.gelu_slope
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%[[D]]#0,
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group(%{{.*}}, %[[D]]#1)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NOT:  flow.gelu
!narrow = tensor<2048x64xf32>
!wide = tensor<2048x128xf32>
!out = tensor<64x128xf32>
!in = tensor<128x64xf32>
flow.program @feed_forward {
  flow.entry @train train {
    %x = flow.input "x" : !narrow
    %d = flow.input "d" : !narrow
    %w1 = flow.parameter "w1" constant(0.5) : !in
    %w2 = flow.parameter "w2" constant(0.5) : !out
    %h = flow.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !narrow, !in -> !wide
    %a = flow.gelu %h : !wide
    %y = flow.contract %a [0, 1], %w2 [2, 1] -> [0, 2] : !wide, !out -> !narrow
    flow.output "y" %y of forward : !narrow
    %k = flow.barrier %h 1 : !wide
    %b = flow.gelu %k : !wide
    %dw2 = flow.contract %b [0, 1], %d [0, 2] -> [2, 1] : !wide, !narrow -> !out
    flow.output "dw2" %dw2 of backward : !out
    %da = flow.contract %d [0, 1], %w2 [1, 2] -> [0, 2] : !narrow, !out -> !wide
    %s = flow.gelu_slope %h : !wide
    %dh = flow.mul %da, %s : !wide
    %dw1 = flow.contract %x [0, 1], %dh [0, 2] -> [2, 1] : !narrow, !wide -> !in
    flow.output "dw1" %dw1 of backward : !in
  }
}

// -----

// A third result would be stored as fast by a loop.
// CHECK-LABEL: flow.program @three
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.{{gelu|tanh}}
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.{{gelu|tanh}}
// CHECK-NEXT: flow.yield
!rows = tensor<2048x128xf32>
!square = tensor<128x128xf32>
flow.program @three {
  flow.entry @e infer {
    %x = flow.input "x" : !rows
    %w = flow.parameter "w" constant(0.5) : !square
    %h = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : !rows, !square -> !rows
    %a = flow.gelu %h : !rows
    %b = flow.tanh %h : !rows
    flow.output "h" %h : !rows
    flow.output "a" %a : !rows
    flow.output "b" %b : !rows
  }
}

// -----

// A second result that takes more operands of its size is left to a loop, which reads them as fast.
// CHECK-LABEL: flow.program @more_operands
// CHECK:      flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.yield
!rows = tensor<2048x128xf32>
!square = tensor<128x128xf32>
flow.program @more_operands {
  flow.entry @e infer {
    %x = flow.input "x" : !rows
    %w = flow.parameter "w" constant(0.5) : !square
    %h = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : !rows, !square -> !rows
    %a = flow.mul %h, %x : !rows
    flow.output "h" %h : !rows
    flow.output "a" %a : !rows
  }
}

// -----

// What is computed again stays a loop where the epilogue stores two results without it: here other products read both.
// CHECK-LABEL: flow.program @stores_two
// CHECK:      flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.gelu %
// CHECK-NEXT: flow.yield
// CHECK:      %{{.*}}:2 = flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.contract
// CHECK-NEXT: flow.gelu_slope
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
!narrow = tensor<2048x64xf32>
!wide = tensor<2048x128xf32>
!out = tensor<64x128xf32>
!in = tensor<128x64xf32>
flow.program @stores_two {
  flow.entry @train train {
    %x = flow.input "x" : !narrow
    %d = flow.input "d" : !narrow
    %w1 = flow.parameter "w1" constant(0.5) : !in
    %w2 = flow.parameter "w2" constant(0.5) : !out
    %h = flow.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !narrow, !in -> !wide
    flow.output "h" %h of forward : !wide
    %k = flow.barrier %h 1 : !wide
    %b = flow.gelu %k : !wide
    %dw2 = flow.contract %b [0, 1], %d [0, 2] -> [2, 1] : !wide, !narrow -> !out
    flow.output "dw2" %dw2 of backward : !out
    %da = flow.contract %d [0, 1], %w2 [1, 2] -> [0, 2] : !narrow, !out -> !wide
    %s = flow.gelu_slope %h : !wide
    %dh = flow.mul %da, %s : !wide
    %r = flow.relu %dh : !wide
    %dw1 = flow.contract %x [0, 1], %dh [0, 2] -> [2, 1] : !narrow, !wide -> !in
    flow.output "dw1" %dw1 of backward : !in
    %dz = flow.contract %x [0, 1], %r [0, 2] -> [2, 1] : !narrow, !wide -> !in
    flow.output "dz" %dz of backward : !in
  }
}

// -----

// It stays a loop where three products lie between: its result would be in memory during all of them.
// CHECK-LABEL: flow.program @far
// CHECK:      flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.gelu %
// CHECK-NEXT: flow.yield
!narrow = tensor<2048x64xf32>
!wide = tensor<2048x128xf32>
!out = tensor<64x128xf32>
!in = tensor<128x64xf32>
flow.program @far {
  flow.entry @train train {
    %x = flow.input "x" : !narrow
    %d = flow.input "d" : !narrow
    %w1 = flow.parameter "w1" constant(0.5) : !in
    %w2 = flow.parameter "w2" constant(0.5) : !out
    %h = flow.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !narrow, !in -> !wide
    flow.output "h" %h of forward : !wide
    %k = flow.barrier %h 1 : !wide
    %b = flow.gelu %k : !wide
    %dw2 = flow.contract %b [0, 1], %d [0, 2] -> [2, 1] : !wide, !narrow -> !out
    flow.output "dw2" %dw2 of backward : !out
    %q = flow.parameter "q" constant(0.5) : tensor<128x128xf32>
    %m0 = flow.contract %w2 [0, 1], %q [1, 2] -> [0, 2] : !out, tensor<128x128xf32> -> !out
    %m1 = flow.contract %m0 [0, 1], %q [1, 2] -> [0, 2] : !out, tensor<128x128xf32> -> !out
    %m2 = flow.contract %m1 [0, 1], %q [1, 2] -> [0, 2] : !out, tensor<128x128xf32> -> !out
    flow.output "m" %m2 of backward : !out
    %da = flow.contract %d [0, 1], %w2 [1, 2] -> [0, 2] : !narrow, !out -> !wide
    %s = flow.gelu_slope %h : !wide
    %dh = flow.mul %da, %s : !wide
    %dw1 = flow.contract %x [0, 1], %dh [0, 2] -> [2, 1] : !narrow, !wide -> !in
    flow.output "dw1" %dw1 of backward : !in
  }
}

// -----

// It stays a loop where only what is exposed needs it: that is not computed in every step.
// CHECK-LABEL: flow.program @exposed_only
// CHECK:      flow.contract
// CHECK-NEXT: flow.yield
// CHECK-NEXT: }
// CHECK-NEXT: flow.group
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.gelu %
// CHECK-NEXT: flow.yield
!narrow = tensor<2048x64xf32>
!wide = tensor<2048x128xf32>
!out = tensor<64x128xf32>
!in = tensor<128x64xf32>
flow.program @exposed_only {
  flow.entry @train train {
    %x = flow.input "x" : !narrow
    %d = flow.input "d" : !narrow
    %w1 = flow.parameter "w1" constant(0.5) : !in
    %w2 = flow.parameter "w2" constant(0.5) : !out
    %h = flow.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !narrow, !in -> !wide
    flow.output "h" %h of forward : !wide
    %k = flow.barrier %h 1 : !wide
    %b = flow.gelu %k : !wide
    flow.expose "b" %b : !wide
    %da = flow.contract %d [0, 1], %w2 [1, 2] -> [0, 2] : !narrow, !out -> !wide
    %s = flow.gelu_slope %h : !wide
    %dh = flow.mul %da, %s : !wide
    %dw1 = flow.contract %x [0, 1], %dh [0, 2] -> [2, 1] : !narrow, !wide -> !in
    flow.output "dw1" %dw1 of backward : !in
  }
}
