// RUN: moe-opt %s --moe-check-unused --verify-diagnostics

// expected-warning@+1 {{layer '@Spare' is not used}}
moe.layer @Spare(%x) {
  yield %x
}

// expected-warning@+2 {{parameter 'hidden' of layer '@Mlp' is not used}}
// expected-warning@+1 {{value '%y' is not used}}
moe.layer @Mlp<dim, hidden>(%x, %y) {
  // expected-warning@+1 {{value '%h' is not used}}
  %h = relu %x
  %z = linear @fc(%x) to dim
  yield %z
}

// A word at its place is no use of a size that is spelt like it.
// expected-warning@+2 {{parameter 'spare' of model '@m' is not used}}
// expected-warning@+1 {{parameter 'features' of model '@m' is not used}}
moe.model @m<dim = 4, spare = 5, features = 3>(%x: vector[dim]) {
  %y = apply @mlp(%x, %x) layer @Mlp<dim, 7>
  %m = mean %y over features
  aux @m %m, 0.1
  return logits = %y
}
