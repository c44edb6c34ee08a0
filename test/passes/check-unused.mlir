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

// expected-warning@+1 {{parameter 'spare' of model '@m' is not used}}
moe.model @m<dim = 4, spare = 5>(%x: vector[dim]) {
  %y = apply @mlp(%x, %x) layer @Mlp<dim, 7>
  return logits = %y
}
