// What breaks each numbered constraint of flow's verifiers (dialects/flow/Verify.cpp).
// RUN: moe-opt %s --split-input-file --verify-diagnostics

// 1
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32> // expected-note {{it is first here}}
  %y = flow.input "x" : tensor<4xf32> // expected-error {{expected each input once, found 'x' again}}
} }

// -----

// 1
flow.program @p { flow.entry @main train {
  %x = flow.parameter "w" constant(0.0) : tensor<4xf32> // expected-note {{it is first here}}
  %y = flow.state "w" buffer constant(0.0) : tensor<4xf32> // expected-error {{expected each path once, found 'w' again}}
} }

// -----

// 2
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  flow.assign "v" %x : tensor<4xf32> // expected-error {{expected the path of a parameter or state of this entry, found 'v'}}
} }

// -----

// 2
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  %w = flow.parameter "w" constant(0.0) : tensor<5xf32> // expected-note {{'w' is declared here}}
  flow.assign "w" %x : tensor<4xf32> // expected-error {{expected 'tensor<5xf32>', found 'tensor<4xf32>'}}
} }

// -----

// 1
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xf32>
  flow.output "y" %x : tensor<4xf32> // expected-note {{it is first here}}
  flow.output "y" %x exposed : tensor<4xf32> // expected-error {{expected each output once, found 'y' again}}
} }

// -----

// 1
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xf32>
  flow.expose "y" %x : tensor<4xf32> // expected-note {{it is first here}}
  flow.expose "y" %x : tensor<4xf32> // expected-error {{expected each exposed value once, found 'y' again}}
} }

// -----

// 25
flow.program @p { flow.entry @main infer {
  %w = flow.parameter "w" constant(0.0) : tensor<f32>
  flow.output "made" %w : tensor<f32>
  flow.assign "w" %w when "made" : tensor<f32> // expected-error {{expected 'when' in a training entry alone}}
} }

// -----

// 26
flow.program @p { flow.entry @main train {
  %w = flow.parameter "w" constant(0.0) : tensor<f32>
  flow.output "y" %w exposed : tensor<f32> // expected-error {{expected an exposed output in an inference entry alone}}
} }

// -----

// 25
flow.program @p { flow.entry @main train {
  %w = flow.parameter "w" constant(0.0) : tensor<4xf32>
  flow.output "made" %w : tensor<4xf32>
  flow.assign "w" %w when "made" : tensor<4xf32> // expected-error {{expected the name of an output of tensor<f32> behind 'when', found 'made'}}
} }

// -----

// 25
flow.program @p { flow.entry @main train {
  %w = flow.parameter "w" constant(0.0) : tensor<f32>
  flow.expose "made" %w : tensor<f32>
  flow.assign "w" %w when "made" : tensor<f32> // expected-error {{expected the name of an output of tensor<f32> behind 'when', found 'made'}}
} }

// -----

// 3
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a static shape: it outlives every batch}}
  %w = flow.parameter "w" constant(0.0) : tensor<?xf32, #flow.dims<[B]>>
} }

// -----

// 4
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a scalar of rank 0, found rank 1}}
  %s = flow.scalar "optimizer.lr" recipe, 1.0 : tensor<1xf32>
} }

// -----

// 5
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected 0 or 1 for a mask, found 2}}
  %c = flow.constant 2.0 : tensor<3xi1>
} }

// -----

// 5
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a whole number of 32 bits, found 1.5}}
  %c = flow.constant 1.5 : tensor<3xi32>
} }

// -----

// 6
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected axes below 1, found 1}}
  %i = flow.iota 1 : tensor<3xi32>
} }

// -----

// 7
flow.program @p { flow.entry @main train {
  %i = flow.input "i" : tensor<4xi32>
  // expected-error@+1 {{expected extent 5 along axis 0 of the index, found 4}}
  %r = flow.random uniform 7 at %i : tensor<4xi32> -> tensor<5xf32>
} }

// -----

