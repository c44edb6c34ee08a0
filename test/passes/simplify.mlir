// RUN: moe-opt --split-input-file --moe-simplify %s | FileCheck %s

// The example of the pass's description: what is one number along the reduced axis leaves the sum.
// CHECK-LABEL: flow.program @scale
// CHECK: %[[X:.*]] = flow.input "x"
// CHECK-NEXT: %[[K:.*]] = flow.parameter "k"
// CHECK-NEXT: %[[T:.*]] = flow.reduce sum %[[X]] over [1]
// CHECK-NEXT: %[[Y:.*]] = flow.mul %[[T]], %[[K]] : tensor<8xf32>
// CHECK-NEXT: flow.output "y" %[[Y]]
// CHECK-NEXT: {{^ *}$}}
flow.program @scale {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<8x16xf32>
    %k = flow.parameter "k" constant(0.5) : tensor<8xf32>
    %s = flow.broadcast %k to [0] : tensor<8xf32> -> tensor<8x16xf32>
    %p = flow.mul %x, %s : tensor<8x16xf32>
    %y = flow.reduce sum %p over [1] : tensor<8x16xf32> -> tensor<8xf32>
    flow.output "y" %y : tensor<8xf32>
  }
}

// -----

// Arithmetic on copies is done before they are made; sources of fewer axes are copied to the widest source's shape.
// CHECK-LABEL: flow.program @before_broadcast
// CHECK: %[[W:.*]] = flow.parameter "w"
// CHECK-NEXT: %[[C:.*]] = flow.scalar "c"
// CHECK-NEXT: %[[CW:.*]] = flow.broadcast %[[C]] to [] : tensor<f32> -> tensor<16xf32>
// CHECK-NEXT: %[[S:.*]] = flow.mul %[[W]], %[[CW]] : tensor<16xf32>
// CHECK-NEXT: %[[E:.*]] = flow.exp %[[S]] : tensor<16xf32>
// CHECK-NEXT: %[[Y:.*]] = flow.broadcast %[[E]] to [1] : tensor<16xf32> -> tensor<?x16xf32
// CHECK-NEXT: flow.output "y" %[[Y]]
// CHECK-NEXT: {{^ *}$}}
flow.program @before_broadcast {
  flow.entry @main infer {
    %w = flow.parameter "w" constant(0.5) : tensor<16xf32>
    %c = flow.scalar "c" recipe, 1.0 : tensor<f32>
    %a = flow.broadcast %w to [1] : tensor<16xf32> -> tensor<?x16xf32, #flow.dims<[B, 16]>>
    %b = flow.broadcast %c to [] : tensor<f32> -> tensor<?x16xf32, #flow.dims<[B, 16]>>
    %p = flow.mul %a, %b : tensor<?x16xf32, #flow.dims<[B, 16]>>
    %y = flow.exp %p : tensor<?x16xf32, #flow.dims<[B, 16]>>
    flow.output "y" %y : tensor<?x16xf32, #flow.dims<[B, 16]>>
  }
}

// -----

// A sum of copies is a product with their number, a maximum of copies is the source.
// CHECK-LABEL: flow.program @copies
// CHECK: %[[N:.*]] = flow.constant 1.200000e+01
// CHECK-NEXT: %[[X:.*]] = flow.input "x"
// CHECK-NOT: flow.reduce
// CHECK: %[[S:.*]] = flow.mul %[[X]], %[[N]]
// CHECK-NEXT: flow.output "sum" %[[S]]
// CHECK-NEXT: flow.output "max" %[[X]]
// CHECK-NEXT: {{^ *}$}}
flow.program @copies {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<5xf32>
    %c = flow.broadcast %x to [1] : tensor<5xf32> -> tensor<3x5x4xf32>
    %s = flow.reduce sum %c over [0, 2] : tensor<3x5x4xf32> -> tensor<5xf32>
    %m = flow.reduce max %c over [0, 2] : tensor<3x5x4xf32> -> tensor<5xf32>
    flow.output "sum" %s : tensor<5xf32>
    flow.output "max" %m : tensor<5xf32>
  }
}

