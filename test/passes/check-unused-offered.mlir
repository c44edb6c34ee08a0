// RUN: moe-opt %s --moe-check-unused --verify-diagnostics
// A layer that nothing names may be one that -Dhead=@Other is to give; what is inside is still looked at.
moe.layer @Given(%x) {
  yield %x
}
moe.layer @Other<dim>(%x) {
  // expected-warning@+1 {{value '%h' is not used}}
  %h = relu %x
  %y = linear @fc(%x) to dim
  yield %y
}
moe.model @m<dim = 4, @head = @Given>(%x: vector[dim]) {
  %y = apply @head(%x) layer @head
  return logits = %y
}