// 7
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a stream of 32 bits, found -1}}
  %r = flow.random uniform -1 -> tensor<5xf32>
} }

// -----

// 8
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected a result of the operand's shape, 'tensor<4xf32>', found 'tensor<5xi1>'}}
  %y = flow.convert %x : tensor<4xf32> -> tensor<5xi1>
} }

// -----

// 9
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected a scale of rank 0, found rank 1}}
  %y = flow.reverse_gradient %x by %x : tensor<4xf32>, tensor<4xf32>
} }

// -----

// 10
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected extent 4 along axis 1 of the result, found 5}}
  %y = flow.broadcast %x to [1] : tensor<4xf32> -> tensor<3x5xf32>
} }

// -----

// 10
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected ascending axes, found 0 after 1}}
  %y = flow.broadcast %x to [1, 0] : tensor<4x3xf32> -> tensor<3x4xf32>
} }

// -----

// 11
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B, 4]>>
  // expected-error@+1 {{expected a result of B * 4 elements, found D * 4}}
  %y = flow.reshape %x : tensor<?x4xf32, #flow.dims<[B, 4]>> -> tensor<?x2x2xf32, #flow.dims<[D, 2, 2]>>
} }

// -----

// 12
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected each axis once, found 1 twice}}
  %y = flow.transpose %x [1, 1] : tensor<4x3xf32> -> tensor<3x3xf32>
} }

// -----

// 13
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected at least 6 elements along axis 0 for every batch, found 4}}
  %y = flow.slice %x from [1] by [2] : tensor<4xf32> -> tensor<3xf32>
} }

// -----

// 13: at one batch it would hold
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[B]>>
  // expected-error@+1 {{expected at least 4 elements along axis 0 for every batch, found B}}
  %y = flow.slice %x from [1] by [1] : tensor<?xf32, #flow.dims<[B]>> -> tensor<3xf32>
} }

// -----

// 13: holds for every batch
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[B * 2 + 1]>>
  %y = flow.slice %x from [2] by [1] : tensor<?xf32, #flow.dims<[B * 2 + 1]>> -> tensor<?xf32, #flow.dims<[B]>>
  %z = flow.slice %y from [0] by [2] : tensor<?xf32, #flow.dims<[B]>> -> tensor<?xf32, #flow.dims<[ceil(B, 2)]>>
} }

// -----

// 13: numbers that would overflow
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected starts of at most 2147483647, found 9223372036854775807}}
  %y = flow.slice %x from [9223372036854775807] by [1] : tensor<4xf32> -> tensor<3xf32>
} }

// -----

flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected strides of at most 2147483647, found 4611686018427387904}}
  %y = flow.slice %x from [0] by [4611686018427387904] : tensor<4xf32> -> tensor<5xf32>
} }

// -----

// 14: at one batch it would hold
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[B]>>
  // expected-error@+1 {{expected at least B + 1 elements along axis 0 of the result for every batch, found B}}
  %y = flow.pad %x low [1] interior [0] with 0.0 : tensor<?xf32, #flow.dims<[B]>> -> tensor<?xf32, #flow.dims<[B]>>
} }

// -----

// 14: numbers that would overflow
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected low of at most 2147483647, found 9223372036854775807}}
  %y = flow.pad %x low [9223372036854775807] interior [0] with 0.0 : tensor<4xf32> -> tensor<7xf32>
} }

// -----

flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected interior of at most 2147483647, found 9223372036854775807}}
  %y = flow.pad %x low [0] interior [9223372036854775807] with 0.0 : tensor<4xf32> -> tensor<7xf32>
} }

// -----

// 19: numbers that would overflow
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<2x3x8x8xf32>
  %w = flow.input "w" : tensor<5x3x3x3xf32>
  // expected-error@+1 {{expected pads of at most 2147483647, found 9223372036854775807}}
  %y = flow.conv %x, %w by [1, 1] pads [9223372036854775807, 0, 9223372036854775807, 0] : tensor<2x3x8x8xf32>, tensor<5x3x3x3xf32> -> tensor<2x5x4x6xf32>
} }

