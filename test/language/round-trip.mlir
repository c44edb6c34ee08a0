// Every op and attribute: text to text, through bytecode, and through the generic form, gives the same text again.
// RUN: moe-opt %s -o %t.1
// RUN: moe-opt %t.1 --mlir-use-nameloc-as-prefix -o %t.2
// RUN: cmp %t.1 %t.2
// RUN: moe-opt %s --emit-bytecode -o %t.bc
// RUN: moe-opt %t.bc --mlir-use-nameloc-as-prefix -o %t.3
// RUN: cmp %t.1 %t.3
// RUN: moe-opt %t.1 --mlir-use-nameloc-as-prefix=false -o %t.4
// RUN: moe-opt %t.1 --mlir-print-op-generic -o %t.5
// RUN: moe-opt %t.5 -o %t.6
// RUN: cmp %t.4 %t.6
// RUN: FileCheck %s --match-full-lines --strict-whitespace < %t.1

//      CHECK:  moe.layer @Two<dim>(%x, %y)
moe.layer @Two<dim>(%x, %y)

//      CHECK:  moe.layer @Pair<dim>(%x, %y) {
// CHECK-NEXT:    yield %y, %x
// CHECK-NEXT:  }
moe.layer @Pair<dim>(%x, %y) {
  yield %y, %x
}

//      CHECK:  moe.layer @One(%x) {
moe.layer @One(%x) {
  yield %x
}

//      CHECK:  moe.layer @Keywords<top, init, to, dense = 2, index = 1, mod = 3, weights = 4>(%x, %z) {
moe.layer @Keywords<top, init, to, dense = 2, index = 1, mod = 3, weights = 4>(%x, %z) {
  // CHECK-NEXT:    %r = route frozen @gate(%x) cosine, experts = (to - 1) * (dense + index) - -2, top = top, prioritized
  %r     = route frozen @gate(%x) cosine, prioritized, top = top, experts = (to - 1) * (dense + index) - -2
  // CHECK-NEXT:    %a:2 = apply @two(%x, %r) layer @Two<to - (dense - 1) - 1>
  %a, %b = apply @two(%x, %r) layer @Two<to - (dense - 1) - 1>
  // CHECK-NEXT:    %c = linear @fc(%a#0) to to init normal(1e-6), zeros
  %c     = linear @fc(%a) to to init normal(1e-6), zeros
  // CHECK-NEXT:    %d = linear shared @fc(%a#1) to to
  %d     = linear shared @fc(%b) to to
  // CHECK-NEXT:    %m = conv @c(%d) kernel = 3, stride = dense to (mod mod 2) * weights
  %m     = conv @c(%d) stride = dense, kernel = 3 to mod mod 2 * weights
  // CHECK-NEXT:    %e:2 = apply @again(%c, %m) layer @Pair<(dense / index / (mod / weights)) * top>
  %e:2   = apply @again(%c, %m) layer @Pair<dense / index / (mod / weights) * top>
  // CHECK-NEXT:    %f = dropout %e#1, 2500.0
  %f     = dropout %e#1, 2.50e+03
  // CHECK-NEXT:    yield %a#0, %f
  yield %a, %f
}

