// A grouped contraction is the root of its group on targets that have a kernel for it, and its epilogue takes what a contraction's
// takes, and a lookup of a row for each row: the bias of the expert that the row is in. So no value has a bias for each row.
// RUN: moe-opt %s --moe-form-groups=target=cpu:x86-64-v3 | FileCheck %s
// RUN: moe-opt %s --moe-form-groups=target=emulator:sm_90a | FileCheck %s
// On the CPU rows that are gathered for products alone, of which each knows them as the rows of its groups, are read where they
// are; elsewhere a loop stores them.
// RUN: moe-opt %s --moe-form-groups=target=cpu:x86-64-v3 | FileCheck %s --check-prefix=LOADS
// RUN: moe-opt %s --moe-form-groups=target=emulator:sm_90a | FileCheck %s --check-prefix=STORED
// LOADS-LABEL: flow.entry @sent
// LOADS: flow.group(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}})
// LOADS-NEXT: ^bb0
// LOADS-NEXT: %[[S:.*]] = flow.gather
// LOADS-NEXT: flow.grouped_contract %[[S]]
// LOADS-NEXT: flow.yield
// LOADS: flow.group(
// LOADS-NEXT: ^bb0
// LOADS-NEXT: %[[T:.*]] = flow.gather
// LOADS-NEXT: flow.grouped_contract %[[T]]
// LOADS-NOT: flow.group(
// LOADS-LABEL: flow.entry @shown
// LOADS: flow.gather
// LOADS-NEXT: flow.yield
// A loop that reads the rows as well gathers them by itself.
// LOADS-LABEL: flow.entry @shared
// LOADS: flow.group(
// LOADS-NEXT: ^bb0
// LOADS-NEXT: %[[G:.*]] = flow.gather
// LOADS-NEXT: flow.segment_sum %[[G]]
// LOADS-NEXT: flow.yield
// LOADS: %[[H:.*]] = flow.gather
// LOADS-NEXT: flow.grouped_contract %[[H]]
// LOADS-NOT: flow.gather
// LOADS: flow.output
// What a product reads in another way, as its matrices, is stored once for all.
// LOADS-LABEL: flow.entry @matrices
// LOADS: flow.gather
// LOADS-NOT: flow.gather
// LOADS: flow.output
// A gather is made where it is read, and the table is in memory until then.
// LOADS-LABEL: flow.entry @later
// LOADS: flow.contract
// LOADS: flow.contract
// LOADS: flow.group(
// LOADS-NEXT: ^bb0
// LOADS-NEXT: %[[L:.*]] = flow.gather
// LOADS-NEXT: flow.mul %[[L]]
// LOADS-NEXT: flow.reduce sum
// LOADS-NEXT: flow.yield
// Random numbers of which each row has an index are drawn there as well, so that of a dropout only the mask is stored.
// LOADS-LABEL: flow.entry @dropped
// LOADS: flow.group({{.*}} -> (tensor<?x64xf32, {{.*}}>, tensor<?x64xi1, {{.*}}>, tensor<?x64xf32, {{.*}}>)
// LOADS-NEXT: ^bb0
// LOADS-NEXT: flow.grouped_contract
// LOADS: flow.random
// LOADS: flow.compare
// LOADS: flow.gelu
// LOADS: flow.yield
// LOADS-NOT: flow.group(
// STORED-LABEL: flow.entry @sent
// STORED: flow.gather
// STORED-NEXT: flow.yield
// STORED: flow.grouped_contract
// STORED-LABEL: flow.entry @shared
// STORED: flow.gather
// STORED-NOT: flow.gather
// STORED: flow.output
// STORED-LABEL: flow.entry @dropped
// STORED: flow.grouped_contract
// STORED: flow.yield
// STORED: flow.random

