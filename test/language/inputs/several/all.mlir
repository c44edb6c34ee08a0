moe.layer @Mlp<dim, hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hiden
  %act  = geluu %up
  %down = linear @fc2(%act) too dim
  %no   = add %down,
  yield %down
}
moe.layer @Other<k>(%x) {
  %y = linear @fc(%x
  %y = relu %y
  yeild %y
}
moe.layer @Block(%x) {
  %y = linear @fc(%x) to 10
  %z = add %x, %y
  %u = linear shared @up(%z) to 4
  yield %u
}
moe.model @net<classes = 10>(%image: image[3, 32, 32]) {
  %p = patches @pe(%image) size = 5 to 64
  %q = patches @pf(%image) size = 8 to 64
  %m = apply @mlp(%q) layer @Mlp<64, 32>
  %n = linear @m(%m) to 4
  %d = chain @blocks(%q) [12 * @Block]
  %r = reshape %q to [3, 5]
  %z = add %q, %w
  %s = take %q token = 99
  %logits = linear @head(%s) to classes
  return logits = %logits
}
