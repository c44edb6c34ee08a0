// One linear layer on a vector: boundary, objective, gradient, optimiser; and the entry for inference without them.
// RUN: moe-opt %s --moe-elaborate=optimizer=sgd | FileCheck %s
// RUN: moe-opt %s --moe-elaborate="define=classes=7 define=in=5" | FileCheck %s --check-prefix=GIVEN
// RUN: not moe-opt %s --moe-elaborate="define=clases=7" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not moe-opt %s --moe-elaborate="define=classes=@Mlp" 2>&1 | FileCheck %s --check-prefix=LAYER
// RUN: not moe-opt %s --moe-elaborate="define=classes=7x" 2>&1 | FileCheck %s --check-prefix=TEXT
// RUN: not moe-opt %s --moe-elaborate="define=classes" 2>&1 | FileCheck %s --check-prefix=EMPTY
// RUN: not moe-opt %s --moe-elaborate="objective=ern" 2>&1 | FileCheck %s --check-prefix=OBJECTIVE
// RUN: not moe-opt %s --moe-elaborate="optimizer=adamm" 2>&1 | FileCheck %s --check-prefix=OPTIMIZER

// UNKNOWN: error: -Dclases=7: model '@one' has no parameter 'clases' (did you mean 'classes'?); it has: classes, in
// LAYER: error: -Dclasses=@Mlp: unknown layer '@Mlp'; a size is given as in -Dclasses=3
// TEXT: error: -Dclasses=7x: expected a number or a name, found '7' followed by a letter
// EMPTY: error: expected -Dname=value, found '-Dclasses'
// OBJECTIVE: error: --objective=ern: unknown objective (did you mean 'erm'?); there are: erm
// OPTIMIZER: error: --optimizer=adamm: unknown optimizer (did you mean 'adam'?); there are:

// CHECK:      flow.program @one attributes {config = {classes = "3", in = "4", objective = "erm", source = "{{.*}}elaborate.mlir"}, objective = "erm", optimizer = "sgd"}
// CHECK-NEXT:   flow.entry @train train {
// CHECK-NEXT:     %[[X:.*]] = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
// CHECK-NEXT:     %[[LABEL:.*]] = flow.input "label" : tensor<?xi32, #flow.dims<[B]>>
// CHECK-NEXT:     %[[W:.*]] = flow.parameter "fc.weight" uniform(-5.000000e-01, 5.000000e-01) : tensor<3x4xf32>
// CHECK-NEXT:     %[[BIAS:.*]] = flow.parameter "fc.bias" uniform(-5.000000e-01, 5.000000e-01) : tensor<3xf32>
// CHECK-NEXT:     %[[Z:.*]] = flow.contract %[[X]] [0, 1], %[[W]] [2, 1] -> [0, 2]
// CHECK-NEXT:     %[[WIDE:.*]] = flow.broadcast %[[BIAS]] to [1]
// CHECK-NEXT:     flow.add %[[Z]], %[[WIDE]]
// CHECK:          flow.output "loss.erm" %[[LOSS:.*]] : tensor<f32>
// CHECK-NEXT:     flow.output "loss" %[[LOSS]] : tensor<f32>
// CHECK-NEXT:     flow.grad %[[LOSS]] wrt(%[[W]], %[[BIAS]])
// CHECK:          flow.output "finite"
// CHECK-DAG:      flow.assign "fc.weight"
// CHECK-DAG:      flow.assign "fc.bias"
// CHECK:        flow.entry @main infer {
// CHECK-NEXT:     flow.input "x"
// CHECK-NEXT:     flow.parameter "fc.weight"
// CHECK-NEXT:     flow.parameter "fc.bias"
// CHECK-NEXT:     flow.contract
// CHECK-NEXT:     flow.broadcast
// CHECK-NEXT:     %[[Y:.*]] = flow.add
// CHECK-NEXT:     flow.output "logits" %[[Y]] : tensor<?x3xf32, #flow.dims<[B, 3]>>
// CHECK-NEXT:   }
// CHECK-NEXT: }

// GIVEN: flow.parameter "fc.weight" {{.*}} : tensor<7x5xf32>
moe.model @one<classes = 3, in = 4>(%x: vector[in]) {
  %y = linear @fc(%x) to classes
  return logits = %y
}
