// The kernels of a GPU: how threads share the work of loop groups, what waits for what, and what a launch states.
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file --mlir-print-local-scope | FileCheck %s
// No number is added by several threads, in any kernel.
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file | not grep -E "atomic"
// `cuda` and `emulator` have the same kernels.
// RUN: sed -e s/emulator:/cuda:/ %s | moe-opt --moe-lower-to-plan --split-input-file | grep -E "gpu.func|launch" | sed -e 's/ from ".*" :/ :/' > %t.cuda
// RUN: moe-opt %s --moe-lower-to-plan --split-input-file | grep -E "gpu.func|launch" | sed -e 's/ from ".*" :/ :/' | diff - %t.cuda

// Neighbouring threads have neighbouring vectors of 16 bytes, where sizes are multiples of four.
// CHECK-LABEL: plan.program "elementwise"
// CHECK: target emulator "emulator" level "sm_90a+x86-64-v3" {{.*}} elements 2147483647
// CHECK: kernel @[[ADD:.*]] "loop" (read f32, write f32 over 0) scalars 1 threads 256
// CHECK: launch @[[ADD]](%{{.*}}[D * N * 384], %{{.*}}[D * N * 384]) [extent D * N * 96] grid [D * N * 96 ceildiv 256, 1, 1] block [256, 1, 1] shared 0
// CHECK: gpu.func @[[ADD]](%[[X:.*]]: !llvm.ptr<1>, %[[Y:.*]]: !llvm.ptr<1>, %[[COUNT:.*]]: i64) kernel attributes {known_block_size = array<i32: 256, 1, 1>}
// CHECK: %[[SOME:.*]] = arith.cmpi slt, %{{.*}}, %[[COUNT]] : i64
// CHECK: scf.if %[[SOME]]
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
flow.program @elementwise { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x384xf32, #flow.dims<[B, 384]>>
    %first = flow.group(%x) : (tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %s = flow.add %a, %a : tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %s : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    %second = flow.group(%first) : (tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %s = flow.add %a, %a : tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %s : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    %third = flow.group(%second) : (tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %s = flow.add %a, %a : tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %s : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    flow.output "y" %third : tensor<?x384xf32, #flow.dims<[B, 384]>>
  }
} }

// -----
// A row of 384 numbers is a warp's. The exponentials wait in shared memory, a part of it for each of the block's four
// warps. Each nest waits for the one before it.
// CHECK-LABEL: plan.program "rows"
// CHECK: launch @[[ROWS:.*]](%{{.*}}, %{{.*}}) [extent D * N] grid [D * N ceildiv 4, 1, 1] block [128, 1, 1] shared 0
// CHECK: llvm.mlir.global internal @[[ROWS]]_shared() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<6144 x i8>
// CHECK: gpu.func @[[ROWS]]({{.*}} kernel attributes {known_block_size = array<i32: 128, 1, 1>}
// CHECK-COUNT-5: gpu.shuffle xor %{{.*}} : f32
// CHECK: nvvm.bar.warp.sync
// CHECK: math.exp
// CHECK: llvm.store %{{.*}} : vector<4xf32>, !llvm.ptr<3>
// CHECK: nvvm.bar.warp.sync
// CHECK-COUNT-5: gpu.shuffle xor %{{.*}} : f32
// CHECK: nvvm.bar.warp.sync
// CHECK: llvm.store %{{.*}} : vector<4xf32>, !llvm.ptr<1>
// CHECK-NOT: gpu.barrier
// CHECK: gpu.return
flow.program @rows { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x384xf32, #flow.dims<[B, 384]>>
    %y = flow.group(%x) : (tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %m = flow.reduce max %a over [1] : tensor<?x384xf32, #flow.dims<[B, 384]>> -> tensor<?xf32, #flow.dims<[B]>>
      %all = flow.broadcast %m to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x384xf32, #flow.dims<[B, 384]>>
      %d = flow.sub %a, %all : tensor<?x384xf32, #flow.dims<[B, 384]>>
      %e = flow.exp %d : tensor<?x384xf32, #flow.dims<[B, 384]>>
      %t = flow.reduce sum %e over [1] : tensor<?x384xf32, #flow.dims<[B, 384]>> -> tensor<?xf32, #flow.dims<[B]>>
      %total = flow.broadcast %t to [0] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?x384xf32, #flow.dims<[B, 384]>>
      %r = flow.div %e, %total : tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %r : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    flow.output "y" %y : tensor<?x384xf32, #flow.dims<[B, 384]>>
  }
} }