// -----

// A sum of outer products is a matrix product, whose operands need no transposes.
// CHECK-LABEL: flow.program @products
// CHECK: %[[A:.*]] = flow.input "a"
// CHECK-NEXT: %[[B:.*]] = flow.input "b"
// CHECK-NEXT: %[[Y:.*]] = flow.contract %[[A]] [1, 0], %[[B]] [1, 2] -> [0, 2]
// CHECK-NEXT: flow.output "y" %[[Y]]
// CHECK-NEXT: {{^ *}$}}
flow.program @products {
  flow.entry @main infer {
    %a = flow.input "a" : tensor<6x4xf32>
    %b = flow.input "b" : tensor<6x5xf32>
    %t = flow.transpose %a [1, 0] : tensor<6x4xf32> -> tensor<4x6xf32>
    %aa = flow.broadcast %t to [0, 1] : tensor<4x6xf32> -> tensor<4x6x5xf32>
    %bb = flow.broadcast %b to [1, 2] : tensor<6x5xf32> -> tensor<4x6x5xf32>
    %p = flow.mul %aa, %bb : tensor<4x6x5xf32>
    %y = flow.reduce sum %p over [1] : tensor<4x6x5xf32> -> tensor<4x5xf32>
    flow.output "y" %y : tensor<4x5xf32>
  }
}

// -----

// A contraction that is no matrix product (a row of numbers times a row, an outer product) is left to loops.
// CHECK-LABEL: flow.program @loops
// CHECK-NOT: flow.contract
// CHECK: %[[P:.*]] = flow.mul %{{.*}}, %{{.*}} : tensor<4x6xf32>
// CHECK-NEXT: %[[D:.*]] = flow.reduce sum %[[P]] over [1]
// CHECK-NEXT: flow.output "dot" %[[D]]
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: %[[O:.*]] = flow.mul %{{.*}}, %{{.*}} : tensor<6x4x6xf32>
// CHECK-NEXT: flow.output "outer" %[[O]]
// CHECK-NEXT: {{^ *}$}}
flow.program @loops {
  flow.entry @main infer {
    %a = flow.input "a" : tensor<4x6xf32>
    %b = flow.input "b" : tensor<6xf32>
    %d = flow.contract %a [0, 1], %b [1] -> [0] : tensor<4x6xf32>, tensor<6xf32> -> tensor<4xf32>
    flow.output "dot" %d : tensor<4xf32>
    %o = flow.contract %a [1, 2], %b [0] -> [0, 1, 2] : tensor<4x6xf32>, tensor<6xf32> -> tensor<6x4x6xf32>
    flow.output "outer" %o : tensor<6x4x6xf32>
  }
}

// -----

// One pass over a tensor serves both sums of it: the larger starts from the smaller, wherever it stands.
// CHECK-LABEL: flow.program @shared_sum
// CHECK: %[[X:.*]] = flow.input "x"
// CHECK-NEXT: %[[I:.*]] = flow.reduce sum %[[X]] over [2, 3]
// CHECK-NEXT: %[[A:.*]] = flow.reduce sum %[[I]] over [0]
// CHECK-NEXT: flow.output "all" %[[A]]
// CHECK-NEXT: flow.output "images" %[[I]]
// CHECK-NEXT: {{^ *}$}}
flow.program @shared_sum {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<3x4x8x8xf32>
    %a = flow.reduce sum %x over [0, 2, 3] : tensor<3x4x8x8xf32> -> tensor<4xf32>
    flow.output "all" %a : tensor<4xf32>
    %i = flow.reduce sum %x over [2, 3] : tensor<3x4x8x8xf32> -> tensor<3x4xf32>
    flow.output "images" %i : tensor<3x4xf32>
  }
}

// -----