//      CHECK:  moe.layer @Owners<dim, @ffn, @open = @One, rate: number = 0.1>(%x) {
moe.layer @Owners<dim, @ffn, @open = @One, rate: number = 0.1>(%x) {
  // CHECK-NEXT:    %l = linear @l(%x) no_bias to 4 * dim init trunc_normal(0.02)
  %l = linear @l(%x) to 4 * dim init trunc_normal(0.02) no_bias
  // CHECK-NEXT:    %c = conv @c(%l) kernel = 3, stride = 2, pad = 1, no_bias to dim init fan_in(2.0), constant(0.5)
  %c = conv @c(%l) no_bias, pad = 1, stride = 2, kernel = 3 to dim init fan_in(2.0), constant(0.5)
  // CHECK-NEXT:    %p = patches @p(%c) size = 4 to dim
  %p = patches @p(%c) size = 4 to dim
  // CHECK-NEXT:    %n = layer_norm @n(%p) eps = 1e-6
  %n = layer_norm @n(%p) eps = 1e-6
  // CHECK-NEXT:    %g = group_norm @g(%n) groups = 8, eps = 1e-5
  %g = group_norm @g(%n) eps = 1e-5, groups = 8
  // CHECK-NEXT:    %t = attention @t(%g) heads = 6
  %t = attention @t(%g) heads = 6
  // CHECK-NEXT:    %q = param @q [1, dim * dim + 1] uniform(-0.5, 0.5)
  %q = param @q [1, dim * dim + 1] uniform(-0.5, 0.5)
  // CHECK-NEXT:    %h = chain @h(%t) [0 * @One, 2 * [@ffn<dim, rate = 0.5>, @open]] ramp rate from 0.0 to 0.1
  %h = chain @h(%t) [0 * @One, 2 * [@ffn<dim, rate = 0.5>, @open]] ramp rate from 0.0 to 0.1
  // CHECK-NEXT:    %w = hyper @w(%q) trunk @One for @One init hyperfan_in
  %w = hyper @w(%q) trunk @One for @One init hyperfan_in
  // CHECK-NEXT:    %v = hyper shared @w(%h)
  %v = hyper shared @w(%h)
  // CHECK-NEXT:    %e = experts @e(%h) layer @One weights %w
  %e = experts @e(%h) layer @One weights %w
  // CHECK-NEXT:    %o = experts @o(%e) count = 4 layer @One
  %o = experts @o(%e) layer @One count = 4
  // CHECK-NEXT:    %s = apply @s(%o) layer @One weights %v
  %s = apply @s(%o) layer @One weights %v
  // CHECK-NEXT:    %r = route @r(%s) distance, keys = %q, eps = 1e-6
  %r = route @r(%s)
       distance, eps = 1e-6,
       keys = %q
  // CHECK-NEXT:    %b = select %r top = 1, unscaled
  %b = select %r unscaled, top = 1
  // CHECK-NEXT:    %d = dispatch %b, %s
  %d = dispatch %b, %s
  // CHECK-NEXT:    %m = combine %b, %d
  %m = combine %b, %d
  // CHECK-NEXT:    aux @imp importance_load %r, 0.01
  aux @imp importance_load %r, 0.01
  // CHECK-NEXT:    aux @ent entropy %r, rate * ramp(0, 1, until = 0.5)
  aux @ent entropy %r, rate * ramp(0, 1, until = 0.5)
  // CHECK-NEXT:    aux @dom cross_entropy %r, domain, 1.0
  aux @dom cross_entropy %r, domain, 1.0
  // CHECK-NEXT:    aux @plain %m, 0.5
  aux @plain %m, 0.5
  // CHECK-NEXT:    expose @inner %m
  expose @inner %m
  // CHECK-NEXT:    yield %m
  yield %m
}