// -----

// sizes whose product is no number of 64 bits
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected sizes that multiplied fit 64 bits, found 'tensor<4294967296x4294967296xf32>'}}
  %x = flow.input "x" : tensor<4294967296x4294967296xf32>
} }

// -----

flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected sizes that multiplied fit 64 bits, found}}
  %x = flow.input "x" : tensor<?x4xf32, #flow.dims<[B * 4611686018427387904 * 4611686018427387904, 4]>>
} }

// -----

// 14
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected at least 8 elements along axis 0 of the result for every batch, found 7}}
  %y = flow.pad %x low [1] interior [1] with 0.0 : tensor<4xf32> -> tensor<7xf32>
} }

// -----

// 15
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected extent 8 along axis 0 of the result, found 9}}
  %y = flow.concat %x, %x along 0 : tensor<4xf32>, tensor<4xf32> -> tensor<9xf32>
} }

// -----

// 15
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[B]>>
  // expected-error@+1 {{expected a constant extent along axis 0 of all operands but the last, found B before one}}
  %y = flow.concat %x, %x along 0 : tensor<?xf32, #flow.dims<[B]>>, tensor<?xf32, #flow.dims<[B]>> -> tensor<?xf32, #flow.dims<[B * 2]>>
} }

// -----

// 16
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected a result of rank 1, found rank 2}}
  %y = flow.reduce sum %x over [1] : tensor<4x3xf32> -> tensor<4x1xf32>
} }

// -----

// 17
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<4x3xf32>
  %i = flow.input "i" : tensor<7xi32>
  // expected-error@+1 {{expected extent 7 along axis 0 of the rows, found 4}}
  %y = flow.gather %t, %i : tensor<4x3xf32>, tensor<7xi32> -> tensor<4x3xf32>
} }

// -----

// 18
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected labels from 0 to 2147483647 for b, found 9223372036854775807}}
  %y = flow.contract %x [0, 1], %x [0, 9223372036854775807] -> [1, 9223372036854775807] : tensor<4x3xf32>, tensor<4x3xf32> -> tensor<3x3xf32>
} }

// -----

// 18
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected labels from 0 to 2147483647 for a, found -1}}
  %y = flow.contract %x [0, -1], %x [0, 2] -> [-1, 2] : tensor<4x3xf32>, tensor<4x3xf32> -> tensor<3x3xf32>
} }

// -----

// 18
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected extent 3 for label 1 in b, found 4}}
  %y = flow.contract %x [0, 1], %x [1, 2] -> [0, 2] : tensor<4x3xf32>, tensor<4x3xf32> -> tensor<4x3xf32>
} }

// -----

// 18
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected each label in at least two of the three tensors, found 2 in one}}
  %y = flow.contract %x [0, 1], %x [0, 2] -> [0, 1] : tensor<4x3xf32>, tensor<4x3xf32> -> tensor<4x3xf32>
} }

// -----

// 18
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<3x3xf32>
  // expected-error@+1 {{expected each label once in a, found 0 twice}}
  %y = flow.contract %x [0, 0], %x [0, 1] -> [0, 1] : tensor<3x3xf32>, tensor<3x3xf32> -> tensor<3x3xf32>
} }

// -----

// 19
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>
  %w = flow.input "w" : tensor<5x3x3x3xf32>
  // expected-error@+1 {{expected extent 6 along axis 2 of the windows, found 8}}
  %y = flow.conv %x, %w by [1, 1] pads [0, 0, 0, 0] : tensor<?x3x8x8xf32, #flow.dims<[B, 3, 8, 8]>>, tensor<5x3x3x3xf32> -> tensor<?x5x8x8xf32, #flow.dims<[B, 5, 8, 8]>>
} }

// -----