// sum(u + d) needs no pass of its own: u is summed anyway, and d is read for the sum of its squares. The centred d is
// summed as it is, not as sum(x) - n m.
// CHECK-LABEL: flow.program @combination
// CHECK: %[[U:.*]] = flow.input "u"
// CHECK-NEXT: flow.input "x"
// CHECK-NEXT: flow.reduce sum
// CHECK-NEXT: flow.div
// CHECK-NEXT: flow.broadcast
// CHECK-NEXT: %[[D:.*]] = flow.sub
// CHECK-NEXT: flow.mul
// CHECK-NEXT: %[[SD:.*]] = flow.reduce sum %[[D]] over [1]
// CHECK-NEXT: %[[SS:.*]] = flow.reduce sum %{{.*}} over [1]
// CHECK-NEXT: flow.output "squares"
// CHECK-NEXT: flow.add
// CHECK-NEXT: flow.output "c"
// CHECK-NEXT: %[[SU:.*]] = flow.reduce sum %[[U]] over [1]
// CHECK-NEXT: flow.output "u"
// CHECK-NEXT: %[[Y:.*]] = flow.add %[[SU]], %[[SD]]
// CHECK-NOT: flow.reduce
// CHECK: flow.output "sum" %[[Y]]
// CHECK-NEXT: {{^ *}$}}
flow.program @combination {
  flow.entry @main infer {
    %u = flow.input "u" : tensor<4x64xf32>
    %x = flow.input "x" : tensor<4x64xf32>
    %n = flow.constant 64.0 : tensor<4xf32>
    %sx = flow.reduce sum %x over [1] : tensor<4x64xf32> -> tensor<4xf32>
    %m = flow.div %sx, %n : tensor<4xf32>
    %mm = flow.broadcast %m to [0] : tensor<4xf32> -> tensor<4x64xf32>
    %d = flow.sub %x, %mm : tensor<4x64xf32>
    %dd = flow.mul %d, %d : tensor<4x64xf32>
    %ss = flow.reduce sum %dd over [1] : tensor<4x64xf32> -> tensor<4xf32>
    flow.output "squares" %ss : tensor<4xf32>
    %c = flow.add %u, %d : tensor<4x64xf32>
    flow.output "c" %c : tensor<4x64xf32>
    %su = flow.reduce sum %u over [1] : tensor<4x64xf32> -> tensor<4xf32>
    flow.output "u" %su : tensor<4xf32>
    %y = flow.reduce sum %c over [1] : tensor<4x64xf32> -> tensor<4xf32>
    flow.output "sum" %y : tensor<4xf32>
  }
}

// -----

// Terms that come twice, signs, and a mask that has been applied already.
// CHECK-LABEL: flow.program @terms
// CHECK: %[[TWO:.*]] = flow.constant 2.0
// CHECK-NEXT: flow.constant
// CHECK-NEXT: %[[A:.*]] = flow.input "a"
// CHECK-NEXT: %[[B:.*]] = flow.input "b"
// CHECK-NEXT: %[[BB:.*]] = flow.mul %[[B]], %[[TWO]]
// CHECK-NEXT: %[[S:.*]] = flow.add %[[A]], %[[BB]]
// CHECK-NEXT: flow.output "twice" %[[S]]
// CHECK-NEXT: %[[D:.*]] = flow.sub %[[A]], %[[B]]
// CHECK-NEXT: flow.output "minus" %[[D]]
// CHECK-NEXT: flow.compare gt
// CHECK-NEXT: %[[M:.*]] = flow.select
// CHECK-NOT: flow.select
// CHECK: flow.output "masked" %[[M]]
// CHECK-NEXT: {{^ *}$}}
flow.program @terms {
  flow.entry @main infer {
    %a = flow.input "a" : tensor<4xf32>
    %b = flow.input "b" : tensor<4xf32>
    %zero = flow.constant 0.0 : tensor<4xf32>
    %s = flow.add %a, %b : tensor<4xf32>
    %t = flow.add %s, %b : tensor<4xf32>
    flow.output "twice" %t : tensor<4xf32>
    %n = flow.neg %b : tensor<4xf32>
    %d = flow.add %a, %n : tensor<4xf32>
    flow.output "minus" %d : tensor<4xf32>
    %p = flow.compare gt %a, %zero : tensor<4xf32>
    %q = flow.compare gt %a, %zero : tensor<4xf32>
    %m = flow.select %p, %b, %zero : tensor<4xf32>
    %mm = flow.select %q, %m, %zero : tensor<4xf32>
    flow.output "masked" %mm : tensor<4xf32>
  }
}

