// PTX of kernels. Arithmetic is as written: each op rounds to the nearest number, and only what is fused in the kernel
// is fused in the code. Nothing is approximate, and denormal numbers stay.
// RUN: moe-opt %root/test/numerics/inputs/gpu-kernels.mlir --moe-emit-ptx | FileCheck %s --implicit-check-not='approx' --implicit-check-not='ftz' --implicit-check-not='{{[.]full[.]}}' --implicit-check-not='{{(add|sub|mul|fma|div|sqrt)[.]f32}}' --implicit-check-not='call' --implicit-check-not='.local'
// RUN: moe-opt %root/test/numerics/inputs/gpu-kernels.mlir --moe-emit-ptx=architecture=sm_80 | FileCheck %s --check-prefix=SM80
// RUN: moe-opt %root/test/numerics/inputs/gpu-kernels.mlir --moe-emit-ptx=architecture=sm_100a | FileCheck %s --check-prefix=SM100

// SM80: .target sm_80
// SM100: .target sm_100a

// CHECK: .target sm_90a
// CHECK-LABEL: .visible .entry block_sum(
// CHECK: .maxntid 256, 1, 1
// CHECK: .shared .align 4 .b8 {{.*}}[32];
// CHECK: shfl.sync.bfly.b32
// CHECK: bar.sync 0;

// CHECK-LABEL: .visible .entry copy(
// CHECK: cp.async.cg.shared.global [{{.*}}], [{{.*}}], 16;
// CHECK: cp.async.commit_group;
// CHECK: cp.async.wait_group 0;

// CHECK-LABEL: .visible .entry elementwise(
// CHECK: ld.global.v4.b32
// CHECK: mul.rn.f32
// CHECK: fma.rn.f32
// CHECK: div.rn.f32
// CHECK: sqrt.rn.f32
// CHECK: st.global.v4.b32

// CHECK-LABEL: .visible .entry histogram(
// CHECK: atom.shared.add.u32
// CHECK: atom.global.add.u32

// CHECK-LABEL: .visible .entry lanes(
// CHECK: shfl.sync.up.b32 {{.*}}|%p
// CHECK: vote.sync.ballot.b32

// A fused product and one that is not; what is masked is not accessed.
// CHECK-LABEL: .visible .entry masked(
// CHECK: ld.global.b32
// CHECK: mul.rn.f32
// CHECK: fma.rn.f32
// CHECK: add.rn.f32

// CHECK-LABEL: .visible .entry product(
// CHECK: cvt.rna.tf32.f32
// CHECK: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32

// Dynamic shared memory lies outside of the module, so it does not overlap with the kernel's own.
// CHECK: .extern .shared .align 16 .b8 [[DYNAMIC:.*]][];
// CHECK-LABEL: .visible .entry reverse(
// CHECK: .shared .align 4 .b8 {{.*}}[256];
// CHECK: [[DYNAMIC]]

// A vector of which no more is known is accessed element by element.
// CHECK-LABEL: .visible .entry unaligned(
// CHECK-NOT: .v4
// CHECK-COUNT-4: ld.global.b32
// CHECK-COUNT-4: st.global.b32
// CHECK-LABEL: .visible .entry warp_sum(