// -----
// A long row is a block's: warps are combined in shared memory, between barriers. The result is stored once.
// CHECK-LABEL: plan.program "blocks"
// CHECK: launch @[[BLOCKS:.*]](%{{.*}}, %{{.*}}) [] grid [D * N, 1, 1] block [256, 1, 1] shared 0
// CHECK: gpu.func @[[BLOCKS]]({{.*}} kernel attributes {known_block_size = array<i32: 256, 1, 1>}
// CHECK-COUNT-5: gpu.shuffle xor %{{.*}} : f32
// CHECK: scf.if
// CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<3>
// CHECK: gpu.barrier
// CHECK-COUNT-8: llvm.load %{{.*}} : !llvm.ptr<3> -> f32
// CHECK: gpu.barrier
// CHECK: scf.if
// CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<1>
// CHECK-NOT: llvm.store
// CHECK: gpu.return
flow.program @blocks { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x8192xf32, #flow.dims<[B, 8192]>>
    %y = flow.group(%x) : (tensor<?x8192xf32, #flow.dims<[B, 8192]>>) -> tensor<?xf32, #flow.dims<[B]>> {
    ^bb0(%a: tensor<?x8192xf32, #flow.dims<[B, 8192]>>):
      %m = flow.reduce max %a over [1] : tensor<?x8192xf32, #flow.dims<[B, 8192]>> -> tensor<?xf32, #flow.dims<[B]>>
      flow.yield %m : tensor<?xf32, #flow.dims<[B]>>
    }
    flow.output "y" %y : tensor<?xf32, #flow.dims<[B]>>
  }
} }

// -----
// A sum over rows is a thread's for each column. A long one is cut into chunks, whose number follows from the sizes; a
// second launch adds the partial results in order.
// CHECK-LABEL: plan.program "columns"
// CHECK: %[[PARTIAL:.*]] = buffer temporary f32[D * N ceildiv 16 * 384] live [0, 1] name "partial"
// CHECK: launch @[[SUM:.*]](%{{.*}}, %[[PARTIAL]][D * N ceildiv 16 * 384]) {{.*}} grid [D * N ceildiv 16 * 384 ceildiv 256, 1, 1] block [256, 1, 1]
// CHECK: launch @[[COMBINE:.*]](%{{.*}}, %[[PARTIAL]][D * N ceildiv 16 * 384]) [extent D * N ceildiv 16] grid [2, 1, 1] block [256, 1, 1]
// CHECK: gpu.func @[[SUM]]
// CHECK-NOT: gpu.shuffle
// CHECK: gpu.func @[[COMBINE]]
flow.program @columns { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x384xf32, #flow.dims<[B, 384]>>
    %y = flow.group(%x) : (tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<384xf32> {
    ^bb0(%a: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %s = flow.reduce sum %a over [0] : tensor<?x384xf32, #flow.dims<[B, 384]>> -> tensor<384xf32>
      flow.yield %s : tensor<384xf32>
    }
    flow.output "y" %y : tensor<384xf32>
  }
} }

// -----
// A kernel that writes states asks whether updates are held back. What differs from run to run is read from cells; its
// parameters follow those of the buffers.
// CHECK-LABEL: plan.program "update"
// CHECK: kernel @[[UPDATE:.*]] "loop" (read f32, read f32, write f32 over 1) scalars [cell, cell] threads 256
// CHECK: launch @[[UPDATE]](%{{.*}}) [held_i64, scalar_f32 "optimizer.lr"] grid [1, 1, 1] block [256, 1, 1]
// CHECK: gpu.func @[[UPDATE]](%{{.*}}: !llvm.ptr<1>, %{{.*}}: !llvm.ptr<1>, %{{.*}}: !llvm.ptr<1>, %[[HELD:.*]]: !llvm.ptr<1>, %[[RATE:.*]]: !llvm.ptr<1>)
// CHECK: %[[WORD:.*]] = llvm.load %[[HELD]] {alignment = 8 : i64} : !llvm.ptr<1> -> i64
// CHECK: llvm.load %[[RATE]] {alignment = 8 : i64} : !llvm.ptr<1> -> f32
// CHECK: %[[FREE:.*]] = arith.cmpi eq, %[[WORD]]
// CHECK-NEXT: scf.if %[[FREE]]
// CHECK-NOT: llvm.store
// CHECK: scf.if
// CHECK: llvm.store
flow.program @update attributes {config = {}, objective = "erm", optimizer = "sgd"} { flow.target "emulator:sm_90a" {
  flow.entry @train train {
    %g = flow.input "g" : tensor<7xf32>
    %w = flow.parameter "w" uniform(-0.5, 0.5) : tensor<7xf32>
    %new = flow.group(%g, %w) : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32> {
    ^bb0(%a: tensor<7xf32>, %b: tensor<7xf32>):
      %r = flow.scalar "optimizer.lr" recipe, 0.001 : tensor<f32>
      %rate = flow.broadcast %r to [] : tensor<f32> -> tensor<7xf32>
      %d = flow.mul %a, %rate : tensor<7xf32>
      %u = flow.sub %b, %d : tensor<7xf32>
      flow.yield %u : tensor<7xf32>
    }
    flow.assign "w" %new : tensor<7xf32>
  }
} }

