// Each target has entries of its own, with its numbers in the place of the symbols that it binds, and plans of its own.
// Whoever evaluates a program before that takes 1 for such a symbol.
// RUN: moe-opt %s --moe-form-groups="target=cpu:x86-64-v3,cpu:x86-64-v4" | FileCheck %s --implicit-check-not=row_align
// RUN: moe-opt %s --moe-form-groups="target=cpu:x86-64-v3,cpu:x86-64-v4" --moe-lower-to-plan | FileCheck %s --check-prefix=PLAN

// CHECK: flow.program @p
// CHECK-NEXT: flow.target "cpu:x86-64-v3" {
// CHECK-NEXT: flow.entry @main infer
// CHECK-NEXT: flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
// CHECK: flow.group
// CHECK: flow.target "cpu:x86-64-v4" {
// CHECK-NEXT: flow.entry @main infer
// CHECK: flow.group
// CHECK-NOT: flow.entry

// PLAN: config {{.*}}target = "cpu:x86-64-v3 cpu:x86-64-v4"
// PLAN: entry "main"
// PLAN-NOT: entry "main"
// PLAN: target cpu "cpu" level "x86-64-v3"
// PLAN: plan "main"
// PLAN: target cpu "cpu" level "x86-64-v4"
// PLAN: plan "main"
flow.program @p attributes {config = {"batch-hint" = "train=1x8"}, optimizer = "adam"} {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
    %rows = flow.pad %x low [0, 0] interior [0, 0] with 0.0 : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
    %y = flow.exp %rows : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>>
    %s = flow.reduce sum %y over [0] : tensor<?x4xf32, #flow.dims<[B + row_align * 2 - 2, 4]>> -> tensor<4xf32>
    flow.output "s" %s : tensor<4xf32>
  }
}