// CHECK-LABEL: flow.entry @bias
// CHECK: flow.group(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}})
// CHECK-NEXT: ^bb0
// CHECK-NEXT: flow.grouped_contract
// CHECK-NEXT: flow.gather
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.relu
// CHECK-NEXT: flow.yield
// CHECK-NOT: flow.group
// A row of a table that is as large as the result is no bias: it is stored, and the epilogue reads it.
// CHECK-LABEL: flow.entry @rows
// CHECK: flow.group(
// CHECK: flow.gather
// CHECK-NEXT: flow.yield
// CHECK: flow.group(
// CHECK: flow.grouped_contract
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.yield
// After a contraction with one matrix, a lookup is a loop.
// CHECK-LABEL: flow.entry @dense
// CHECK: flow.group(
// CHECK: flow.gather
// CHECK-NEXT: flow.yield
// CHECK: flow.group(
// CHECK: flow.contract
// CHECK-NEXT: flow.add
flow.program @p {
  flow.entry @bias infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x32xf32>
    %b = flow.parameter "b" uniform(-1.0, 1.0) : tensor<6x64xf32>
    %o = flow.input "o" : tensor<7xi32>
    %e = flow.input "e" : tensor<?xi32, #flow.dims<[B * 16]>>
    %bias = flow.gather %b, %e : tensor<6x64xf32>, tensor<?xi32, #flow.dims<[B * 16]>> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %y = flow.grouped_contract %x [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %z = flow.add %y, %bias : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %r = flow.relu %z : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "y" %r : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
  }
  flow.entry @rows infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x32xf32>
    %t = flow.input "t" : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %o = flow.input "o" : tensor<7xi32>
    %e = flow.input "e" : tensor<?xi32, #flow.dims<[B * 16]>>
    %other = flow.gather %t, %e : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>, tensor<?xi32, #flow.dims<[B * 16]>> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %y = flow.grouped_contract %x [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %z = flow.add %y, %other : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "y" %z : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
  }
  flow.entry @dense infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<64x32xf32>
    %b = flow.parameter "b" uniform(-1.0, 1.0) : tensor<6x64xf32>
    %e = flow.input "e" : tensor<?xi32, #flow.dims<[B * 16]>>
    %bias = flow.gather %b, %e : tensor<6x64xf32>, tensor<?xi32, #flow.dims<[B * 16]>> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %y = flow.contract %x [0, 2], %w [1, 2] -> [0, 1] : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>, tensor<64x32xf32> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %z = flow.add %y, %bias : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "y" %z : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
  }
  flow.entry @sent infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x32xf32>
    %o = flow.input "o" : tensor<7xi32>
    %r = flow.input "r" : tensor<?xi32, #flow.dims<[B * 2]>>
    %s = flow.gather %x, %r : tensor<?x32xf32, #flow.dims<[B, 32]>>, tensor<?xi32, #flow.dims<[B * 2]>> -> tensor<?x32xf32, #flow.dims<[B * 2, 32]>>
    %y = flow.grouped_contract %s [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 2, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 2, 64]>>
    %d = flow.grouped_contract %s [0, 2], %y [0, 1] -> [3, 1, 2] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 2, 32]>>, tensor<?x64xf32, #flow.dims<[B * 2, 64]>>, tensor<7xi32> -> tensor<6x64x32xf32>
    flow.output "d" %d : tensor<6x64x32xf32>
  }
  // Something else reads the rows.
  flow.entry @shown infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x32xf32>
    %o = flow.input "o" : tensor<7xi32>
    %r = flow.input "r" : tensor<?xi32, #flow.dims<[B * 2]>>
    %s = flow.gather %x, %r : tensor<?x32xf32, #flow.dims<[B, 32]>>, tensor<?xi32, #flow.dims<[B * 2]>> -> tensor<?x32xf32, #flow.dims<[B * 2, 32]>>
    %y = flow.grouped_contract %s [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 2, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 2, 64]>>
    flow.output "y" %y : tensor<?x64xf32, #flow.dims<[B * 2, 64]>>
    flow.output "s" %s exposed : tensor<?x32xf32, #flow.dims<[B * 2, 32]>>
  }
  flow.entry @shared infer {
    %x = flow.input "x" : tensor<?x512xf32, #flow.dims<[B * 16, 512]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x512xf32>
    %o = flow.input "o" : tensor<7xi32>
    %r = flow.input "r" : tensor<?xi32, #flow.dims<[B * 32]>>
    %s = flow.gather %x, %r : tensor<?x512xf32, #flow.dims<[B * 16, 512]>>, tensor<?xi32, #flow.dims<[B * 32]>> -> tensor<?x512xf32, #flow.dims<[B * 32, 512]>>
    %b = flow.segment_sum %s, %o : tensor<?x512xf32, #flow.dims<[B * 32, 512]>>, tensor<7xi32> -> tensor<6x512xf32>
    %y = flow.grouped_contract %s [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x512xf32, #flow.dims<[B * 32, 512]>>, tensor<6x64x512xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 32, 64]>>
    flow.output "b" %b : tensor<6x512xf32>
    flow.output "y" %y : tensor<?x64xf32, #flow.dims<[B * 32, 64]>>
  }
  flow.entry @matrices infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>
    %t = flow.parameter "t" uniform(-1.0, 1.0) : tensor<10x64x32xf32>
    %o = flow.input "o" : tensor<7xi32>
    %c = flow.input "c" : tensor<6xi32>
    %w = flow.gather %t, %c : tensor<10x64x32xf32>, tensor<6xi32> -> tensor<6x64x32xf32>
    %n = flow.reduce sum %w over [1, 2] : tensor<6x64x32xf32> -> tensor<6xf32>
    %y = flow.grouped_contract %x [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "n" %n : tensor<6xf32>
    flow.output "y" %y : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
  }
  flow.entry @later infer {
    %x = flow.input "x" : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<64x64xf32>
    %r = flow.input "r" : tensor<?xi32, #flow.dims<[B * 256]>>
    %t = flow.contract %x [0, 1], %w [1, 2] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    %g = flow.gather %t, %r : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>, tensor<?xi32, #flow.dims<[B * 256]>> -> tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    %u = flow.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>, tensor<64x64xf32> -> tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    flow.output "u" %u : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    %m = flow.mul %g, %g : tensor<?x64xf32, #flow.dims<[B * 256, 64]>>
    %y = flow.reduce sum %m over [1] : tensor<?x64xf32, #flow.dims<[B * 256, 64]>> -> tensor<?xf32, #flow.dims<[B * 256]>>
    flow.output "y" %y : tensor<?xf32, #flow.dims<[B * 256]>>
  }
  flow.entry @dropped infer {
    %x = flow.input "x" : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>
    %w = flow.parameter "w" uniform(-1.0, 1.0) : tensor<6x64x32xf32>
    %o = flow.input "o" : tensor<7xi32>
    %r = flow.input "r" : tensor<?xi32, #flow.dims<[B * 16]>>
    %y = flow.grouped_contract %x [0, 2], %w [3, 1, 2] -> [0, 1] row 0 group 3 by %o : tensor<?x32xf32, #flow.dims<[B * 16, 32]>>, tensor<6x64x32xf32>, tensor<7xi32> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %u = flow.random uniform 7 at %r : tensor<?xi32, #flow.dims<[B * 16]>> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %rate = flow.constant 0.1 : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %m = flow.compare ge %u, %rate : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %f = flow.convert %m : tensor<?x64xi1, #flow.dims<[B * 16, 64]>> -> tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %g = flow.gelu %y : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    %d = flow.mul %g, %f : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "y" %y exposed : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
    flow.output "m" %m exposed : tensor<?x64xi1, #flow.dims<[B * 16, 64]>>
    flow.output "d" %d : tensor<?x64xf32, #flow.dims<[B * 16, 64]>>
  }
}