// 19
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<2x3x2x2xf32>
  %w = flow.input "w" : tensor<5x3x3x3xf32>
  // expected-error@+1 {{expected a window of at most 2 (the padded image) along axis 2, found 3}}
  %y = flow.conv %x, %w by [1, 1] pads [0, 0, 0, 0] : tensor<2x3x2x2xf32>, tensor<5x3x3x3xf32> -> tensor<2x5x1x1xf32>
} }

// -----

// 20
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<2x3x4x4xf32>
  // expected-error@+1 {{expected windows of 2 along axis 4, found 1}}
  %y = flow.window %x size [2, 2] by [1, 1] pads [0, 0, 0, 0] with 0.0 : tensor<2x3x4x4xf32> -> tensor<2x3x4x3x1x2xf32>
} }

// -----

// 21
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected a loss of rank 0, found rank 1}}
  %g = flow.grad %x wrt(%x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
} }

// -----

// 22
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected block arguments of the inputs' types}}
  %y = flow.group(%x) : (tensor<4xf32>) -> tensor<4xf32> {
    %z = flow.constant 1.0 : tensor<4xf32>
    flow.yield %z : tensor<4xf32>
  }
} }

// -----

// 24
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4x2xi32>
  // expected-error@+1 {{expected an index of rank 1, found rank 2}}
  %order, %offsets, %positions = flow.counting_sort %x : tensor<4x2xi32> -> tensor<4x2xi32>, tensor<3xi32>, tensor<4x2xi32>
} }

// -----

// 24
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xi32>
  // expected-error@+1 {{expected extent 4 along axis 0 of the order, found 5}}
  %order, %offsets, %positions = flow.counting_sort %x : tensor<4xi32> -> tensor<5xi32>, tensor<3xi32>, tensor<4xi32>
} }

// -----

// 24
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected extent 4 along axis 0 of the offsets, found 3}}
  %y = flow.segment_sum %x, %o : tensor<4xf32>, tensor<3xi32> -> tensor<3xf32>
} }

// -----

// 24
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4x2xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected extent 2 along axis 1 of the result, found 3}}
  %y = flow.segment_sum %x, %o : tensor<4x2xf32>, tensor<3xi32> -> tensor<2x3xf32>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{axis 0: expected an expression over D and N in #flow.dims, found 4}}
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[4]>>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected no #flow.dims on a tensor of static shape}}
  %x = flow.input "x" : tensor<4xf32, #flow.dims<[4]>>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32>
  // expected-error@+1 {{expected #flow.dims on a tensor of dynamic shape}}
  %y = flow.reduce sum %x over [0] : tensor<?xf32> -> tensor<f32>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a symbol of letters, digits and underscores, found 'a.b'}}
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[a.b * 2]>>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected a positive divisor, found 0}}
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[floor(B, 0)]>>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected sizes of at least 1, found 0 along axis 1 of 'tensor<4x0xf32>'}}
  %x = flow.input "x" : tensor<4x0xf32>
} }

// -----

// the encoding
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected sizes of at least 1, found 0 along axis 1 of 'tensor<4x0xf32>'}}
  %y = flow.slice %x from [0, 3] by [1, 1] : tensor<4x3xf32> -> tensor<4x0xf32>
} }

// -----

// 23
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected flow.recomputed on a generator, a contraction or a convolution alone}}
  %y = flow.exp %x {flow.recomputed = 1 : i64} : tensor<4xf32>
} }

// -----

// 23
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected flow.recomputed of 1 or more in 64 bits, found 0 : i64}}
  %y = flow.random uniform 7 {flow.recomputed = 0 : i64} -> tensor<4xf32>
} }

// -----

// 23
flow.program @p { flow.entry @main train {
  // expected-error@+1 {{expected flow.recomputed of 1 or more in 64 bits, found "one"}}
  %y = flow.random uniform 7 {flow.recomputed = "one"} -> tensor<4xf32>
} }

// -----

// 5
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xi1>
  // expected-error@+1 {{expected 0 or 1 for a mask, found 2.0}}
  %y = flow.pad %x low [1] interior [0] with 2.0 : tensor<4xi1> -> tensor<6xi1>
} }