// -----
// A product: slices of both operands in shared memory, between barriers, and fused multiply-adds. A sum of few tiles
// and many steps is cut into parts.
// CHECK-LABEL: plan.program "product"
// CHECK: launch @[[PRODUCT:.*]](%{{.*}}) [{{.*}}] grid [D * N ceildiv 64 * 6, 1, 1] block [256, 1, 1]
// CHECK: launch @[[PARTS:.*]](%{{.*}}, %[[SUMS:.*]][20480]) [] grid [5, 1, 1] block [256, 1, 1] shared 0 op "contract"
// CHECK: launch @[[ADDED:.*]](%[[SUMS]][20480], %{{.*}}) [] grid [4, 1, 1] block [256, 1, 1] shared 0 op "contract"
// CHECK: gpu.func @[[PRODUCT]]({{.*}}nvvm.minctasm = 3
// CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<3>
// CHECK: gpu.barrier
// CHECK: llvm.intr.fma(%{{.*}}) : (vector<4xf32>, vector<4xf32>, vector<4xf32>) -> vector<4xf32>
// CHECK: gpu.barrier
// CHECK: gpu.func @[[PARTS]]
// CHECK: gpu.func @[[ADDED]]
flow.program @product { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x784xf32, #flow.dims<[B, 784]>>
    %w = flow.input "w" : tensor<384x784xf32>
    %y = flow.group(%x, %w) : (tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<384x784xf32>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x784xf32, #flow.dims<[B, 784]>>, %b: tensor<384x784xf32>):
      %p = flow.contract %a [0, 1], %b [2, 1] -> [0, 2] : tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<384x784xf32> -> tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %p : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    %l = flow.input "l" : tensor<4096x64xf32>
    %g = flow.group(%l) : (tensor<4096x64xf32>) -> tensor<64x64xf32> {
    ^bb0(%b: tensor<4096x64xf32>):
      %p = flow.contract %b [0, 1], %b [0, 2] -> [1, 2] : tensor<4096x64xf32>, tensor<4096x64xf32> -> tensor<64x64xf32>
      flow.yield %p : tensor<64x64xf32>
    }
    flow.output "y" %y : tensor<?x384xf32, #flow.dims<[B, 384]>>
    flow.output "g" %g : tensor<64x64xf32>
  }
} }

// -----
// An epilogue: the sums go through shared memory, so that neighbouring threads have neighbouring columns. There it is
// applied once, to vectors of four columns. It reads what is broadcast where it is.
// CHECK-LABEL: plan.program "epilogue"
// CHECK: launch @[[BOTH:.*]](%{{.*}}, %{{.*}}, %{{.*}}[384], %{{.*}}, %{{.*}}) {{.*}} op "contract"
// CHECK-NOT: launch
// CHECK: gpu.func @[[BOTH]]
// CHECK-COUNT-4: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<3>
// CHECK: gpu.barrier
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xf32>
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK: arith.addf
// CHECK: arith.maximumf
// CHECK: arith.addf
// CHECK: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
// CHECK-NOT: llvm.store
// CHECK: gpu.return
flow.program @epilogue { flow.target "emulator:sm_90a" {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x784xf32, #flow.dims<[B, 784]>>
    %w = flow.input "w" : tensor<384x784xf32>
    %bias = flow.input "b" : tensor<384xf32>
    %skip = flow.input "r" : tensor<?x384xf32, #flow.dims<[B, 384]>>
    %y = flow.group(%x, %w, %bias, %skip) : (tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<384x784xf32>, tensor<384xf32>, tensor<?x384xf32, #flow.dims<[B, 384]>>) -> tensor<?x384xf32, #flow.dims<[B, 384]>> {
    ^bb0(%a: tensor<?x784xf32, #flow.dims<[B, 784]>>, %b: tensor<384x784xf32>, %c: tensor<384xf32>, %r: tensor<?x384xf32, #flow.dims<[B, 384]>>):
      %p = flow.contract %a [0, 1], %b [2, 1] -> [0, 2] : tensor<?x784xf32, #flow.dims<[B, 784]>>, tensor<384x784xf32> -> tensor<?x384xf32, #flow.dims<[B, 384]>>
      %all = flow.broadcast %c to [1] : tensor<384xf32> -> tensor<?x384xf32, #flow.dims<[B, 384]>>
      %s = flow.add %p, %all : tensor<?x384xf32, #flow.dims<[B, 384]>>
      %m = flow.maximum %s, %r : tensor<?x384xf32, #flow.dims<[B, 384]>>
      %t = flow.add %m, %r : tensor<?x384xf32, #flow.dims<[B, 384]>>
      flow.yield %t : tensor<?x384xf32, #flow.dims<[B, 384]>>
    }
    flow.output "y" %y : tensor<?x384xf32, #flow.dims<[B, 384]>>
  }
} }