// -----

// Barriers of different segments keep equal clones from being merged; barriers of one segment are merged.
// CHECK-LABEL: flow.program @barriers
// CHECK-COUNT-2: flow.exp
// CHECK-NOT: flow.exp
flow.program @barriers {
  flow.entry @main infer {
    %a = flow.input "a" : tensor<4xf32>
    %b1 = flow.barrier %a 1 : tensor<4xf32>
    %b2 = flow.barrier %a 2 : tensor<4xf32>
    %b3 = flow.barrier %a 2 : tensor<4xf32>
    %e1 = flow.exp %b1 : tensor<4xf32>
    %e2 = flow.exp %b2 : tensor<4xf32>
    %e3 = flow.exp %b3 : tensor<4xf32>
    flow.output "1" %e1 : tensor<4xf32>
    flow.output "2" %e2 : tensor<4xf32>
    flow.output "3" %e3 : tensor<4xf32>
  }
}

// -----

// What only training reads goes: unused parameters and random numbers, and the marks of differentiation once it is done.
// CHECK-LABEL: flow.program @dead
// CHECK: %[[A:.*]] = flow.input "a"
// CHECK-NEXT: flow.output "y" %[[A]]
// CHECK-NEXT: }
flow.program @dead {
  flow.entry @main infer {
    %a = flow.input "a" : tensor<4xf32>
    %w = flow.parameter "w" constant(0.5) : tensor<4xf32>
    %r = flow.random uniform 7 -> tensor<4xf32>
    %noise = flow.mul %w, %r : tensor<4xf32>
    %s = flow.stop_gradient %a : tensor<4xf32>
    flow.output "y" %s : tensor<4xf32>
  }
}

// -----

// A stop_gradient stays while a grad is to be lowered.
// CHECK-LABEL: flow.program @undifferentiated
// CHECK: flow.stop_gradient
// CHECK-NEXT: flow.mul
// CHECK-NEXT: flow.grad
// CHECK-NEXT: flow.output "g"
// CHECK-NEXT: {{^ *}$}}
flow.program @undifferentiated {
  flow.entry @train train {
    %w = flow.parameter "w" constant(0.5) : tensor<f32>
    %s = flow.stop_gradient %w : tensor<f32>
    %p = flow.mul %w, %s : tensor<f32>
    %g = flow.grad %p wrt(%w) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    flow.output "g" %g : tensor<f32>
  }
}

// -----

// A contraction with windows, along groups that both factors and the result have, is a product and a sum, which can be one loop. Its
// gradient in the image is of the same form, with the filter in reverse order, and not windows that are added up.
// CHECK-LABEL: flow.program @windows
// CHECK-NOT:   flow.contract
// CHECK:       %[[WINDOWS:.*]] = flow.window
// CHECK:       %[[PRODUCT:.*]] = flow.mul
// CHECK-NEXT:  flow.reduce sum %[[PRODUCT]] over [4, 5]
// CHECK:       %[[SPACED:.*]] = flow.pad %{{.*}} low [0, 0, 1, 1] interior [0, 0, 1, 1]
// CHECK-NEXT:  flow.window %[[SPACED]] size [3, 3] by [1, 1] pads [0, 0, 0, 0]
// CHECK:       flow.gather
// CHECK-NOT:   flow.window_sum
// CHECK-NOT:   flow.contract
// CHECK:       flow.output "dx"
flow.program @windows {
  flow.entry @main infer {
    %x = flow.input "x" : tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>>
    %dy = flow.input "dy" : tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>
    %w = flow.parameter "w" constant(0.5) : tensor<4x3x3xf32>
    %all = flow.window %x size [3, 3] by [2, 2] pads [1, 1, 1, 1] with 0.0 : tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>> -> tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>
    %y = flow.contract %all [0, 1, 2, 3, 4, 5], %w [1, 4, 5] -> [0, 1, 2, 3] : tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>, tensor<4x3x3xf32> -> tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>
    flow.output "y" %y : tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>
    %back = flow.contract %dy [0, 1, 2, 3], %w [1, 4, 5] -> [0, 1, 2, 3, 4, 5] : tensor<?x4x5x5xf32, #flow.dims<[B, 4, 5, 5]>>, tensor<4x3x3xf32> -> tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>>
    %dx = flow.window_sum %back by [2, 2] pads [1, 1, 1, 1] : tensor<?x4x5x5x3x3xf32, #flow.dims<[B, 4, 5, 5, 3, 3]>> -> tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>>
    flow.output "dx" %dx : tensor<?x4x9x9xf32, #flow.dims<[B, 4, 9, 9]>>
  }
}

