// Several files are one text: a declaration takes its body from another file.
// RUN: moec compile %s %S/inputs/layers.mlir --to=elaborate -o - | FileCheck %s
// RUN: moec compile %S/inputs/layers.mlir %s --to=elaborate -o - | FileCheck %s
// RUN: not moec compile %s --to=elaborate -o - 2>&1 | FileCheck %s --check-prefix=ALONE
// RUN: not moec compile %s %S/inputs/layers.mlir %S/inputs/layers-again.mlir --to=elaborate -o - 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not moec compile %s %S/inputs/layers-other.mlir --to=elaborate -o - 2>&1 | FileCheck %s --check-prefix=OTHER

// RUN: not moec compile %s %S/inputs/layers.mlir %S/inputs/layers-rank.mlir --to=elaborate -o - 2>&1 | FileCheck %s --check-prefix=RANK

// CHECK: flow.parameter "mlp.fc1.weight" {{.*}} : tensor<16x4xf32>

// ALONE: link.mlir:[[#]]:{{.*}} error: layer '@Mlp' is only declared; name the file that has its body as well
// ALONE: link.mlir:[[#]]:{{.*}} note: declared here
// TWICE: layers-again.mlir:1:{{.*}} error: expected one definition of '@Mlp' in all files, found another
// TWICE: layers.mlir:2:{{.*}} note: the first is here
// OTHER: layers-other.mlir:1:{{.*}} error: expected layer '@Mlp' with 1 parameters and 1 values, found 2 and 1
// RANK: layers-rank.mlir:1:{{.*}} error: expected layer '@Pool' to take [tokens, dim] as value 0, found [height, width, channels]
moe.layer @Mlp<dim>(%x)
moe.layer @Pool(%x: [tokens, dim])

moe.model @linked<dim = 4>(%x: vector[dim]) {
  %h = apply @mlp(%x) layer @Mlp<dim>
  %y = linear @head(%h) to 3
  return logits = %y
}
