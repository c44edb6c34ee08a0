// RUN: not moe-opt %s --moe-emit-ptx=architecture=sm_12 2>&1 | FileCheck %s
// CHECK: error: expected an architecture of 'sm_80', 'sm_90a' or 'sm_100a', found 'sm_12'
gpu.module @kernels {
  gpu.func @nothing(%x: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    gpu.return
  }
}
