// Each target has entries of its own, with its numbers in the place of the symbols that it binds, and plans of its own.
// Whoever evaluates a program before that takes 1 for such a symbol.
// RUN: moe-opt %s --moe-form-groups="target=cpu:x86-64-v3,cpu:x86-64-v4" | FileCheck %s
// RUN: moe-opt %s --moe-form-groups="target=cpu:x86-64-v3,cpu:x86-64-v4" --moe-lower-to-plan | FileCheck %s --check-prefix=PLAN

// CHECK: flow.program @p
// CHECK-NEXT: flow.target "cpu:x86-64-v3" {
// CHECK-NEXT: flow.entry @main infer
// CHECK-NEXT: flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
// CHECK-NOT: row_align
// CHECK: flow.group
// CHECK: flow.target "cpu:x86-64-v4" {
// CHECK-NEXT: flow.entry @main infer
// CHECK: flow.group
// CHECK-NOT: flow.entry

// PLAN: config {{.*}}target = "cpu:x86-64-v3 cpu:x86-64-v4"
// PLAN: entry "main"
// PLAN-NOT: entry "main"
// PLAN: target "cpu" level "x86-64-v3"
// PLAN: plan "main"
// PLAN: target "cpu" level "x86-64-v4"
// PLAN: plan "main"
flow.program @p attributes {config = {"batch-hint" = "train=1x8"}, optimizer = "adam"} {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
    %y = flow.exp %x : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
    flow.output "y" %y : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
  }
}
