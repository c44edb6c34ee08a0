// What kernels of products and attention fetch ahead of time.
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file | FileCheck %s

// 64 steps by tiles of 6 rows are 8 steps a row, which are no loop: the four lines of a row that the epilogue stores are fetched at the
// beginning, behind those that it reads.
// CHECK-LABEL: plan.program "few"
// CHECK-NOT: rw = 1
// CHECK-COUNT-4: "llvm.intr.prefetch"{{.*}}rw = 1
// CHECK-NOT: rw = 1
!x = tensor<?x64xf32, #flow.dims<[B, 64]>>
!y = tensor<?x256xf32, #flow.dims<[B, 256]>>
flow.program @few { flow.target "cpu:x86-64-v4" {
  flow.entry @main infer {
    %x = flow.input "x" : !x
    %o = flow.input "o" : !y
    %w = flow.parameter "w" constant(0.5) : tensor<256x64xf32>
    %y = flow.group(%x, %w, %o) : (!x, tensor<256x64xf32>, !y) -> !y {
    ^bb0(%a: !x, %b: tensor<256x64xf32>, %c: !y):
      %0 = flow.contract %a [0, 1], %b [2, 1] -> [0, 2] : !x, tensor<256x64xf32> -> !y
      %1 = flow.mul %0, %c : !y
      flow.yield %1 : !y
    }
    flow.output "y" %y : !y
  }
} }

// -----

// 384 steps are 64 a row of the tile: a loop has a line in an iteration.
// CHECK-LABEL: plan.program "many"
// CHECK: scf.for
// CHECK-NOT: rw = 1
// CHECK: "llvm.intr.prefetch"{{.*}}rw = 1
// CHECK-NOT: rw = 1
!x = tensor<?x384xf32, #flow.dims<[B, 384]>>
!y = tensor<?x256xf32, #flow.dims<[B, 256]>>
flow.program @many { flow.target "cpu:x86-64-v4" {
  flow.entry @main infer {
    %x = flow.input "x" : !x
    %o = flow.input "o" : !y
    %w = flow.parameter "w" constant(0.5) : tensor<256x384xf32>
    %y = flow.group(%x, %w, %o) : (!x, tensor<256x384xf32>, !y) -> !y {
    ^bb0(%a: !x, %b: tensor<256x384xf32>, %c: !y):
      %0 = flow.contract %a [0, 1], %b [2, 1] -> [0, 2] : !x, tensor<256x384xf32> -> !y
      %1 = flow.mul %0, %c : !y
      flow.yield %1 : !y
    }
    flow.output "y" %y : !y
  }
} }

// -----

// Of 4 short heads the operands of the next one are fetched, for the second-level cache (hint 2), and a thread claims six problems at once.
// CHECK-LABEL: plan.program "short"
// CHECK: launch @attention_{{.*}} units D * N * 4 grain 24
// CHECK: "llvm.intr.prefetch"{{.*}}hint = 2
flow.program @short { flow.target "cpu:x86-64-v4" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x50x192xf32, #flow.dims<[B, 50, 192]>>
    %y = flow.group(%x) : (tensor<?x50x192xf32, #flow.dims<[B, 50, 192]>>) -> tensor<?x50x64xf32, #flow.dims<[B, 50, 64]>> {
    ^bb0(%a: tensor<?x50x192xf32, #flow.dims<[B, 50, 192]>>):
      %0, %s = flow.attention %a heads 4 scale 0.25 : (tensor<?x50x192xf32, #flow.dims<[B, 50, 192]>>) -> (tensor<?x50x64xf32, #flow.dims<[B, 50, 64]>>, tensor<?x50x4xf32, #flow.dims<[B, 50, 4]>>)
      flow.yield %0 : tensor<?x50x64xf32, #flow.dims<[B, 50, 64]>>
    }
    flow.output "y" %y : tensor<?x50x64xf32, #flow.dims<[B, 50, 64]>>
  }
} }

// -----

// A long head is claimed alone, with the blocks of its own rows, and fetches nothing of another one.
// CHECK-LABEL: plan.program "long"
// CHECK: launch @attention_{{.*}} units D * N * 18 grain 3
// CHECK-NOT: hint = 2
flow.program @long { flow.target "cpu:x86-64-v4" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x197x1152xf32, #flow.dims<[B, 197, 1152]>>
    %y = flow.group(%x) : (tensor<?x197x1152xf32, #flow.dims<[B, 197, 1152]>>) -> tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>> {
    ^bb0(%a: tensor<?x197x1152xf32, #flow.dims<[B, 197, 1152]>>):
      %0, %s = flow.attention %a heads 6 scale 0.125 : (tensor<?x197x1152xf32, #flow.dims<[B, 197, 1152]>>) -> (tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>>, tensor<?x197x6xf32, #flow.dims<[B, 197, 6]>>)
      flow.yield %0 : tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>>
    }
    flow.output "y" %y : tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>>
  }
} }