// -----

// The example of SimplifyRows.cpp: rows that come back from experts have the shape of what reads them, with any number of choices.
// CHECK-LABEL: flow.program @rows_in_shape
// CHECK-DAG: %[[P:.*]] = flow.input "places"
// CHECK-DAG: %[[T:.*]] = flow.input "table"
// CHECK-DAG: %[[Q:.*]] = flow.input "place"
// CHECK: %[[F:.*]] = flow.reshape %[[P]] : tensor<?x2xi32, #flow.dims<[B * 197, 2]>> -> tensor<?x197x2xi32, #flow.dims<[B, 197, 2]>>
// CHECK-NEXT: %[[G:.*]] = flow.gather %[[T]], %[[F]]
// CHECK-NEXT: %[[S:.*]] = flow.reduce sum %[[G]] over [2] : tensor<?x197x2x384xf32, #flow.dims<[B, 197, 2, 384]>> -> tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>>
// CHECK-NEXT: flow.output "sum" %[[S]]
// CHECK-NEXT: %[[E:.*]] = flow.reshape %[[Q]] : tensor<?xi32, #flow.dims<[B * 197]>> -> tensor<?x197xi32, #flow.dims<[B, 197]>>
// CHECK-NEXT: %[[H:.*]] = flow.gather %[[T]], %[[E]]
// CHECK-NEXT: flow.output "one" %[[H]]
// Rows that change their shape, a sum over rows of several places, and rows that something else reads stay.
// CHECK: %[[A:.*]] = flow.gather
// CHECK-NEXT: flow.reshape %[[A]]
// CHECK-NEXT: flow.output "heads"
// CHECK: %[[C:.*]] = flow.gather %[[T]], %[[P]]
// CHECK-NEXT: %[[D:.*]] = flow.reduce sum %[[C]] over [0]
// CHECK-NEXT: flow.reshape %[[D]]
// CHECK-NEXT: flow.output "rows"
// CHECK: %[[L:.*]] = flow.gather
// CHECK-NEXT: flow.output "flat" %[[L]]
// CHECK-NEXT: flow.reshape %[[L]]
!table = tensor<?x384xf32, #flow.dims<[B * 394, 384]>>
!flat = tensor<?x384xf32, #flow.dims<[B * 197, 384]>>
!tokens = tensor<?x197x384xf32, #flow.dims<[B, 197, 384]>>
!heads = tensor<?x6x64xf32, #flow.dims<[B * 197, 6, 64]>>
!places = tensor<?x2xi32, #flow.dims<[B * 197, 2]>>
!place = tensor<?xi32, #flow.dims<[B * 197]>>
!pairs = tensor<?x2x384xf32, #flow.dims<[B * 197, 2, 384]>>
flow.program @rows_in_shape {
  flow.entry @main infer {
    %t = flow.input "table" : !table
    %p = flow.input "places" : !places
    %q = flow.input "place" : !place
    %q2 = flow.input "place2" : !place
    %q3 = flow.input "place3" : !place
    %g = flow.gather %t, %p : !table, !places -> !pairs
    %s = flow.reduce sum %g over [1] : !pairs -> !flat
    %y = flow.reshape %s : !flat -> !tokens
    flow.output "sum" %y : !tokens
    %h = flow.gather %t, %q : !table, !place -> !flat
    %z = flow.reshape %h : !flat -> !tokens
    flow.output "one" %z : !tokens
    %a = flow.gather %t, %q2 : !table, !place -> !flat
    %b = flow.reshape %a : !flat -> !heads
    flow.output "heads" %b : !heads
    %c = flow.gather %t, %p : !table, !places -> !pairs
    %d = flow.reduce sum %c over [0] : !pairs -> tensor<2x384xf32>
    %e = flow.reshape %d : tensor<2x384xf32> -> tensor<2x1x384xf32>
    flow.output "rows" %e : tensor<2x1x384xf32>
    %l = flow.gather %t, %q3 : !table, !place -> !flat
    flow.output "flat" %l : !flat
    %m = flow.reshape %l : !flat -> !tokens
    flow.output "tokens" %m : !tokens
  }
}

