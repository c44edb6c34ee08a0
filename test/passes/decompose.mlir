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