//      CHECK:  moe.layer @Tensors<dim>(%x, %y) {
moe.layer @Tensors<dim>(%x, %y) {
  // CHECK-NEXT:    %a0 = neg %x
  %a0 = neg %x
  // CHECK-NEXT:    %a1 = exp %a0
  %a1 = exp %a0
  // CHECK-NEXT:    %a2 = log %a1
  %a2 = log %a1
  // CHECK-NEXT:    %a3 = sqrt %a2
  %a3 = sqrt %a2
  // CHECK-NEXT:    %a4 = abs %a3
  %a4 = abs %a3
  // CHECK-NEXT:    %a5 = tanh %a4
  %a5 = tanh %a4
  // CHECK-NEXT:    %a6 = sigmoid %a5
  %a6 = sigmoid %a5
  // CHECK-NEXT:    %a7 = relu %a6
  %a7 = relu %a6
  // CHECK-NEXT:    %a8 = silu %a7
  %a8 = silu %a7
  // CHECK-NEXT:    %a9 = gelu %a8
  %a9 = gelu %a8
  // CHECK-NEXT:    %b0 = softmax %a9
  %b0 = softmax %a9
  // CHECK-NEXT:    %b1 = flatten %b0
  %b1 = flatten %b0
  // CHECK-NEXT:    %b2 = stop_gradient %b1
  %b2 = stop_gradient %b1
  // CHECK-NEXT:    %c0 = add %b2, %y
  %c0 = add %b2, %y
  // CHECK-NEXT:    %c1 = sub %c0, %y
  %c1 = sub %c0, %y
  // CHECK-NEXT:    %c2 = mul %c1, %y
  %c2 = mul %c1, %y
  // CHECK-NEXT:    %c3 = div %c2, %y
  %c3 = div %c2, %y
  // CHECK-NEXT:    %c4 = matmul %c3, %y
  %c4 = matmul %c3, %y
  // CHECK-NEXT:    %c5 = prepend %c4, %y
  %c5 = prepend %c4, %y
  // CHECK-NEXT:    %d0 = mean %c5 over pixels
  %d0 = mean %c5 over pixels
  // CHECK-NEXT:    %d1 = sum %d0 over [0, -1]
  %d1 = sum %d0 over [0, -1]
  // CHECK-NEXT:    %d2 = variance %d1 over features
  %d2 = variance %d1 over features
  // CHECK-NEXT:    %d3 = max %d2
  %d3 = max %d2
  // CHECK-NEXT:    %e0 = concat %d3, %y axis = 0
  %e0 = concat %d3, %y axis = 0
  // CHECK-NEXT:    %e1 = slice %e0 axis = 1, start = 0, size = dim, step = 2
  %e1 = slice %e0 start = 0, size = dim, step = 2, axis = 1
  // CHECK-NEXT:    %e2 = reshape %e1 to [4, dim / 4]
  %e2 = reshape %e1 to [4, dim / 4]
  // CHECK-NEXT:    %e3 = transpose %e2 to [1, 0]
  %e3 = transpose %e2 to [1, 0]
  // CHECK-NEXT:    %e4 = take %e3 token = 0
  %e4 = take %e3 token = 0
  // CHECK-NEXT:    %e5 = where %e4, %x, %y
  %e5 = where %e4, %x, %y
  // CHECK-NEXT:    %e6 = unfold %e5 kernel = 3, stride = 2, pad = 1
  %e6 = unfold %e5 kernel = 3, stride = 2, pad = 1
  // CHECK-NEXT:    %e7 = max_pool %e6 kernel = 2
  %e7 = max_pool %e6 kernel = 2
  // CHECK-NEXT:    %e8 = mean_pool %e7 kernel = 2, stride = 1
  %e8 = mean_pool %e7 kernel = 2, stride = 1
  // CHECK-NEXT:    %f0 = dropout %e8, 0.1
  %f0 = dropout %e8, 0.1
  // CHECK-NEXT:    %f1 = residual %f0, %y drop_path = 0.2
  %f1 = residual %f0, %y drop_path = 0.2
  // CHECK-NEXT:    %f2 = bernoulli [dim], 0.5
  %f2 = bernoulli [dim], 0.5
  // CHECK-NEXT:    %f3 = uniform [], -1, 1.5
  %f3 = uniform [], -1, 1.5
  // CHECK-NEXT:    %f4 = reverse_gradient %f3 by dann
  %f4 = reverse_gradient %f3 by dann
  // CHECK-NEXT:    yield %f1, %f2, %f4
  yield %f1, %f2, %f4
}

//      CHECK:  moe.layer @Open<dim, @ffn>(%x)
moe.layer @Open<dim, @ffn>(%x)

// Options, flags and words stand in any order, and are printed in one.
//      CHECK:  moe.layer @Orders<dim, @ffn>(%x, %keys) {
moe.layer @Orders<dim, @ffn>(%x, %keys) {
  // CHECK-NEXT:    %a = conv @a(%x) kernel = 3, pad = 1, no_bias to dim init zeros, ones
  %a = conv @a(%x) init zeros, ones kernel = 3 to dim no_bias, pad = 1
  // CHECK-NEXT:    %b = experts @b(%a) count = 2 layer @Open<dim, @ffn = @ffn> weights %keys
  %b = experts @b(%a) weights %keys layer @Open<dim, @ffn = @ffn> count = 2
  // CHECK-NEXT:    %c = experts @c(%b) layer @Open<@ffn = @Two<3>, dim = 2>
  %c = experts @c(%b) layer @Open<ffn = @Two<3>, dim = 2>
  // CHECK-NEXT:    %d = route @d(%c) distance, keys = %keys, eps = 0.1
  %d = route @d(%c) distance, eps = 0.1, keys = %keys
  // CHECK-NEXT:    %e = hyper @e(%keys) trunk @One for @One init hyperfan_in
  %e = hyper @e(%keys) init hyperfan_in for @One trunk @One
  // CHECK-NEXT:    %f = normalize %c eps = 1e-6 over tokens
  %f = normalize %c over tokens eps = 1e-6
  // CHECK-NEXT:    yield %d, %e, %f
  yield %d, %e, %f
}

