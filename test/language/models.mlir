// The examples keep the author's tokens, through bytecode as well: what differs is comments and layout.
// RUN: moe-opt %root/examples/models/hmoe_28.mlir --mlir-use-nameloc-as-prefix -o %t.1
// RUN: moe-opt %root/examples/models/hmoe_28.mlir --emit-bytecode -o %t.bc
// RUN: moe-opt %t.bc --mlir-use-nameloc-as-prefix -o %t.2
// RUN: cmp %t.1 %t.2
// RUN: sed -e 's,//.*,,' %root/examples/models/hmoe_28.mlir | tr -d ' \n' > %t.author
// RUN: sed -e '1{/^module {$/d}' -e '/^}$/d' %t.1 | tr -d ' \n' > %t.printed
// RUN: cmp %t.author %t.printed
