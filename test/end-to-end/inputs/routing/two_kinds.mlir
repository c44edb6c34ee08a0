// Experts of two kinds, of which one makes something infinite of zeros, and of their gradient: what a layer makes of rows that are not
// its experts' own must not reach theirs.
moe.layer @Mlp<dim, hidden>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Log<dim>(%x) {
  %y      = linear @fc(%x) no_bias to dim
  %square = mul %y, %y
  %log    = log %square
  yield %log
}

moe.layer @Mixture<hidden>(%x: [tokens, dim]) {
  %route = route @gate(%x) linear, experts = 3, top = 1, capacity = 0.5
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layers [2 * @Mlp<dim, hidden>, @Log<dim>]
  %mixed = combine %route, %done
  yield %mixed
}

moe.model @two_kinds<classes = 10, channels = 1, size = 28, patch = 7, dim = 16, hidden = 8>(%image: image[channels, size, size]) {
  %tokens = patches @patch_embed(%image) size = patch to dim
  %mixed  = apply @mixture(%tokens) layer @Mixture<hidden>
  %all    = residual %tokens, %mixed
  %norm   = layer_norm @norm(%all)
  %mean   = mean %norm over tokens
  %logits = linear @head(%mean) to classes
  return logits = %logits
}
