// What is no program for the targets that are asked for.
// RUN: moe-opt %s --moe-form-groups="target=cpu:x86-64-v3" --split-input-file --verify-diagnostics
// RUN: not moe-opt %s --moe-form-groups="target=cpu,cpu:x86-64-v3,cpu" --split-input-file 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not moe-opt %s --moe-form-groups="target=abacus" --split-input-file 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// TWICE: error: expected each target once, found 'cpu' again
// UNKNOWN: error: expected a target 'cpu', 'cpu:x86-64-v3', 'cpu:x86-64-v4', 'cuda:sm_80', 'cuda:sm_90a', 'cuda:sm_100a', 'emulator:sm_80', 'emulator:sm_90a' or 'emulator:sm_100a', found 'abacus'

flow.program @plain {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    flow.output "y" %x : tensor<4xf32>
  }
}
// -----
// Sizes between what enters and leaves may be over symbols that a target binds, and the CPU has one, row_align.
flow.program @symbols {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    // expected-error @+1 {{expected sizes over D, N and what the target 'cpu:x86-64-v3' binds, found the symbol 'tile'}}
    %y = flow.broadcast %x to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[tile * row_align, 4]>>
    %s = flow.reduce sum %y over [0] : tensor<?x4xf32, #flow.dims<[tile * row_align, 4]>> -> tensor<4xf32>
    flow.output "s" %s : tensor<4xf32>
  }
}
// -----
flow.program @negative {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    // expected-error @+1 {{expected sizes of at least 1 with the symbols of the target 'cpu:x86-64-v3', found row_align - 3}}
    %y = flow.broadcast %x to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[row_align - 3, 4]>>
    %s = flow.reduce sum %y over [0] : tensor<?x4xf32, #flow.dims<[row_align - 3, 4]>> -> tensor<4xf32>
    flow.output "s" %s : tensor<4xf32>
  }
}
// -----
flow.program @quotient {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<4xf32>
    // expected-error @+1 {{expected sizes of at least 1 with the symbols of the target 'cpu:x86-64-v3', found floor(B, row_align - 1)}}
    %y = flow.broadcast %x to [1] : tensor<4xf32> -> tensor<?x4xf32, #flow.dims<[floor(B, row_align - 1), 4]>>
    %s = flow.reduce sum %y over [0] : tensor<?x4xf32, #flow.dims<[floor(B, row_align - 1), 4]>> -> tensor<4xf32>
    flow.output "s" %s : tensor<4xf32>
  }
}
// -----
// expected-error @+1 {{expected entries that no target has yet, found them inside of a flow.target}}
flow.program @again {
  flow.target "cpu" {
    flow.entry @main infer {
      %x = flow.input "x" : tensor<4xf32>
      flow.output "y" %x : tensor<4xf32>
    }
  }
}
// -----
// expected-error @+1 {{expected domains x rows, each from 1 to 2147483647, in a batch hint, found 'train=0x3'; it is written as train=5x64,infer=1x64, domains x rows of each}}
flow.program @hint attributes {config = {"batch-hint" = "train=0x3"}} {
}
