moe.layer @Broken<dim, (%x) {
  %y = linear @fc(%x) to dim
  yield %y
}
moe.model @net(%v: vector[8]) {
  %y = apply @a(%v) layer @Broken<4>
  %z = reluu %y
  return logits = %z
}