// Routings, experts of several layers, buffers.
//      CHECK:  moe.layer @Routes<dim, @ffn>(%x, %keys) {
moe.layer @Routes<dim, @ffn>(%x, %keys) {
  // CHECK-NEXT:    %a = state @a [4] zeros
  %a = state @a [4] zeros
  // CHECK-NEXT:    %b = route @b(%x) linear, experts = 4, top = 2, choose = rows by image, capacity = 1.5, select_bias = %a, prioritized
  %b = route @b(%x) linear, prioritized, choose = rows by image, select_bias = %a, experts = 4, capacity = 1.5, top = 2
  // CHECK-NEXT:    %c = route shared @b(%x) distance, keys = %keys, eps = 0.1, select_bias = %a
  %c = route shared @b(%x) distance, select_bias = %a, eps = 0.1, keys = %keys
  // CHECK-NEXT:    %d = select %b top = 1, unscaled
  %d = select %b unscaled, top = 1
  // CHECK-NEXT:    %e = dispatch %d, %x
  %e = dispatch %d, %x
  // CHECK-NEXT:    %f = experts @f(%e) layers [2 * @One, dim * [@ffn<dim>, @Two<3>]]
  %f = experts @f(%e) layers [2 * @One, dim * [@ffn<dim>, @Two<3>]]
  // CHECK-NEXT:    %g = combine %d, %f
  %g = combine %d, %f
  // CHECK-NEXT:    %h = counts %d
  %h = counts %d
  // CHECK-NEXT:    %i = chain @i(%g) [2 * @Two<3>] with %b ramp rate from 0.0 to size(%g, tokens)
  %i = chain @i(%g) [2 * @Two<3>] ramp rate from 0.0 to size(%g, tokens) with %b
  // CHECK-NEXT:    %j = chain @j(%i) [2 * @Two<3>] with %b, %c
  %j = chain @j(%i) [2 * @Two<3>] with %b, %c
  // CHECK-NEXT:    assign @a %h
  assign @a %h
  // CHECK-NEXT:    %k = linear @k(%j) to dim init torch, torch
  %k = linear @k(%j) to dim init torch, torch
  // CHECK-NEXT:    yield %k
  yield %k
}

// Numbers in the place of values, sizes of values, and patterns.
//      CHECK:  moe.layer @Sizes<slots, gain: number = 1 / dim>(%x: [tokens, dim], %y, %z: [2 * slots, _]) {
moe.layer @Sizes<slots, gain: number = 1 / dim>(%x: [tokens, dim], %y, %z: [2 * slots, _]) {
  // CHECK-NEXT:    %a = sub 1, %x
  %a = sub 1, %x
  // CHECK-NEXT:    %b = mul %a, 0.25
  %b = mul %a, 0.25
  // CHECK-NEXT:    %c = div %b, gain * size(%y, features) - size(%x, 0)
  %c = div %b, gain * size(%y, features) - size(%x, 0)
  // CHECK-NEXT:    %d = add -0.001, %c
  %d = add -1e-3, %c
  // CHECK-NEXT:    %e = where %d, 1, (tokens + 1) * 0.5
  %e = where %d, 1, (tokens + 1) * 0.5
  // CHECK-NEXT:    %f:2 = apply @f(%e) layer @Two<size(%e, -2) / size(%e, tokens)>
  %f, %g = apply @f(%e) layer @Two<size(%e, -2) / size(%e, tokens)>
  // CHECK-NEXT:    %h = linear @h(%f#1) to size(%f#1, features) init normal(1 / size(%f#0, 0))
  %h = linear @h(%g) to size(%g, features) init normal(1 / size(%f, 0))
  // CHECK-NEXT:    %i = reshape %h to [size(%z, experts), -1]
  %i = reshape %h to [size(%z, experts), -1]
  // CHECK-NEXT:    %j = concat %i, %h axis = size(%h, 0) - 1
  %j = concat %i, %h axis = size(%h, 0) - 1
  // CHECK-NEXT:    %k = dropout %j, 1 / size(%j, tokens)
  %k = dropout %j, 1 / size(%j, tokens)
  // CHECK-NEXT:    %l = clamp %k min = 0, max = 6
  %l = clamp %k max = 6, min = 0
  // CHECK-NEXT:    %m = sign %l
  %m = sign %l
  // CHECK-NEXT:    %n = layer_scale @n(%m) init constant(1e-5)
  %n = layer_scale @n(%m) init constant(1e-5)
  // CHECK-NEXT:    %o = prepend %n, %m, %l
  %o = prepend %n, %m, %l
  // CHECK-NEXT:    aux @p %o, 1 / size(%o, features)
  aux @p %o, 1 / size(%o, features)
  // CHECK-NEXT:    yield %o
  yield %o
}

