// Names of sizes, layers and parameters are checked before elaboration, at the author's line.
// RUN: moe-opt %s --split-input-file --verify-diagnostics

moe.layer @A<hidden>(%x) {
  %h = gelu %x
  // expected-error@+1 {{unknown size or number 'hiden' (did you mean 'hidden'?)}}
  %y = linear @fc(%h) to 4 * hiden
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{unknown initial value 'zeroes' (did you mean 'zeros'?)}}
  %y = linear @fc(%x) to dim init zeroes
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{unknown rule 'norml(...)' (did you mean 'normal'?); expected one of: constant, uniform, normal, trunc_normal, fan_in, hyperfan_in}}
  %y = linear @fc(%x) to dim init norml(1.0)
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected an axis after 'over', found 'pixel' (did you mean 'pixels'?)}}
  %y = mean %x over pixel
  yield %y
}
// -----
moe.layer @A<@ffn>(%x) {
  // expected-error@+1 {{expected a size or number, found layer '@ffn'; a layer is written with '@'}}
  %y = linear @fc(%x) to ffn
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-note@+1 {{first used here}}
  %h = linear @fc(%x) to dim
  // expected-error@+1 {{parameter path 'fc' is used twice; say 'linear shared @fc' if both use the same parameters}}
  %y = linear @fc(%h) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a name without dots, found '@a.b'; dots part the names of a path}}
  %y = linear @a.b(%x) to dim
  yield %y
}
// -----
// Names are recorded: in programs, as keys of checkpoints, in reports.
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a name of 1 to 255 bytes, found one of 0}}
  %y = linear @""(%x) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a name in UTF-8 without control characters, found '@a\x09b'}}
  %y = linear @"a\09b"(%x) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a name in UTF-8 without control characters, found '@f\xff'}}
  %y = linear @"f\FF"(%x) to dim
  yield %y
}
// -----
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{expected a name in UTF-8 without control characters, found '@e\xff'}}
  expose @"e\FF" %x
  yield %x
}
// -----
moe.layer @A<dim>(%x) {
  %m = mean %x
  // expected-error@+1 {{expected a name without dots, found '@a.b'; dots part the names of a path}}
  aux @a.b %m, 0.1
  yield %x
}
// -----
// expected-error@+1 {{expected a name in UTF-8 without control characters, found '@n\x09t'}}
moe.model @"n\09t"(%x: vector[3]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected a name in UTF-8 without control characters, found '@l\x7ft'}}
moe.layer @"l\7Ft"(%x)
// -----
// expected-error@+1 {{expected a name in UTF-8 without control characters, found '@p\xc0\x80'}}
moe.layer @A<@"p\C0\80">(%x)
// -----
moe.layer @A<dim>(%x) {
  %h = linear @fc1(%x) to dim
  // expected-error@+1 {{'shared @fc3': no earlier op owns these parameters (did you mean 'fc1'?)}}
  %y = linear shared @fc3(%h) to dim
  yield %y
}
// -----
moe.layer @A(%x) {
  // expected-note@+1 {{first used here}}
  expose @f %x
  // expected-error@+1 {{expected a name of its own for each expose, found '@f' twice}}
  expose @f %x
  yield %x
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Mlp<dim, hidden, drop: number = 0.0>(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{layer '@Mlp' needs parameter 'hidden', which is not given}}
  %y = apply @mlp(%x) layer @Mlp<dim>
  yield %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Mlp<dim>(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{layer '@Mlp' takes 1 parameter ('dim'), 2 given}}
  %y = apply @mlp(%x) layer @Mlp<dim, 7>
  yield %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Mlp<dim, hidden = 4>(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{layer '@Mlp' has no parameter 'hiden' (did you mean 'hidden'?)}}
  %y = apply @mlp(%x) layer @Mlp<dim, hiden = 7>
  yield %y
}
// -----
moe.layer @Mlp<dim>(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{unknown layer '@Mpl' (did you mean 'Mlp'?)}}
  %y = chain @mlp(%x) [2 * [@Mlp<dim>, @Mpl<dim>]]
  yield %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Mlp<dim>(%x)
// expected-error@+1 {{layer parameter '@Mlp' is spelt like a layer; rename one}}
moe.layer @A<@Mlp>(%x) {
  yield %x
}
// -----
// expected-error@+1 {{expected parameters of different names, found 'dim' twice}}
moe.layer @A<dim, dim: number>(%x) {
  yield %x
}
// -----
// An optional parameter by its name does not stand for one that is needed.
// expected-note@+1 {{declared here}}
moe.layer @Mlp<dim, hidden, drop: number = 0.0>(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{layer '@Mlp' needs parameters 'dim', 'hidden', which are not given}}
  %y = apply @mlp(%x) layer @Mlp<drop = 0.1>
  yield %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @Mlp(%x)
moe.layer @A<dim>(%x) {
  // expected-error@+1 {{layer '@Mlp' takes no parameters, 1 given}}
  %y = apply @mlp(%x) layer @Mlp<7>
  yield %y
}
// -----
// expected-error@+1 {{expected a default for parameter 'dim' of a model: write 'dim = ...'}}
moe.model @m<dim>(%x: vector[dim]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected a default for parameter 'drop' of a model: write 'drop: number = ...'}}
moe.model @m<drop: number>(%x: vector[3]) {
  return logits = %x
}
// -----
// expected-error@+1 {{expected a default for parameter '@head' of a model: write '@head = @Layer'}}
moe.model @m<@head>(%x: vector[3]) {
  return logits = %x
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @A(%x) {
  // expected-error@+1 {{layer '@A' calls itself; its stack would have no end}}
  %y = apply @again(%x) layer @A
  yield %y
}
// -----
// expected-note@+1 {{declared here}}
moe.layer @A(%x) {
  %y = apply @b(%x) layer @B
  yield %y
}
moe.layer @B(%x) {
  // expected-error@+1 {{layer '@A' calls itself through '@B'; its stack would have no end}}
  %y = chain @a(%x) [2 * @A]
  yield %y
}
// -----
// expected-error@+1 {{expected its body to end with 'yield'}}
moe.layer @A<dim>(%x) {
  %y = linear @fc3(%x) to dim
}
// -----
moe.layer @A(%x) {
  yield %x
  // expected-error@+1 {{expected nothing after 'yield'}}
  %y = relu %x
}
// -----
moe.model @m(%x: vector[3]) {
  %y = linear @fc3(%x) to 3
  // expected-error@+1 {{expected nothing of this kind before 'return'}}
  entry @max {
    return logits = %y
  }
  return logits = %y
}
// -----
moe.layer @A(%x) {
  // expected-error@+1 {{expected no 'return' inside a layer}}
  return logits = %x
  yield %x
}
// -----
moe.layer @B(%x)
moe.layer @A(%x) {
  // expected-error@+1 {{expected a layer, found 'B'; a layer is written '@B'}}
  %y = apply @b(%x) layer B
  yield %y
}
