// What is kept depends on the targets, which have to be known.
// RUN: not moe-opt --moe-rematerialize=target=tpu %s 2>&1 | FileCheck %s
// CHECK: error: expected a target 'cpu'{{.*}}found 'tpu'
flow.program @p {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    flow.output "y" %x : tensor<4xf32>
  }
}