//      CHECK:  moe.model @pixels<mean: number = 0.5>(%image: image[3, 8, 8] mean [0.485, mean, 0.406] deviation 0.25, %v: vector[3]) {
moe.model @pixels<mean: number = 0.5>(%image: image[3, 8, 8] deviation 0.25 mean [0.485, mean, 0.406], %v: vector[3]) {
  // CHECK-NEXT:    return logits = %v, image = %image
  return logits = %v, image = %image
}

//      CHECK:  moe.model @colours<mean: numbers = [0.485, 0.456, 0.406], all: numbers = 0.5>(%image: image[3, 8, 8] mean mean deviation all) {
moe.model @colours<mean: numbers = [0.485, 0.456, 0.406], all: numbers = 0.5>(%image: image[3, 8, 8] mean mean deviation all) {
  // CHECK-NEXT:    return logits = %image
  return logits = %image
}

//      CHECK:  moe.model @small<classes = 10, dim = 196, @ffn = @One, rate: number = 1e-30>(%image: image[3, 2 * dim, 8], %at: index, %v: vector[dim]) {
moe.model @small<classes = 10, dim = 196, @ffn = @One, rate: number = 1e-30>
    (%image: image[3, 2 * dim, 8], %at: index, %v: vector[dim]) {
  // CHECK-NEXT:    default linear trunc_normal(0.02), zeros
  default linear trunc_normal(0.02), zeros
  // CHECK-NEXT:    default conv normal(0.1)
  default conv normal(0.1)
  // CHECK-NEXT:    %h = linear @fc1(%image) to dim / 2
  %h = linear @fc1(%image) to dim / 2
  // CHECK-NEXT:    return logits = %h, hidden = %v
  return logits = %h, hidden = %v
  // CHECK-NEXT:    entry @max {
  // CHECK-NEXT:      %y = linear shared @fc1(%image) to dim / 2
  // CHECK-NEXT:      return logits = %y
  // CHECK-NEXT:    }
  entry @max {
    %y = linear shared @fc1(%image) to dim / 2
    return logits = %y
  }
}

//      CHECK:  moe.objective @vrex<lambda: number = 10.0, anneal: number = 500>(%image, %label) {
moe.objective @vrex<lambda: number = 10.0, anneal: number = 500>(%image, %label) {
  // CHECK-NEXT:    %logits = call model(%image)
  %logits  = call model(%image)
  // CHECK-NEXT:    %each = cross_entropy %logits, %label
  %each    = cross_entropy %logits, %label
  // CHECK-NEXT:    %risk = mean %each over rows
  %risk    = mean %each over rows
  // CHECK-NEXT:    %weight = switch step, 1.0, at anneal, lambda
  %weight  = switch step, 1.0, at anneal, lambda
  // CHECK-NEXT:    %loss = mul %risk, %weight
  %loss    = mul %risk, %weight
  // CHECK-NEXT:    update all by %loss reset_at anneal
  update all by %loss reset_at anneal
  // CHECK-NEXT:    update critic by %loss when step mod 2 == 1
  update critic by %loss when step mod 2 == 1
  // CHECK-NEXT:  }
}
