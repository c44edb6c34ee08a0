// Kernels of a GPU in the NVVM dialect: functions become polynomials, a warp's sum shuffles, dynamic shared memory an
// array that the module does not have itself.
// RUN: moe-opt %s --moe-lower-gpu | FileCheck %s --implicit-check-not=llvm.call --implicit-check-not=gpu.func --implicit-check-not=fmuladd
// RUN: moe-opt %s --moe-lower-gpu -o %t.1
// RUN: moe-opt %s --moe-lower-gpu -mlir-disable-threading -o %t.2
// RUN: cmp %t.1 %t.2

// One module for each of the two kernels; a global is where it is used.
// CHECK: gpu.module @kernels0
// CHECK-NOT: @table
// CHECK: llvm.mlir.global external @[[DYNAMIC:__dynamic_shmem__[0-9]+]]() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>
// CHECK: llvm.mlir.global internal @[[OWN:.*]]() {addr_space = 3 : i32} : !llvm.array<8 x f32>
// CHECK: llvm.func @warps({{.*}}: !llvm.ptr<1>) attributes
// CHECK-SAME: nvvm.kernel
// CHECK-SAME: nvvm.maxntid = array<i32: 64, 1, 1>
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK: nvvm.barrier0
// CHECK: gpu.module @kernels1
// CHECK: llvm.mlir.global internal @table
// CHECK: llvm.func @fused{{.*}}nvvm.minctasm = 4
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK: llvm.intr.fma
gpu.module @kernels {
  llvm.mlir.global internal @table() {addr_space = 3 : i32} : !llvm.array<4 x f32>
  gpu.func @warps(%x: !llvm.ptr<1>) workgroup(%own: memref<8xf32, #gpu.address_space<workgroup>>) kernel
      attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %memory = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %given = memref.view %memory[%c0][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<8xf32, #gpu.address_space<workgroup>>
    %v = llvm.load %x : !llvm.ptr<1> -> f32
    %sum = gpu.subgroup_reduce add %v : (f32) -> f32
    memref.store %sum, %own[%c0] : memref<8xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %s = memref.load %own[%c0] : memref<8xf32, #gpu.address_space<workgroup>>
    memref.store %s, %given[%c0] : memref<8xf32, #gpu.address_space<workgroup>>
    gpu.return
  }
  gpu.func @fused(%x: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>, nvvm.minctasm = 4 : i32} {
    %t = llvm.mlir.addressof @table : !llvm.ptr<3>
    %v = llvm.load %x {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
    %e = math.exp %v : vector<4xf32>
    %f = vector.fma %v, %e, %v : vector<4xf32>
    llvm.store %f, %t {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<3>
    gpu.return
  }
}