// -----

// 5
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<4xi32>
  // expected-error@+1 {{expected a whole number of 32 bits, found 2.5}}
  %y = flow.pad %x low [1] interior [0] with 2.5 : tensor<4xi32> -> tensor<6xi32>
} }

// -----

// 27: a batch hint is one
// expected-error@+1 {{expected a batch hint as text}}
flow.program @p attributes {config = {"batch-hint" = 3}} { flow.entry @main infer {
} }

// -----

// 27: a precision is one
// expected-error@+1 {{expected a precision of 'f32' or 'tf32', found "bf16"}}
flow.program @p attributes {config = {precision = "bf16"}} { flow.entry @main infer {
} }

// -----

// 28: a program holds entries, or targets
flow.program @p {
  // expected-note@+1 {{the other kind is first here}}
  flow.target "cpu" { flow.entry @main infer { } }
  // expected-error@+1 {{expected either entries or targets in a program, found both}}
  flow.entry @bare infer { }
}

// -----

flow.program @p {
  flow.target "cpu" { flow.entry @main infer { } }
  // expected-error@+1 {{expected each target once, found 'cpu' again}}
  flow.target "cpu" { flow.entry @main infer { } }
}

// -----

flow.program @p {
  flow.target "cpu" {
    // expected-error@+1 {{expected entries alone in a target}}
    %c = flow.constant 1.000000e+00 : tensor<4xf32>
  }
}

// -----

// 29: what enters or leaves has sizes over D and N
flow.program @p { flow.entry @main infer {
  // expected-error@+1 {{expected sizes over D and N of what enters or leaves an entry, found row_align * 2}}
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[row_align * 2]>>
} }

// -----

