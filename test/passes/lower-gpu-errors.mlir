// RUN: moe-opt %s --moe-lower-gpu --split-input-file --verify-diagnostics

gpu.module @kernels {
  // expected-error @below {{expected a kernel that states known_block_size, found 'boundless'}}
  gpu.func @boundless(%x: !llvm.ptr<1>) kernel {
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @calls(%x: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %v = llvm.load %x : !llvm.ptr<1> -> f32
    // expected-error @below {{expected an op that kernels of a GPU support, found 'llvm.call' in kernel 'calls'}}
    %r = arith.remf %v, %v : f32
    llvm.store %r, %x : f32, !llvm.ptr<1>
    gpu.return
  }
}

// -----

gpu.module @kernels {
  // expected-error @below {{expected kernels and globals in a gpu.module, found 'func.func'}}
  func.func @helper() {
    return
  }
}

// -----

// Exact functions are instructions; this one would be an approximation.
gpu.module @kernels {
  gpu.func @approximates(%x: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %v = llvm.load %x : !llvm.ptr<1> -> f32
    // expected-error @below {{expected an op that kernels of a GPU support, found 'llvm.intr.exp2' in kernel 'approximates'}}
    %r = math.exp2 %v : f32
    llvm.store %r, %x : f32, !llvm.ptr<1>
    gpu.return
  }
}