// -----

// The largest of several rows, sums that something else reads, and rows of one number stay, and so do rows whose elements are
// divided among other axes, or fewer.
// CHECK-LABEL: flow.program @rows_that_stay
// CHECK: flow.reduce max
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.output "largest"
// CHECK: flow.reduce sum
// CHECK-NEXT: flow.output "sum"
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.output "tokens"
// CHECK: flow.gather
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.output "numbers"
// CHECK: flow.gather
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.output "others"
// CHECK: flow.gather
// CHECK-NEXT: flow.reshape
// CHECK-NEXT: flow.output "fewer"
!table = tensor<?x2x6xf32, #flow.dims<[B * 394, 2, 6]>>
!flat = tensor<?x2x6xf32, #flow.dims<[B * 197, 2, 6]>>
!tokens = tensor<?x197x2x6xf32, #flow.dims<[B, 197, 2, 6]>>
!others = tensor<?x197x3x4xf32, #flow.dims<[B, 197, 3, 4]>>
!places = tensor<?x2xi32, #flow.dims<[B * 197, 2]>>
!place = tensor<?xi32, #flow.dims<[B * 197]>>
!pairs = tensor<?x2x2x6xf32, #flow.dims<[B * 197, 2, 2, 6]>>
!numbers = tensor<?xf32, #flow.dims<[B * 197]>>
flow.program @rows_that_stay {
  flow.entry @main infer {
    %t = flow.input "table" : !table
    %v = flow.input "numbers" : !numbers
    %p = flow.input "places" : !places
    %p2 = flow.input "places2" : !places
    %q = flow.input "place" : !place
    %o = flow.input "one" : tensor<1xi32>
    %g = flow.gather %t, %p : !table, !places -> !pairs
    %m = flow.reduce max %g over [1] : !pairs -> !flat
    %y = flow.reshape %m : !flat -> !tokens
    flow.output "largest" %y : !tokens
    %h = flow.gather %t, %p2 : !table, !places -> !pairs
    %s = flow.reduce sum %h over [1] : !pairs -> !flat
    flow.output "sum" %s : !flat
    %z = flow.reshape %s : !flat -> !tokens
    flow.output "tokens" %z : !tokens
    %n = flow.gather %v, %q : !numbers, !place -> !numbers
    %w = flow.reshape %n : !numbers -> tensor<?x197xf32, #flow.dims<[B, 197]>>
    flow.output "numbers" %w : tensor<?x197xf32, #flow.dims<[B, 197]>>
    %a = flow.gather %t, %q : !table, !place -> !flat
    %b = flow.reshape %a : !flat -> !others
    flow.output "others" %b : !others
    %c = flow.gather %t, %o : !table, tensor<1xi32> -> tensor<1x2x6xf32>
    %d = flow.reshape %c : tensor<1x2x6xf32> -> tensor<12xf32>
    flow.output "fewer" %d : tensor<12xf32>
  }
}
