// Kernels of a GPU, written by hand: one for each thing that lowering has to know. EmulatedKernelsTest.cpp compares what
// they compute, by code for the emulator, with reference results; test/passes/emit-ptx.mlir reads their PTX.
gpu.module @kernels {
  // y = sqrt(exp(f x) / log(x)) + f x, four elements a thread.
  gpu.func @elementwise(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %n: i64, %f: f32) kernel
      attributes {known_block_size = array<i32: 128, 1, 1>} {
    %c4 = arith.constant 4 : i64
    %block = gpu.block_id x
    %thread = gpu.thread_id x
    %size = gpu.block_dim x
    %first = arith.muli %block, %size : index
    %i = arith.addi %first, %thread : index
    %i64 = arith.index_cast %i : index to i64
    %k = arith.muli %i64, %c4 : i64
    %isInside = arith.cmpi slt, %k, %n : i64
    scf.if %isInside {
      %p = llvm.getelementptr %x[%k] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      %v = llvm.load %p {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
      %s = vector.broadcast %f : f32 to vector<4xf32>
      %scaled = arith.mulf %v, %s : vector<4xf32>
      %exp = math.exp %scaled : vector<4xf32>
      %log = math.log %v : vector<4xf32>
      %ratio = arith.divf %exp, %log : vector<4xf32>
      %root = math.sqrt %ratio : vector<4xf32>
      %sum = arith.addf %root, %scaled : vector<4xf32>
      %q = llvm.getelementptr %y[%k] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      llvm.store %sum, %q {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
    }
    gpu.return
  }

  // The sum of each warp's elements, by each of its threads. The factor is a cell.
  gpu.func @warp_sum(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %factor: !llvm.ptr<1>) kernel
      attributes {known_block_size = array<i32: 64, 1, 1>} {
    %thread = gpu.thread_id x
    %i = arith.index_cast %thread : index to i64
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %v = llvm.load %p : !llvm.ptr<1> -> f32
    %sum = gpu.subgroup_reduce add %v : (f32) -> f32
    %f = llvm.load %factor : !llvm.ptr<1> -> f32
    %r = arith.mulf %sum, %f : f32
    %q = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %r, %q : f32, !llvm.ptr<1>
    gpu.return
  }

  // Each thread's value from other lanes: up, down and by index, 0 where there is no such lane; and which lanes of its
  // warp have an odd value.
  gpu.func @lanes(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %thread = gpu.thread_id x
    %i = arith.index_cast %thread : index to i64
    %zero = arith.constant 0 : i32
    %one = arith.constant 1 : i32
    %three = arith.constant 3 : i32
    %width = arith.constant 32 : i32
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %v = llvm.load %p : !llvm.ptr<1> -> i32
    %up, %hasUp = gpu.shuffle up %v, %three, %width : i32
    %down, %hasDown = gpu.shuffle down %v, %one, %width : i32
    %first, %hasFirst = gpu.shuffle idx %v, %three, %width : i32
    %u = arith.select %hasUp, %up, %zero : i32
    %d = arith.select %hasDown, %down, %zero : i32
    %all = arith.constant -1 : i32
    %bit = arith.andi %v, %one : i32
    %isOdd = arith.cmpi eq, %bit, %one : i32
    %odd = nvvm.vote.sync ballot %all, %isOdd -> i32
    nvvm.bar.warp.sync %all : i32
    %c4 = arith.constant 4 : i64
    %k = arith.muli %i, %c4 : i64
    %q = llvm.getelementptr %y[%k] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %r0 = vector.from_elements %u, %d, %first, %odd : vector<4xi32>
    llvm.store %r0, %q {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
    gpu.return
  }

  // The sum of each block's elements: of a warp by shuffles, of the warps by shared memory.
  gpu.func @block_sum(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>)
      workgroup(%sums: memref<8xf32, #gpu.address_space<workgroup>>) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c8 = arith.constant 8 : index
    %c32 = arith.constant 32 : index
    %zero = arith.constant 0.0 : f32
    %block = gpu.block_id x
    %thread = gpu.thread_id x
    %size = gpu.block_dim x
    %first = arith.muli %block, %size : index
    %i = arith.addi %first, %thread : index
    %i64 = arith.index_cast %i : index to i64
    %p = llvm.getelementptr %x[%i64] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %v = llvm.load %p : !llvm.ptr<1> -> f32
    %sum = gpu.subgroup_reduce add %v : (f32) -> f32
    %lane = arith.remui %thread, %c32 : index
    %warp = arith.divui %thread, %c32 : index
    %isFirst = arith.cmpi eq, %lane, %c0 : index
    scf.if %isFirst {
      memref.store %sum, %sums[%warp] : memref<8xf32, #gpu.address_space<workgroup>>
    }
    gpu.barrier
    %isLeader = arith.cmpi eq, %thread, %c0 : index
    scf.if %isLeader {
      %total = scf.for %w = %c0 to %c8 step %c1 iter_args(%a = %zero) -> (f32) {
        %s = memref.load %sums[%w] : memref<8xf32, #gpu.address_space<workgroup>>
        %next = arith.addf %a, %s : f32
        scf.yield %next : f32
      }
      %b = arith.index_cast %block : index to i64
      %q = llvm.getelementptr %y[%b] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      llvm.store %total, %q : f32, !llvm.ptr<1>
    }
    gpu.return
  }

  // y = reversed(x) + reversed(x), by dynamic shared memory and by an array of its own, which must not overlap.
  gpu.func @reverse(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>)
      workgroup(%own: memref<64xf32, #gpu.address_space<workgroup>>) kernel
      attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c63 = arith.constant 63 : index
    %thread = gpu.thread_id x
    %i = arith.index_cast %thread : index to i64
    %memory = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %given = memref.view %memory[%c0][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<64xf32, #gpu.address_space<workgroup>>
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %v = llvm.load %p : !llvm.ptr<1> -> f32
    memref.store %v, %given[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
    memref.store %v, %own[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %other = arith.subi %c63, %thread : index
    %a = memref.load %given[%other] : memref<64xf32, #gpu.address_space<workgroup>>
    %b = memref.load %own[%other] : memref<64xf32, #gpu.address_space<workgroup>>
    %sum = arith.addf %a, %b : f32
    %q = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %sum, %q : f32, !llvm.ptr<1>
    gpu.return
  }

  // How often each of 16 numbers occurs: counted in shared memory, a global of the module, then added to global memory.
  llvm.mlir.global internal @counts() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<16 x i32>
  gpu.func @histogram(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 128, 1, 1>, moe.counters = array<i32: 1>} {
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0 : i32
    %one = arith.constant 1 : i32
    %block = gpu.block_id x
    %thread = gpu.thread_id x
    %size = gpu.block_dim x
    %t = arith.index_cast %thread : index to i64
    %counts = llvm.mlir.addressof @counts : !llvm.ptr<3>
    %own = llvm.getelementptr %counts[%t] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, i32
    %counter = arith.cmpi slt, %thread, %c16 : index
    scf.if %counter {
      llvm.store %zero, %own : i32, !llvm.ptr<3>
    }
    gpu.barrier
    %first = arith.muli %block, %size : index
    %i = arith.addi %first, %thread : index
    %i64 = arith.index_cast %i : index to i64
    %p = llvm.getelementptr %x[%i64] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %v = llvm.load %p : !llvm.ptr<1> -> i32
    %slot = llvm.getelementptr %counts[%v] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %before = llvm.atomicrmw add %slot, %one monotonic : !llvm.ptr<3>, i32
    gpu.barrier
    scf.if %counter {
      %n = llvm.load %own : !llvm.ptr<3> -> i32
      %q = llvm.getelementptr %y[%t] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
      %old = llvm.atomicrmw add %q, %n monotonic : !llvm.ptr<1>, i32
    }
    gpu.return
  }

  // y = x, through shared memory by asynchronous copies of 16 bytes.
  llvm.mlir.global internal @staged() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<128 x f32>
  gpu.func @copy(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %c4 = arith.constant 4 : i64
    %thread = gpu.thread_id x
    %t = arith.index_cast %thread : index to i64
    %i = arith.muli %t, %c4 : i64
    %staged = llvm.mlir.addressof @staged : !llvm.ptr<3>
    %to = llvm.getelementptr %staged[%i] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, f32
    %from = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    nvvm.cp.async.shared.global %to, %from, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.commit.group
    nvvm.cp.async.wait.group 0
    gpu.barrier
    %v = llvm.load %to {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xf32>
    // What lies at the beginning is addressed without an offset.
    %lead = llvm.load %staged : !llvm.ptr<3> -> f32
    %none = arith.subf %lead, %lead : f32
    %nothing = vector.broadcast %none : f32 to vector<4xf32>
    %same = arith.addf %v, %nothing : vector<4xf32>
    %q = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %same, %q {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1> loc("relu body.act"("model.mlir":7:1))
    gpu.return
  }

  // c = a b of one tile, 16x8 and 8x8, rounded to tf32.
  gpu.func @product(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) kernel
      attributes {known_block_size = array<i32: 32, 1, 1>} {
    %zero = arith.constant 0.0 : f32
    %c2 = arith.constant 2 : i64
    %c4 = arith.constant 4 : i64
    %c8 = arith.constant 8 : i64
    %thread = gpu.thread_id x
    %t = arith.index_cast %thread : index to i64
    %group = arith.divui %t, %c4 : i64
    %place = arith.remui %t, %c4 : i64
    // a: rows group and group + 8, columns place and place + 4; row-major.
    %row = arith.muli %group, %c8 : i64
    %a0 = arith.addi %row, %place : i64
    %pa = llvm.getelementptr %a[%a0] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %pa1 = llvm.getelementptr %pa[64] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    %pa2 = llvm.getelementptr %pa[4] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    %pa3 = llvm.getelementptr %pa[68] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    %va0 = llvm.load %pa : !llvm.ptr<1> -> f32
    %va1 = llvm.load %pa1 : !llvm.ptr<1> -> f32
    %va2 = llvm.load %pa2 : !llvm.ptr<1> -> f32
    %va3 = llvm.load %pa3 : !llvm.ptr<1> -> f32
    // b: rows place and place + 4, column group.
    %b0 = arith.muli %place, %c8 : i64
    %b1 = arith.addi %b0, %group : i64
    %pb = llvm.getelementptr %b[%b1] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %pb1 = llvm.getelementptr %pb[32] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    %vb0 = llvm.load %pb : !llvm.ptr<1> -> f32
    %vb1 = llvm.load %pb1 : !llvm.ptr<1> -> f32
    %ta0 = nvvm.convert.float.to.tf32 %va0 {rnd = #nvvm.fp_rnd_mode<rna>}
    %ta1 = nvvm.convert.float.to.tf32 %va1 {rnd = #nvvm.fp_rnd_mode<rna>}
    %ta2 = nvvm.convert.float.to.tf32 %va2 {rnd = #nvvm.fp_rnd_mode<rna>}
    %ta3 = nvvm.convert.float.to.tf32 %va3 {rnd = #nvvm.fp_rnd_mode<rna>}
    %tb0 = nvvm.convert.float.to.tf32 %vb0 {rnd = #nvvm.fp_rnd_mode<rna>}
    %tb1 = nvvm.convert.float.to.tf32 %vb1 {rnd = #nvvm.fp_rnd_mode<rna>}
    %d = nvvm.mma.sync A[%ta0, %ta1, %ta2, %ta3] B[%tb0, %tb1] C[%zero, %zero, %zero, %zero]
        {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>,
         multiplicandAPtxType = #nvvm.mma_type<tf32>, multiplicandBPtxType = #nvvm.mma_type<tf32>,
         shape = #nvvm.shape<m = 16, n = 8, k = 8>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
    // c: rows group and group + 8, columns 2 place and 2 place + 1.
    %d0 = llvm.extractvalue %d[0] : !llvm.struct<(f32, f32, f32, f32)>
    %d1 = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>
    %d2 = llvm.extractvalue %d[2] : !llvm.struct<(f32, f32, f32, f32)>
    %d3 = llvm.extractvalue %d[3] : !llvm.struct<(f32, f32, f32, f32)>
    %column = arith.muli %place, %c2 : i64
    %c0 = arith.addi %row, %column : i64
    %pc = llvm.getelementptr %c[%c0] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %pc1 = llvm.getelementptr %pc[64] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    %upper = vector.from_elements %d0, %d1 : vector<2xf32>
    %lower = vector.from_elements %d2, %d3 : vector<2xf32>
    llvm.store %upper, %pc {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr<1>
    llvm.store %lower, %pc1 {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr<1>
    gpu.return
  }

  // y = fma(x, x, x) + x x of the first n elements, four a thread; the rest is neither read nor written.
  gpu.func @masked(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %n: i64) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c4 = arith.constant 4 : index
    %none = arith.constant dense<0.0> : vector<4xf32>
    %thread = gpu.thread_id x
    %i = arith.muli %thread, %c4 : index
    %i64 = arith.index_cast %i : index to i64
    %left64 = arith.subi %n, %i64 : i64
    %left = arith.index_cast %left64 : i64 to index
    %some = arith.maxsi %left, %c0 : index
    %mask = vector.create_mask %some : vector<4xi1>
    %p = llvm.getelementptr %x[%i64] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %v = llvm.intr.masked.load %p, %mask, %none {alignment = 4 : i32} : (!llvm.ptr<1>, vector<4xi1>, vector<4xf32>) -> vector<4xf32>
    %fused = vector.fma %v, %v, %v : vector<4xf32>
    %square = arith.mulf %v, %v : vector<4xf32>
    %sum = arith.addf %fused, %square : vector<4xf32>
    %q = llvm.getelementptr %y[%i64] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.intr.masked.store %sum, %q, %mask {alignment = 4 : i32} : vector<4xf32>, vector<4xi1> into !llvm.ptr<1>
    gpu.return
  }

  // y[1..] = x[1..] by vectors that are aligned as their elements are.
  gpu.func @unaligned(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %c1 = arith.constant 1 : i64
    %c4 = arith.constant 4 : i64
    %thread = gpu.thread_id x
    %t = arith.index_cast %thread : index to i64
    %first = arith.muli %t, %c4 : i64
    %i = arith.addi %first, %c1 : i64
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %v = llvm.load %p {alignment = 4 : i64} : !llvm.ptr<1> -> vector<4xf32>
    %q = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %v, %q {alignment = 4 : i64} : vector<4xf32>, !llvm.ptr<1>
    gpu.return
  }
}
