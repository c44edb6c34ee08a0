// Composite ops become the ops that compute them; two of one index share their sort once equal ops are merged.
// RUN: moe-opt %s --moe-decompose | FileCheck %s
// RUN: moe-opt %s --moe-decompose --moe-simplify | FileCheck %s --check-prefix=SHARED

// CHECK-LABEL: flow.program @rows
// CHECK:      %[[I:.*]] = flow.input "i"
// CHECK-NEXT: %[[X:.*]] = flow.input "x"
// CHECK-NEXT: %[[J:.*]] = flow.reshape %[[I]] : {{.*}} -> tensor<?xi32, #flow.dims<[B * 2]>>
// CHECK-NEXT: %[[R:.*]] = flow.reshape %[[X]] : {{.*}} -> tensor<?x3xf32, #flow.dims<[B * 2, 3]>>
// CHECK-NEXT: %[[ORDER:.*]], %[[OFFSETS:.*]], %{{.*}} = flow.counting_sort %[[J]] : {{.*}} -> tensor<?xi32, #flow.dims<[B * 2]>>, tensor<6xi32>, tensor<?xi32, #flow.dims<[B * 2]>>
// CHECK-NEXT: %[[G:.*]] = flow.gather %[[R]], %[[ORDER]] :
// CHECK-NEXT: %[[Y:.*]] = flow.segment_sum %[[G]], %[[OFFSETS]] : {{.*}} -> tensor<5x3xf32>
// CHECK:      flow.output "y" %[[Y]]
// CHECK-NOT:  flow.scatter_add
// SHARED:     flow.counting_sort
// SHARED-NOT: flow.counting_sort
// SHARED:     flow.segment_sum
// SHARED:     flow.segment_sum
flow.program @rows {
  flow.entry @main infer {
    %i = flow.input "i" : tensor<?x2xi32, #flow.dims<[B, 2]>>
    %x = flow.input "x" : tensor<?x2x3xf32, #flow.dims<[B, 2, 3]>>
    %y = flow.scatter_add %i, %x : tensor<?x2xi32, #flow.dims<[B, 2]>>, tensor<?x2x3xf32, #flow.dims<[B, 2, 3]>> -> tensor<5x3xf32>
    %e = flow.exp %x : tensor<?x2x3xf32, #flow.dims<[B, 2, 3]>>
    %z = flow.scatter_add %i, %e : tensor<?x2xi32, #flow.dims<[B, 2]>>, tensor<?x2x3xf32, #flow.dims<[B, 2, 3]>> -> tensor<5x3xf32>
    flow.output "y" %y : tensor<5x3xf32>
    flow.output "z" %z : tensor<5x3xf32>
  }
}

// What routing is made of. gather_rows is a gather, since its inverse serves its gradient alone; a row's segment is the
// number of segments that end at it or before; k of a row come from ranks, the largest alone from a maximum; a long vector is
// sorted by digits, the last one first, and each sort moves both the order and the ranks on.
// CHECK-LABEL: flow.program @routing
// CHECK:      %[[T:.*]] = flow.input "t"
// CHECK:      flow.gather %[[T]], %{{.*}} : tensor<6x3xf32>, tensor<4xi32> -> tensor<4x3xf32>
// CHECK:      %[[ENDED:.*]] = flow.reduce sum %{{.*}} over [1] : tensor<8x6xi32> -> tensor<8xi32>
// CHECK:      %[[SEGMENT:.*]] = flow.select %{{.*}}, %[[ENDED]], %{{.*}} : tensor<8xi32>
// CHECK:      flow.gather %[[T]], %[[SEGMENT]] : tensor<6x3xf32>, tensor<8xi32> -> tensor<8x3xf32>
// CHECK:      %[[RANK:.*]] = flow.reduce sum %{{.*}} over [2] : tensor<5x3x3xi32> -> tensor<5x3xi32>
// CHECK:      flow.broadcast %[[RANK]] to [0, 2] : tensor<5x3xi32> -> tensor<5x2x3xi32>
// CHECK:      flow.output "k" %{{.*}} : tensor<5x2xi32>
// CHECK-NOT:  tensor<5x3x3x
// CHECK:      flow.reduce max %{{.*}} over [1] : tensor<5x3xf32> -> tensor<5xf32>
// CHECK:      flow.output "b" %{{.*}} : tensor<5x1xi32>
// CHECK:      %[[D0:.*]] = flow.radix_digit %[[V:.*]] shift 0 bits 11 : tensor<9xf32>
// CHECK-NEXT: %[[O0:.*]], %{{.*}}, %[[P0:.*]] = flow.counting_sort %[[D0]] : tensor<9xi32> -> tensor<9xi32>, tensor<2049xi32>, tensor<9xi32>
// CHECK-NEXT: %[[D1:.*]] = flow.radix_digit %[[V]] shift 11 bits 11 : tensor<9xf32>
// CHECK-NEXT: %[[M1:.*]] = flow.gather %[[D1]], %[[O0]]
// CHECK-NEXT: %[[O1:.*]], %{{.*}}, %[[P1:.*]] = flow.counting_sort %[[M1]]
// CHECK-NEXT: %[[R1:.*]] = flow.gather %[[P1]], %[[P0]]
// CHECK-NEXT: %[[A1:.*]] = flow.gather %[[O0]], %[[O1]]
// CHECK-NEXT: %[[D2:.*]] = flow.radix_digit %[[V]] shift 22 bits 10 : tensor<9xf32>
// CHECK-NEXT: %[[M2:.*]] = flow.gather %[[D2]], %[[A1]]
// CHECK-NEXT: %[[O2:.*]], %{{.*}}, %[[P2:.*]] = flow.counting_sort %[[M2]] : tensor<9xi32> -> tensor<9xi32>, tensor<1025xi32>, tensor<9xi32>
// CHECK-NEXT: %[[R2:.*]] = flow.gather %[[P2]], %[[R1]]
// CHECK-NEXT: %[[A2:.*]] = flow.gather %[[A1]], %[[O2]]
// CHECK:      flow.output "a" %[[A2]]
// CHECK:      flow.output "r" %[[R2]]
flow.program @routing {
  flow.entry @main infer {
    %i = flow.input "i" : tensor<4xi32>
    %n = flow.input "n" : tensor<6x2xi32>
    %t = flow.input "t" : tensor<6x3xf32>
    %o = flow.input "o" : tensor<7xi32>
    %x = flow.input "x" : tensor<5x3xf32>
    %v = flow.input "v" : tensor<9xf32>
    %g = flow.gather_rows %t, %i inverse %n : tensor<6x3xf32>, tensor<4xi32>, tensor<6x2xi32> -> tensor<4x3xf32>
    flow.output "g" %g : tensor<4x3xf32>
    %s = flow.segment_rows %t, %o : tensor<6x3xf32>, tensor<7xi32> -> tensor<8x3xf32>
    flow.output "s" %s : tensor<8x3xf32>
    %k = flow.top_k 2 of %x : tensor<5x3xf32> -> tensor<5x2xi32>
    flow.output "k" %k : tensor<5x2xi32>
    %b = flow.top_k 1 of %x : tensor<5x3xf32> -> tensor<5x1xi32>
    flow.output "b" %b : tensor<5x1xi32>
    %a, %r = flow.argsort %v : tensor<9xf32> -> tensor<9xi32>, tensor<9xi32>
    flow.output "a" %a : tensor<9xi32>
    flow.output "r" %r : tensor<9xi32>
  }
}