// capacities: each routing once, of rows over D and N, and numbers that give a limit
flow.program @p {
  // expected-error@+1 {{expected each routing's capacity once, found 'gate' again}}
  flow.entry @main infer attributes {capacities = [#flow.capacity<"gate" rows <B> experts 2 top 1 factor 1.5 : f64 alignment 1>,
                                                   #flow.capacity<"gate" rows <B * 2> experts 2 top 1 factor 1.5 : f64 alignment 1>]} {
  }
}

// -----

flow.program @p {
  // expected-error@+1 {{expected rows over D and N in the capacity of 'gate', found row_align * 2}}
  flow.entry @main infer attributes {capacities = [#flow.capacity<"gate" rows <row_align * 2> experts 2 top 1 factor 1.5 : f64 alignment 1>]} {
  }
}

// -----

// expected-error@+1 {{expected numbers of experts, choices and alignment from 1 to 2147483647, found 0, 1 and 1}}
#capacity = #flow.capacity<"gate" rows <B> experts 0 top 1 factor 1.5 : f64 alignment 1>

// -----

// expected-error@+1 {{expected a finite factor other than 0, found 0}}
#capacity = #flow.capacity<"gate" rows <B> experts 1 top 1 factor 0.0 : f64 alignment 1>

// -----

// expected-error@+1 {{expected a factor of f64, found 'f32'}}
#capacity = #flow.capacity<"gate" rows <B> experts 1 top 1 factor 1.0 : f32 alignment 1>

// -----

flow.program @p {
  // expected-error@+1 {{attribute 'capacities' failed to satisfy constraint: a list of limits to the rows of experts}}
  flow.entry @main infer attributes {capacities = ["gate"]} {
  }
}

// -----

// 22: a group
flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<2x3xf32>
  // expected-error@+1 {{expected layouts of one order of axes a result, each empty or a permutation, found [array<i64: 0, 0>]}}
  %y = flow.group(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> attributes {layouts = [array<i64: 0, 0>]} {
  ^bb0(%a: tensor<2x3xf32>):
    %b = flow.exp %a : tensor<2x3xf32>
    flow.yield %b : tensor<2x3xf32>
  }
} }

// -----

flow.program @p { flow.entry @main infer {
  %x = flow.input "x" : tensor<2x3xf32>
  // expected-error@+1 {{expected}}
  %y = flow.group(%x) : (tensor<2x3xf32>) -> tensor<2x?xf32> attributes {layouts = [array<i64: 0, 0>]} {
  ^bb0(%a: tensor<2x3xf32>):
    flow.yield %a : tensor<2x3xf32>
  }
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected q, k and v, or one value of all three, found 2 inputs}}
  %y, %s = flow.attention %a, %a heads 1 scale 1.0 : (tensor<2x6xf32>, tensor<2x6xf32>) -> (tensor<2x2xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected at least one head and a finite scale, found 0 and 1.0}}
  %y, %s = flow.attention %a heads 0 scale 1.0 : (tensor<2x6xf32>) -> (tensor<2x2xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected a last axis of the input that is a constant multiple of 12, found 6}}
  %y, %s = flow.attention %a heads 4 scale 1.0 : (tensor<2x6xf32>) -> (tensor<2x2xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected the input of rank 2 or more, found rank 1}}
  %y, %s = flow.attention %c heads 1 scale 1.0 : (tensor<6xf32>) -> (tensor<2xf32>, tensor<1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected k of rank 2 or more, found rank 1}}
  %y, %s = flow.attention %a, %c, %a heads 1 scale 1.0 : (tensor<2x6xf32>, tensor<6xf32>, tensor<2x6xf32>) -> (tensor<2x6xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected extent 2 along axis 0 of the v, found 3}}
  %y, %s = flow.attention %a, %a, %b heads 1 scale 1.0 : (tensor<2x6xf32>, tensor<2x6xf32>, tensor<3x4xf32>) -> (tensor<2x4xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected extent 4 along axis 1 of the k, found 6}}
  %y, %s = flow.attention %b, %a, %a heads 1 scale 1.0 : (tensor<3x4xf32>, tensor<2x6xf32>, tensor<2x6xf32>) -> (tensor<3x6xf32>, tensor<3x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected a result of type 'tensor<2x2xf32>', found 'tensor<2x3xf32>'}}
  %y, %s = flow.attention %a heads 1 scale 1.0 : (tensor<2x6xf32>) -> (tensor<2x3xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected sums of type 'tensor<2x2xf32>', found 'tensor<2x1xf32>'}}
  %y, %s = flow.attention %a heads 2 scale 1.0 : (tensor<2x6xf32>) -> (tensor<2x2xf32>, tensor<2x1xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected 1 gradients, found 2}}
  %y:2 = flow.attention_grad %a from %d, %d, %d heads 2 scale 1.0 : (tensor<2x6xf32>, tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xf32>) -> (tensor<2x6xf32>, tensor<2x6xf32>)
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected a gradient of type 'tensor<2x6xf32>', found 'tensor<2x2xf32>'}}
  %y = flow.attention_grad %a from %d, %d, %d heads 2 scale 1.0 : (tensor<2x6xf32>, tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected the result's gradient of type 'tensor<2x2xf32>', found 'tensor<2x6xf32>'}}
  %y = flow.attention_grad %a from %d, %a, %d heads 2 scale 1.0 : (tensor<2x6xf32>, tensor<2x2xf32>, tensor<2x6xf32>, tensor<2x2xf32>) -> tensor<2x6xf32>
} }

// -----

// 30: attention
flow.program @p { flow.entry @main infer {
  %a = flow.parameter "a" constant(1.0) : tensor<2x6xf32>
  %b = flow.parameter "b" constant(1.0) : tensor<3x4xf32>
  %c = flow.parameter "c" constant(1.0) : tensor<6xf32>
  %d = flow.parameter "d" constant(1.0) : tensor<2x2xf32>
  // expected-error@+1 {{expected delta of type 'tensor<2x2xf32>', found 'tensor<2x6xf32>'}}
  %y = flow.attention_grad %a from %d, %d, %a heads 2 scale 1.0 : (tensor<2x6xf32>, tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x6xf32>) -> tensor<2x6xf32>
} }

