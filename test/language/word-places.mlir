// At its place a word of the language is the word, whatever sizes and numbers are called: an axis after `over`, a rule after
// `init`, `label` in a loss, `dann` in a schedule, the words between an op's parts.
// RUN: moe-opt %s --moe-elaborate --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: flow.program @axes
// CHECK: flow.parameter "e.each.weight" {{.*}} : tensor<2x10x16xf32>
// CHECK: flow.parameter "mean.weight" {{.*}} : tensor<10x64xf32>
// CHECK: flow.parameter "sum.weight" {{.*}} : tensor<10x49xf32>
// CHECK: flow.parameter "max.weight" {{.*}} : tensor<10x3xf32>
// CHECK: flow.parameter "second.weight" {{.*}} : tensor<10x49xf32>
moe.layer @Each<to>(%x) {
  %y = linear @each(%x) to to
  yield %y
}
moe.model @axes<classes = 10, tokens = 1, features = 0, pixels = 1, experts = 2, rows = 3, domains = 4>(%image: image[3, 28, 28]) {
  %p = patches @patch_embed(%image) size = 4 to 64
  %a = mean %p over tokens
  %b = sum %p over features
  %c = max %image over pixels
  %small = slice %a start = 0, size = 16
  %each = experts @e(%small) layer @Each<classes> count = experts
  %d = variance %each over experts
  %e = sum %p over 1
  %1 = linear @mean(%a) to classes
  %2 = linear @sum(%b) to classes
  %3 = linear @max(%c) to classes
  %4 = linear @second(%e) to classes
  %5 = add %1, %2
  %6 = add %3, %4
  %7 = add %5, %6
  %8 = add %7, %d
  return logits = %8
}

// -----
// CHECK-LABEL: flow.program @words
// CHECK: flow.parameter "a.weight" constant(0.000000e+00)
// CHECK: flow.parameter "b.weight" constant(1.000000e+00)
// CHECK: flow.parameter "c.weight" normal(0.000000e+00, 7.000000e+00)
// CHECK-NOT: constant 3.000000e+00
// CHECK: sigmoid
moe.model @words<zeros: number = 7, ones: number = 7, label: number = 0.5, domain = 4, dann: number = 3.0, ramp: number = 2,
                 to = 10, init = 3, no_bias = 3, over = 9, mod = 5, by = 1>(%image: image[1, 3, 3]) {
  %x = flatten %image
  %a = linear @a(%x) to to init zeros no_bias
  %b = linear @b(%a) to to init ones, zeros
  %c = linear @c(%b) to mod * 2 mod (mod + to) init normal(zeros)
  %d = reverse_gradient %c by dann
  %e = linear @e(%d) to domain
  aux @dom cross_entropy %e, domain, label * ramp(0, 1)
  return logits = %c
}

// -----
moe.model @channels<channels = 1>(%image: image[channels, 28, 28]) {
  // expected-error@+1 {{expected an axis after 'over', found 'channels'; axes are the words pixels, features, tokens, experts, rows, domains, or numbers such as 0, -1 or [0, 2], and no sizes}}
  %m = mean %image over channels
  %f = flatten %m
  return logits = %f
}

// -----
moe.model @near<pixel = 1>(%image: image[1, 28, 28]) {
  // expected-error@+1 {{expected an axis after 'over', found 'pixel' (did you mean 'pixels'?)}}
  %m = mean %image over pixel
  return logits = %m
}

// -----
moe.model @list<tokens = 1>(%image: image[1, 28, 28]) {
  // expected-error@+1 {{expected an axis after 'over', found 'tokens'; an axis word stands alone, and a list has numbers: [0, -1]}}
  %m = mean %image over [0, tokens]
  return logits = %m
}

// -----
moe.model @sum<axis = 1>(%image: image[1, 28, 28]) {
  // expected-error@+1 {{expected an axis after 'over', found 'axis'}}
  %m = mean %image over axis - 1
  return logits = %m
}

// -----
moe.model @rule<deviation: number = 1.0>(%image: image[1, 3, 3]) {
  %x = flatten %image
  // expected-error@+1 {{unknown initial value 'zeros'}}
  %y = linear @y(%x) to 3 init normal(zeros)
  return logits = %y
}
