// Drop path multiplies a branch by a factor of each sample, which is 0 where the sample is dropped. What contractions and attention
// of the branch, and of its gradient, read is marked, so that kernels leave out what is dropped; everything else stays as it is.
// RUN: moe-opt %s --moe-form-groups=target=cpu:x86-64-v3 --split-input-file | FileCheck %s
// Kernels for GPUs take no notice of marks, so that there are none.
// RUN: moe-opt %s --moe-form-groups=target=emulator:sm_90a --split-input-file | FileCheck %s --check-prefix=NONE
// NONE-NOT: flow.skippable

// The mask is drawn behind the branch, and computed before it. Between a mark and its contraction there is nothing.
// CHECK-LABEL: flow.program @branch
// CHECK:      %[[LIVE:.*]]:2 = flow.group()
// CHECK:      flow.random
// CHECK:      %[[M:.*]] = flow.compare ge
// CHECK:      flow.yield %[[M]],
// CHECK:      %[[A:.*]] = flow.group(%[[LIVE]]#0, %{{.*}}, %{{.*}})
// CHECK-NEXT: ^bb0(%[[MASK:.*]]: tensor<?xi1{{.*}}, %[[X:.*]]: tensor<?x20x32xf32{{.*}}, %[[W:.*]]: tensor
// CHECK-NEXT: %[[SPREAD:.*]] = flow.broadcast %[[MASK]] to [0]
// CHECK-NEXT: %[[ROWS:.*]] = flow.skippable %[[X]] where %[[SPREAD]]
// CHECK-NEXT: flow.contract %[[ROWS]] [0, 1, 2], %[[W]]
// CHECK-NEXT: flow.relu
// CHECK:      flow.group(%[[LIVE]]#0, %[[A]], %{{.*}}, %[[LIVE]]#1,
// CHECK:      flow.skippable
// CHECK-NEXT: flow.contract
// CHECK:      flow.mul
// CHECK-NEXT: flow.add
// CHECK-NOT:  flow.skippable
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
!w = tensor<32x32xf32>
flow.program @branch {
  flow.entry @main train {
    %x = flow.input "x" : !x
    %w = flow.parameter "w" constant(0.5) : !w
    %v = flow.parameter "v" constant(0.5) : !w
    %h = flow.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %a = flow.relu %h : !x
    %y = flow.contract %a [0, 1, 2], %v [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %r = flow.random uniform 7 -> !n
    %p = flow.constant 0.25 : !n
    %m = flow.compare ge %r, %p : !n
    %k = flow.convert %m : !m -> !n
    %c = flow.constant 1.25 : !n
    %f = flow.mul %k, %c : !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %d = flow.mul %y, %s : !x
    %o = flow.add %x, %d : !x
    flow.output "o" %o : !x
  }
}

// -----

// What another reader needs is computed for all samples, and so is what that is computed from. The second product is marked alone.
// CHECK-LABEL: flow.program @needed
// CHECK-NOT:  flow.skippable
// CHECK:      flow.contract
// CHECK:      flow.skippable
// CHECK-NEXT: flow.contract
// CHECK-NOT:  flow.skippable
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
!w = tensor<32x32xf32>
flow.program @needed {
  flow.entry @main train {
    %x = flow.input "x" : !x
    %m = flow.input "m" : !m
    %w = flow.parameter "w" constant(0.5) : !w
    %v = flow.parameter "v" constant(0.5) : !w
    %h = flow.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %a = flow.relu %h : !x
    flow.output "a" %a : !x
    %y = flow.contract %a [0, 1, 2], %v [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %f = flow.convert %m : !m -> !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %d = flow.mul %y, %s : !x
    flow.output "o" %d : !x
  }
}

// -----

// Gradients: rows that are 0 give rows that are 0, through what keeps zeros, and add nothing to a sum over the samples. With a
// number added they are not 0 any more.
// CHECK-LABEL: flow.program @gradient
// CHECK:      flow.skippable
// CHECK-NEXT: flow.contract %{{.*}} [0, 1, 3], %{{.*}} [3, 2] -> [0, 1, 2]
// CHECK:      flow.skippable
// CHECK-NEXT: flow.contract %{{.*}} [0, 1, 2], %{{.*}} [0, 1, 3] -> [3, 2]
// CHECK-NOT:  flow.skippable
// CHECK:      flow.contract %{{.*}} [0, 1, 2], %{{.*}} [0, 1, 3] -> [3, 2]
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
!w = tensor<32x32xf32>
flow.program @gradient {
  flow.entry @main train {
    %x = flow.input "x" : !x
    %g = flow.input "g" : !x
    %m = flow.input "m" : !m
    %w = flow.parameter "w" constant(0.5) : !w
    %f = flow.convert %m : !m -> !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %dy = flow.mul %g, %s : !x
    %dx = flow.contract %dy [0, 1, 3], %w [3, 2] -> [0, 1, 2] : !x, !w -> !x
    %t = flow.tanh %dx : !x
    %dw = flow.contract %x [0, 1, 2], %t [0, 1, 3] -> [3, 2] : !x, !x -> !w
    flow.output "dw" %dw : !w
    %e = flow.exp %dx : !x
    %de = flow.contract %x [0, 1, 2], %e [0, 1, 3] -> [3, 2] : !x, !x -> !w
    flow.output "de" %de : !w
  }
}

// -----

// Attention, and its gradient where dy and delta are 0.
// CHECK-LABEL: flow.program @attention
// CHECK:      flow.skippable
// CHECK-NEXT: flow.attention %
// CHECK:      flow.skippable
// CHECK-NEXT: flow.attention_grad
!q = tensor<?x20x96xf32, #flow.dims<[B, 20, 96]>>
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!l = tensor<?x20x4xf32, #flow.dims<[B, 20, 4]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
flow.program @attention {
  flow.entry @main train {
    %q = flow.input "q" : !q
    %m = flow.input "m" : !m
    %g = flow.input "g" : !x
    %y, %l = flow.attention %q heads 4 scale 0.5 : (!q) -> (!x, !l)
    %f = flow.convert %m : !m -> !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %d = flow.mul %y, %s : !x
    flow.output "y" %d : !x
    %dy = flow.mul %g, %s : !x
    %p = flow.mul %dy, %y : !x
    %h = flow.reshape %p : !x -> tensor<?x20x4x8xf32, #flow.dims<[B, 20, 4, 8]>>
    %delta = flow.reduce sum %h over [3] : tensor<?x20x4x8xf32, #flow.dims<[B, 20, 4, 8]>> -> !l
    %dq = flow.attention_grad %q from %l, %dy, %delta heads 4 scale 0.5 : (!q, !l, !x, !l) -> (!q)
    flow.output "dq" %dq : !q
  }
}

// -----

// A mask that follows from what it would leave out comes too late, and one of each token is not one of each sample.
// CHECK-LABEL: flow.program @neither
// CHECK-NOT:  flow.skippable
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!i = tensor<?x20x32xi1, #flow.dims<[B, 20, 32]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
!w = tensor<32x32xf32>
flow.program @neither {
  flow.entry @main train {
    %x = flow.input "x" : !x
    %i = flow.input "i" : !i
    %w = flow.parameter "w" constant(0.5) : !w
    %y = flow.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %t = flow.reduce sum %y over [1, 2] : !x -> !n
    %z = flow.constant 0.0 : !n
    %m = flow.compare gt %t, %z : !n
    %f = flow.convert %m : !m -> !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %d = flow.mul %y, %s : !x
    flow.output "o" %d : !x
    %u = flow.contract %x [0, 1, 3], %w [3, 2] -> [0, 1, 2] : !x, !w -> !x
    %j = flow.convert %i : !i -> !x
    %k = flow.mul %u, %j : !x
    flow.output "k" %k : !x
  }
}

// -----

// What a pole is read at is computed for all samples: log makes an infinity of a zero that would be in the place of a sum, and 0
// times that is no 0. So is what a number is divided by, even where the number is 0; the number itself can be left out.
// CHECK-LABEL: flow.program @poles
// CHECK-NOT:  flow.skippable
// CHECK:      flow.contract %{{.*}} -> [0, 1, 3]
// CHECK-NOT:  flow.skippable
// CHECK:      flow.contract %{{.*}} -> [0, 1, 3]
// CHECK:      flow.skippable
// CHECK-NEXT: flow.contract
// CHECK-NOT:  flow.skippable
!x = tensor<?x20x32xf32, #flow.dims<[B, 20, 32]>>
!n = tensor<?xf32, #flow.dims<[B]>>
!m = tensor<?xi1, #flow.dims<[B]>>
!w = tensor<32x32xf32>
flow.program @poles {
  flow.entry @main train {
    %x = flow.input "x" : !x
    %m = flow.input "m" : !m
    %w = flow.parameter "w" constant(0.5) : !w
    %v = flow.parameter "v" constant(0.5) : !w
    %f = flow.convert %m : !m -> !n
    %s = flow.broadcast %f to [0] : !n -> !x
    %h = flow.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %l = flow.log %h : !x
    %a = flow.mul %l, %s : !x
    flow.output "a" %a : !x
    %d = flow.contract %x [0, 1, 2], %v [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %z = flow.mul %x, %s : !x
    %b = flow.div %z, %d : !x
    flow.output "b" %b : !x
    %t = flow.exp %x : !x
    %y = flow.contract %t [0, 1, 2], %v [3, 2] -> [0, 1, 3] : !x, !w -> !x
    %q = flow.div %y, %x : !x
    %c = flow.mul %q, %s : !x
    flow.output "c" %c : !x
  }
}
