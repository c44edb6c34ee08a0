// What cannot become code.
// RUN: moe-opt %s --moe-lower-kernels --split-input-file --verify-diagnostics

plan.program "level" config {} {
  // expected-error @+1 {{expected a level that this compiler makes code for here, found 'pentium'}}
  target cpu "cpu" level "pentium" features [] elements 2147483647 {
    builtin.module {}
  }
}
// -----
plan.program "none" config {} {
  // expected-error @+1 {{expected a module with the kernels' functions, found none}}
  target cpu "cpu" level "x86-64-v3" features [] elements 2147483647 {}
}