// -----

// 7
flow.program @p { flow.entry @main train {
  %i = flow.input "i" : tensor<2xi32>
  // expected-error@+1 {{expected extent 3 along axis 0 of the index, found 2}}
  %y = flow.random uniform 1 at %i : tensor<2xi32> -> tensor<3x4xf32>
} }

// -----

// 7
flow.program @p { flow.entry @main train {
  %i = flow.input "i" : tensor<3x4x1xi32>
  // expected-error@+1 {{expected an index of the result's first axes, of 2 at most, found 3}}
  %y = flow.random uniform 1 at %i : tensor<3x4x1xi32> -> tensor<3x4xf32>
} }

// -----

// 17
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<4x3xf32>
  %i = flow.input "i" : tensor<7xi32>
  %n = flow.input "n" : tensor<4xi32>
  // expected-error@+1 {{expected an inverse of rank 2, found rank 1}}
  %y = flow.gather_rows %t, %i inverse %n : tensor<4x3xf32>, tensor<7xi32>, tensor<4xi32> -> tensor<7x3xf32>
} }

// -----

// 17
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<4x3xf32>
  %i = flow.input "i" : tensor<7xi32>
  %n = flow.input "n" : tensor<7x1xi32>
  // expected-error@+1 {{expected extent 4 along axis 0 of the inverse, found 7}}
  %y = flow.gather_rows %t, %i inverse %n : tensor<4x3xf32>, tensor<7xi32>, tensor<7x1xi32> -> tensor<7x3xf32>
} }

// -----

// 24
flow.program @p { flow.entry @main train {
  %i = flow.input "i" : tensor<7xi32>
  // expected-error@+1 {{expected extent 7 along axis 0 of the positions, found 6}}
  %o, %e, %p = flow.counting_sort %i : tensor<7xi32> -> tensor<7xi32>, tensor<4xi32>, tensor<6xi32>
} }

// -----

// 24
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<3x2xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected extent 4 along axis 0 of the offsets, found 3}}
  %y = flow.segment_rows %t, %o : tensor<3x2xf32>, tensor<3xi32> -> tensor<9x2xf32>
} }

// -----

// 24
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<3x2xf32>
  %o = flow.input "o" : tensor<4xi32>
  // expected-error@+1 {{expected extent 2 along axis 1 of the result, found 5}}
  %y = flow.segment_rows %t, %o : tensor<3x2xf32>, tensor<4xi32> -> tensor<9x5xf32>
} }

// -----

// 24
flow.program @p { flow.entry @main train {
  %t = flow.input "t" : tensor<f32>
  %o = flow.input "o" : tensor<2xi32>
  // expected-error@+1 {{expected a table of rank 1 or more, found rank 0}}
  %y = flow.segment_rows %t, %o : tensor<f32>, tensor<2xi32> -> tensor<f32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected places of the operand's shape, 'tensor<4x3xf32>', found 'tensor<3x4xi32>'}}
  %y = flow.rank %x along 1 : tensor<4x3xf32> -> tensor<3x4xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected axes below 2, found 2}}
  %y = flow.rank %x along 2 : tensor<4x3xf32> -> tensor<4x3xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected k from 1 to a constant last extent, found 4 of 3}}
  %y = flow.top_k 4 of %x : tensor<4x3xf32> -> tensor<4x4xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected k from 1 to a constant last extent, found 0 of 3}}
  %y = flow.top_k 0 of %x : tensor<4x3xf32> -> tensor<4x1xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<?xf32, #flow.dims<[B]>>
  // expected-error@+1 {{expected k from 1 to a constant last extent, found 1 of B}}
  %y = flow.top_k 1 of %x : tensor<?xf32, #flow.dims<[B]>> -> tensor<1xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected extent 2 along axis 1 of the result, found 3}}
  %y = flow.top_k 2 of %x : tensor<4x3xf32> -> tensor<4x3xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<f32>
  // expected-error@+1 {{expected an operand of rank 1 or more, found rank 0}}
  %y = flow.top_k 1 of %x : tensor<f32> -> tensor<i32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  // expected-error@+1 {{expected an operand of rank 1, found rank 2}}
  %y, %r = flow.argsort %x : tensor<4x3xf32> -> tensor<4x3xi32>, tensor<4x3xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected places of the operand's shape, 'tensor<4xf32>', found 'tensor<5xi32>'}}
  %y, %r = flow.argsort %x : tensor<4xf32> -> tensor<4xi32>, tensor<5xi32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected 1 to 31 bits of a number of 32, found 11 from bit 22 on}}
  %y = flow.radix_digit %x shift 22 bits 11 : tensor<4xf32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4xf32>
  // expected-error@+1 {{expected 1 to 31 bits of a number of 32, found 32 from bit 0 on}}
  %y = flow.radix_digit %x shift 0 bits 32 : tensor<4xf32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %r = flow.input "r" : tensor<i32>
  // expected-error@+1 {{expected numbers of experts, choices and alignment from 1 to 2147483647, found 0, 1 and 1}}
  %y = flow.capacity %r experts 0 top 1 factor 1.5 alignment 1 : tensor<i32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %r = flow.input "r" : tensor<i32>
  // expected-error@+1 {{expected numbers of experts, choices and alignment from 1 to 2147483647, found 4, 1 and 2147483648}}
  %y = flow.capacity %r experts 4 top 1 factor 1.5 alignment 2147483648 : tensor<i32>
} }

// -----

// 31: ranks and sorts
flow.program @p { flow.entry @main train {
  %r = flow.input "r" : tensor<i32>
  // expected-error@+1 {{expected a finite factor other than 0, found 0.000000e+00}}
  %y = flow.capacity %r experts 4 top 1 factor 0.0 alignment 1 : tensor<i32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected two labels for rows and groups, found 1 for both}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [1, 3] row 1 group 1 by %o : tensor<4x3xf32>, tensor<2x5x3xf32>, tensor<3xi32> -> tensor<4x5xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected either the rows' label 1 or the groups' 0 in the result, found neither}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [3] row 1 group 0 by %o : tensor<4x3xf32>, tensor<2x5x3xf32>, tensor<3xi32> -> tensor<5xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected either the rows' label 1 or the groups' 0 in the result, found both}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [0, 1, 3] row 1 group 0 by %o : tensor<4x3xf32>, tensor<2x5x3xf32>, tensor<3xi32> -> tensor<2x4x5xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<4xi32>
  // expected-error@+1 {{expected extent 3 along axis 0 of the offsets, found 4}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [1, 3] row 1 group 0 by %o : tensor<4x3xf32>, tensor<2x5x3xf32>, tensor<4xi32> -> tensor<4x5xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<2x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected the rows' label 1 in two of the three tensors, and the groups' 0 in the third}}
  %y = flow.grouped_contract %x [0, 2], %w [0, 3, 2] -> [1, 3] row 1 group 0 by %o : tensor<2x3xf32>, tensor<2x5x3xf32>, tensor<3xi32> -> tensor<4x5xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x3xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected each label in at least two of the three tensors, found 3 in one}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [1] row 1 group 0 by %o : tensor<4x3xf32>, tensor<2x5x3xf32>, tensor<3xi32> -> tensor<4xf32>
} }

// -----

// 32: rows and groups
flow.program @p { flow.entry @main train {
  %x = flow.input "x" : tensor<4x3xf32>
  %w = flow.input "w" : tensor<2x5x4xf32>
  %o = flow.input "o" : tensor<3xi32>
  // expected-error@+1 {{expected extent 3 for label 2 in b, found 4}}
  %y = flow.grouped_contract %x [1, 2], %w [0, 3, 2] -> [1, 3] row 1 group 0 by %o : tensor<4x3xf32>, tensor<2x5x4xf32>, tensor<3xi32> -> tensor<4x5xf32>
} }
